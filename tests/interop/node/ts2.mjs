// The TypeScript SDK 2 (`@modelcontextprotocol/client`), as an adapter for the checks and questions that both SDKs share.
import { createRequire } from 'node:module';
import { assert, check } from './report.mjs';
import { runAwkward } from './awkward.mjs';
import { runChecks } from './checks.mjs';
import { runManifest } from './manifest.mjs';
import { runQuestions } from './questions.mjs';
import { runSame } from './same.mjs';
import { runStateless } from './stateless.mjs';

const require = createRequire(`${process.env.INTEROP_PACKAGES}/`);
const { Client, ResourceNotFoundError, SSEClientTransport, StreamableHTTPClientTransport, UriTemplate } =
  require('@modelcontextprotocol/client');
const { StdioClientTransport } = require('@modelcontextprotocol/client/stdio');
const { z } = require('zod');

const anyResult = z.looseObject({});
const known = new Set(['tools/list', 'resources/list', 'resources/templates/list', 'prompts/list']);

const mode = (era) => (era === 'auto' ? era : { pin: era });

const sdk = {
  Client,
  SSEClientTransport,
  StreamableHTTPClientTransport,
  StdioClientTransport,
  UriTemplate,
  // This SDK can ask for the newest era first and fall back, or insist on one revision of it.
  options: process.env.INTEROP_ERA ? { versionNegotiation: { mode: mode(process.env.INTEROP_ERA) } } : {},
  request: (client, method, params) =>
    known.has(method) ? client.request({ method, params }) : client.request({ method, params }, anyResult),
  // This SDK turns the code -32002 into an error class of its own and shows -32602.
  isResourceNotFound: (error) => error instanceof ResourceNotFoundError,
  answer: (client, method, handler) => client.setRequestHandler(method, handler),
  signal: (context) => context.mcpReq.signal,
  call: (client, params, options) => client.callTool(params, options),
};

const more = async (client, lists) => {
  await check('the client joins the pages of a list by itself', async () => {
    const { tools } = await client.listTools();
    assert.deepEqual(tools.map(({ name }) => name), lists.tools.map(({ name }) => name));
  });
};

switch (process.argv[2]) {
  case 'questions': await runQuestions(sdk); break;
  case 'manifest': await runManifest(sdk); break;
  case 'awkward': await runAwkward(sdk); break;
  case 'same': await runSame(sdk); break;
  case 'stateless': await runStateless(sdk); break;
  default: await runChecks(sdk, more);
}
