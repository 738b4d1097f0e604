// No SDK: what only shows when every message is written by hand.
import { assert, check, finish } from './report.mjs';
import { LEGACY_REVISIONS, post, postToDeadSession, Stream } from './wire.mjs';

const url = new URL(process.env.INTEROP_URL);
const own = Boolean(process.env.INTEROP_OWN);
const keepAliveMs = Number(process.env.INTEROP_KEEP_ALIVE_MS ?? 0);

const initialize = (protocolVersion) => ({
  jsonrpc: '2.0',
  id: `initialize-${protocolVersion}`,
  method: 'initialize',
  params: { protocolVersion, capabilities: {}, clientInfo: { name: 'fetch', version: '0' } },
});

for (const asked of [...LEGACY_REVISIONS, '2099-01-01', '2026-07-28']) {
  const wanted = LEGACY_REVISIONS.includes(asked) ? asked : LEGACY_REVISIONS.at(-1);
  await check(`initialize with ${asked} negotiates ${wanted}`, async () => {
    const stream = await Stream.open(url);
    const answer = await stream.ask(initialize(asked));
    assert.equal(answer.result.protocolVersion, wanted);
    const initialized = await post(stream.endpoint, { jsonrpc: '2.0', method: 'notifications/initialized' });
    assert.equal(initialized.status, 202);
    assert.deepEqual((await stream.ask({ jsonrpc: '2.0', id: 7, method: 'ping' })).result, {});
    stream.close();
  });
}

await check('ids come back with their type', async () => {
  const stream = await Stream.open(url);
  await stream.ask(initialize('2025-06-18'));
  for (const id of [0, -1, 9007199254740991, '', '1', 'é"\\\n']) {
    assert.deepEqual(await stream.ask({ jsonrpc: '2.0', id, method: 'ping' }), { jsonrpc: '2.0', id, result: {} });
  }
  stream.close();
});

await check('a request before initialize is answered', async () => {
  const stream = await Stream.open(url);
  const answer = await stream.ask({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
  assert.ok(answer.result.tools.length > 0);
  stream.close();
});

await check('an unknown resource is -32002 and names the URI', async () => {
  const stream = await Stream.open(url);
  await stream.ask(initialize('2025-11-25'));
  const uri = 'no-such:resource';
  const { error } = await stream.ask({ jsonrpc: '2.0', id: 1, method: 'resources/read', params: { uri } });
  assert.deepEqual([error.code, error.data], [-32002, { uri }]);
  stream.close();
});

await check('an open stream outlives others that close', async () => {
  const [kept, closed] = [await Stream.open(url), await Stream.open(url)];
  assert.notEqual(kept.endpoint.href, closed.endpoint.href);
  closed.close();
  await postToDeadSession(closed.endpoint);
  assert.deepEqual((await kept.ask({ jsonrpc: '2.0', id: 1, method: 'ping' })).result, {});
  kept.close();
});

if (keepAliveMs) {
  await check('comments keep an idle stream alive', async () => {
    const stream = await Stream.open(url);
    const comments = await stream.readComments(3.5 * keepAliveMs);
    assert.ok(comments.length >= 2, `${comments.length} comments`);
    assert.ok(comments.every((comment) => comment === 'ping'), String(comments));
    return `${comments.length} comments`;
  });
}

if (own) {
  await check('a body that fetch calls text is 415 for /mcp, and what it is called is named', async () => {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' });
    const response = await fetch(new URL('/mcp', url), { method: 'POST', body });
    const { error } = await response.json();
    assert.equal(response.status, 415);
    assert.match(error.message, /^Content-Type must be application\/json, but it is `text\/plain;charset=UTF-8`$/);
    return error.message;
  });

  await check('a closed stream ends its session', async () => {
    const stream = await Stream.open(url);
    stream.close();
    assert.deepEqual(await postToDeadSession(stream.endpoint), { status: 400, body: 'No transport found for sessionId' });
  });

  await check('a POST is answered with 202 Accepted', async () => {
    const stream = await Stream.open(url);
    const response = await post(stream.endpoint, { jsonrpc: '2.0', id: 1, method: 'ping' });
    assert.deepEqual([response.status, await response.text()], [202, 'Accepted']);
    stream.close();
  });
}

finish();
