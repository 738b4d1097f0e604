// The example `tutorial`, which knows nothing of eras, asked by a client of each: all of them get the same question, and the
// same answer leads to the same result. Arguments: where the packages of the SDKs 1 and 2 are.
import { createRequire } from 'node:module';
import { assert, check, finish } from './report.mjs';

const [require1, require2] = process.argv.slice(2).map((packages) => createRequire(`${packages}/`));
const { Client: Client1 } = require1('@modelcontextprotocol/sdk/client/index.js');
const { SSEClientTransport } = require1('@modelcontextprotocol/sdk/client/sse.js');
const { StreamableHTTPClientTransport: Http1 } = require1('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { ElicitRequestSchema } = require1('@modelcontextprotocol/sdk/types.js');
const { Client: Client2, StreamableHTTPClientTransport: Http2 } = require2('@modelcontextprotocol/client');

const sse = new URL(process.env.INTEROP_URL);
const mcp = new URL('/mcp', sse);
const pin = { versionNegotiation: { mode: { pin: '2026-07-28' } } };
const ERAS = [
  ['HTTP+SSE', Client1, ElicitRequestSchema, {}, () => new SSEClientTransport(sse), '2025-11-25'],
  ['Streamable HTTP', Client1, ElicitRequestSchema, {}, () => new Http1(mcp), '2025-11-25'],
  ['stateless', Client2, 'elicitation/create', pin, () => new Http2(mcp), '2026-07-28'],
];

for (const [era, Client, question, options, transport, revision] of ERAS) {
  await check(`${era}: the same question, the same result`, async () => {
    const client = new Client({ name: 'tutorial', version: '0' }, { capabilities: { elicitation: { form: {} } }, ...options });
    const text = async (name, args) => (await client.callTool({ name, arguments: args })).content[0].text;
    const asked = [];
    let sure = false;
    client.setRequestHandler(question, ({ params }) => {
      asked.push([params.message, Object.keys(params.requestedSchema.properties)]);
      return { action: 'accept', content: { sure } };
    });
    await client.connect(transport());
    assert.equal(await text('whoami', {}), `tutorial 0 with revision ${revision}`);
    assert.equal(await text('add_note', { text: 'milk' }), 'kept as note:///1');
    assert.equal(await text('forget_notes', {}), 'kept them all');
    sure = true;
    assert.equal(await text('forget_notes', {}), 'notes forgotten: 1');
    assert.deepEqual(asked, Array(2).fill(['Forget all notes for good?', ['sure']]));
    assert.equal(await text('add_note', { text: 'bread' }), 'kept as note:///1');
    assert.equal(await text('forget_notes', {}), 'notes forgotten: 1');
    await client.close();
  });
}
finish();
