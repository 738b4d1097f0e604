// Every era at once on one server: clients of HTTP+SSE, of 2025-11-25 and of 2026-07-28, each with many calls that only it
// makes. All in one process, which is why a wrong answer can only come from the server.
import { createRequire } from 'node:module';
import { assert, check, finish } from './report.mjs';

const require = createRequire(`${process.env.INTEROP_PACKAGES}/`);
const { Client, SSEClientTransport, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');

const CLIENTS = 64;
const CALLS = 32;
// Node opens two connections for each: all together stay below the connections_max of the server, which closes idle ones there.
const IN_FLIGHT = 3;

const sse = new URL(process.env.INTEROP_URL);
const mcp = new URL('/mcp', sse);
const ERAS = [
  { name: 'HTTP+SSE', revision: '2025-11-25', transport: () => new SSEClientTransport(sse) },
  { name: '2025-11-25', revision: '2025-11-25', transport: () => new StreamableHTTPClientTransport(mcp) },
  { name: '2026-07-28', revision: '2026-07-28', mode: { pin: '2026-07-28' }, transport: () => new StreamableHTTPClientTransport(mcp) },
];

async function connect({ name, revision, mode = 'legacy', transport }) {
  const client = new Client({ name: 'eras', version: '0' }, { versionNegotiation: { mode } });
  await client.connect(transport());
  assert.equal(client.getNegotiatedProtocolVersion(), revision, name);
  return client;
}

/** So many calls at a time that an answer could reach the wrong one; texts of every length, each sent once. */
async function callMany(client, who) {
  let next = 0;
  const lane = async () => {
    while (next < CALLS) {
      const call = next++;
      const sent = `${who}, call ${call}: ${'x'.repeat((call * call * 17) % 5000)}`;
      const { content } = await client.callTool({ name: 'echo', arguments: { text: sent } });
      assert.deepEqual(content, [{ type: 'text', text: sent }], who);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
}

let clients = [];
const connected = await check(`${CLIENTS} clients of each era connect at once`, async () => {
  const wanted = Array.from({ length: CLIENTS }, (_, number) => ERAS.map((era) => ({ era, who: `${era.name} client ${number}` }))).flat();
  clients = await Promise.all(wanted.map(async ({ era, who }) => ({ who, client: await connect(era) })));
  return `${clients.length} clients`;
});
if (connected) {
  await check('each gets its own replies', async () => {
    const begun = performance.now();
    await Promise.all(clients.map(({ client, who }) => callMany(client, who)));
    const seconds = (performance.now() - begun) / 1000;
    return `${clients.length * CALLS} calls in ${seconds.toFixed(1)} s`;
  });
  await check('all of them are still well, and close', async () => {
    await Promise.all(clients.map(({ client, who }) => callMany(client, `${who}, again`)));
    await Promise.all(clients.map(({ client }) => client.close()));
  });
}
finish();
