// The example `paths`: two servers below two paths of one port, asked by clients of each era.
import { assert, check, finish } from './report.mjs';
import { ERAS, base, connect, http, text } from './clients.mjs';

const url = base('INTEROP_URL');
const ELSEWHERE = ['', '/dates', '/sums/clock'];
let sum = 0;

for (const era of ERAS) {
  await check(`${era.name}: each path has a server of its own`, async () => {
    const [sums, clock] = [await connect(era, `${url}/sums`), await connect(era, `${url}/clock`)];
    assert.deepEqual([sums, clock].map((client) => client.getServerVersion().name), ['sums', 'clock']);
    const names = async (client) => (await client.listTools()).tools.map(({ name }) => name);
    assert.deepEqual([await names(sums), await names(clock)], [['add'], ['set']]);
    sum += 2.5;
    assert.equal(await text(sums, 'add', { amount: 2.5 }), String(sum));
    const hour = 7 + ERAS.indexOf(era);
    assert.equal(await text(clock, 'set', { hour }), 'set');
    assert.equal((await clock.readResource({ uri: 'clock:///hour' })).contents[0].text, String(hour));
    await assert.rejects(sums.readResource({ uri: 'clock:///hour' }));
    await Promise.all([sums.close(), clock.close()]);
  });
  await check(`${era.name}: there is no server at other paths`, async () => {
    for (const path of ELSEWHERE) await assert.rejects(connect(era, url + path));
  });
}

await check('other paths get 404', async () => {
  for (const path of ELSEWHERE) {
    const asked = [fetch(`${url}${path}/sse`), fetch(`${url}${path}/mcp`, { method: 'POST', body: '{}' })];
    assert.deepEqual((await Promise.all(asked)).map(({ status }) => status), [404, 404], path);
  }
});

await check('a session of one path is unknown on the other', async () => {
  const sums = await connect(http, `${url}/sums`);
  const ask = (path, session) => fetch(`${url}${path}/mcp`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream', 'Mcp-Session-Id': session },
    body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
  });
  const { sessionId } = sums.transport;
  const statuses = await Promise.all(['/sums', '/clock', ''].map(async (path) => (await ask(path, sessionId)).status));
  assert.deepEqual(statuses, [200, 404, 404]);
  await sums.close();
});
finish();
