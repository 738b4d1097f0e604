// The example `awkward` without an SDK: messages that clients of other makers send, byte by byte.
import { assert, check, finish, pause } from './report.mjs';

const url = new URL('/mcp', process.env.INTEROP_URL);
const AT_ONCE = 12;
const WAIT_MS = 10_000;

/** POSTs a message, or text as it is; `session` is the id of one. */
function post(message, session, headers = {}) {
  return fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(session && { 'mcp-session-id': session }),
      ...headers,
    },
    body: typeof message === 'string' ? message : JSON.stringify(message),
    signal: AbortSignal.timeout(WAIT_MS),
  });
}

/** The response to a request, in whichever form it comes, and the text that it came in. */
async function ask(message, session) {
  const response = await post(message, session);
  const text = await response.text();
  const streamed = response.headers.get('content-type')?.startsWith('text/event-stream');
  const messages = streamed
    ? [...text.matchAll(/^data: (.+)$/gm)].map(([, data]) => JSON.parse(data))
    : text ? [JSON.parse(text)] : [];
  return { status: response.status, text, messages, reply: messages.at(-1), session: response.headers.get('mcp-session-id') };
}

const request = (method, params, id = 1) => ({ jsonrpc: '2.0', id, method, params });
const call = (name, args, id = 1) => request('tools/call', { name, arguments: args }, id);
const initialize = (capabilities, protocolVersion = '2025-11-25') =>
  request('initialize', { protocolVersion, capabilities, clientInfo: { name: 'raw', version: '0' } });

async function open(capabilities = {}) {
  const { status, session, text } = await ask(initialize(capabilities));
  assert.equal(status, 200, text);
  await post({ jsonrpc: '2.0', method: 'notifications/initialized' }, session);
  return session;
}

const listen = (session, headers = {}, signal = undefined) =>
  fetch(url, { headers: { accept: 'text/event-stream', 'mcp-session-id': session, ...headers }, signal });

await check(`${AT_ONCE} requests at once, all with the id 1, each get their own answer`, async () => {
  const session = await open();
  const names = Array.from({ length: AT_ONCE }, (_, number) => `guest ${number}`);
  const replies = await Promise.all(names.map((name) => ask(call('meet', { name, of: AT_ONCE }), session)));
  for (const [at, { reply, text }] of replies.entries()) {
    assert.equal(reply.id, 1, text);
    assert.equal(reply.result?.content[0].text, `${names[at]}, one of ${AT_ONCE}`, text);
  }
});

await check('null is absent: in params, cursors, arguments and _meta', async () => {
  const session = await open();
  for (const message of [
    request('ping', null),
    request('tools/list', null),
    request('tools/list', { cursor: null, _meta: null }),
    request('tools/call', { name: 'grow', arguments: null, _meta: { progressToken: null } }),
    request('prompts/get', { name: 'letter', arguments: { to: 'Ada', tone: null } }),
  ]) {
    const { status, reply, text } = await ask(message, session);
    assert.deepEqual([status, reply.error], [200, undefined], `${JSON.stringify(message)}: ${text}`);
  }
});

await check('null is absent: in capabilities, which are then not there', async () => {
  const session = await open({ sampling: null, roots: null, elicitation: null, experimental: null });
  const { reply, text } = await ask(call('region', {}), session);
  assert.ok(reply.result?.isError || reply.result?.content[0].text === 'none', text);
});

await check('a capability that is no object is an error that names it', async () => {
  const { reply, text } = await ask(initialize({ sampling: true }));
  assert.equal(reply.error?.code, -32602, text);
  assert.match(reply.error.message, /sampling/);
  return reply.error.message;
});

await check('refusals have the id of what they refuse', async () => {
  const session = await open();
  for (const message of [request('tools/list', 5, 'five'), request('tools/call', {}, 'nameless'), { jsonrpc: '1.0', id: 'old', method: 'ping' }]) {
    const { reply, text } = await ask(message, session);
    assert.deepEqual([reply.id, typeof reply.error?.code], [message.id, 'number'], text);
  }
});

await check('a byte order mark before JSON is skipped', async () => {
  const { status, text } = await ask(`\uFEFF${JSON.stringify(request('ping'))}`, await open());
  assert.equal(status, 200, text);
});

await check('whole floats have no fraction, and what is not finite is not null', async () => {
  const session = await open();
  const { text } = await ask(call('mean', { values: [1, 3] }), session);
  assert.match(text, /"structuredContent":\{"mean":2,"smallest":1\}/);
  const endless = request('tools/call', { name: 'endless', arguments: {}, _meta: { progressToken: 'p' } });
  const { messages } = await ask(endless, session);
  const told = messages.filter(({ method }) => method === 'notifications/progress');
  assert.deepEqual(told.map(({ params }) => params), [{ progressToken: 'p', progress: 1 }, { progressToken: 'p', progress: 2 }]);
});

await check('nothing that is sent has a line separator of Unicode', async () => {
  const session = await open();
  const params = { name: 'lines', arguments: {}, _meta: { progressToken: 'p' } };
  for (const message of [request('tools/call', params), call('lines_refused', {}), call('lines_failed', {}), request('tools/list', {})]) {
    const { text } = await ask(message, session);
    assert.match(text, /\\u2028/);
    assert.doesNotMatch(text, /[\u0085\u2028\u2029]/);
  }
});

await check('streams begin without `retry`', async () => {
  const session = await open();
  const { text } = await ask(request('tools/call', { name: 'lines', arguments: {}, _meta: { progressToken: 'p' } }), session);
  assert.match(text, /^id: /m);
  assert.doesNotMatch(text, /^retry/m);
});

await check('the newest GET carries the stream of a session, and the one before it ends', async () => {
  const session = await open();
  const old = await listen(session);
  const [first, over] = [old.body.getReader(), new AbortController()];
  const ended = (async () => {
    while (!(await first.read()).done);
  })();
  const taken = await listen(session, {}, over.signal);
  assert.deepEqual([old.status, taken.status], [200, 200]);
  await Promise.race([ended, pause(5000).then(() => assert.fail('the old stream is still open'))]);
  await ask(request('resources/subscribe', { uri: 'KBInfo://Summary' }), session);
  await ask(call('touch', { uri: 'kbinfo://summary' }), session);
  const decoder = new TextDecoder();
  let text = '';
  for await (const piece of taken.body) {
    text += decoder.decode(piece, { stream: true });
    if (text.includes('notifications/resources/updated')) break;
  }
  over.abort();
  assert.match(text, /"uri":"KBInfo:\/\/Summary"/);
});

finish();
