// The TypeScript SDK 1 (`@modelcontextprotocol/sdk`), as an adapter for the checks and questions that both SDKs share.
import { createRequire } from 'node:module';
import { runAwkward } from './awkward.mjs';
import { runChecks } from './checks.mjs';
import { runManifest } from './manifest.mjs';
import { runQuestions } from './questions.mjs';
import { runSame } from './same.mjs';

const require = createRequire(`${process.env.INTEROP_PACKAGES}/`);
const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { SSEClientTransport } = require('@modelcontextprotocol/sdk/client/sse.js');
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { StdioClientTransport } = require('@modelcontextprotocol/sdk/client/stdio.js');
const { UriTemplate } = require('@modelcontextprotocol/sdk/shared/uriTemplate.js');
const types = require('@modelcontextprotocol/sdk/types.js');

const results = {
  'tools/list': types.ListToolsResultSchema,
  'resources/list': types.ListResourcesResultSchema,
  'resources/templates/list': types.ListResourceTemplatesResultSchema,
  'prompts/list': types.ListPromptsResultSchema,
};

const questions = {
  'sampling/createMessage': types.CreateMessageRequestSchema,
  'elicitation/create': types.ElicitRequestSchema,
  'roots/list': types.ListRootsRequestSchema,
};

const sdk = {
  Client,
  SSEClientTransport,
  StreamableHTTPClientTransport,
  StdioClientTransport,
  UriTemplate,
  request: (client, method, params) => client.request({ method, params }, results[method] ?? types.ResultSchema),
  isResourceNotFound: ({ code }) => code === -32002,
  answer: (client, method, handler) => client.setRequestHandler(questions[method], handler),
  signal: (context) => context.signal,
  call: (client, params, options) => client.callTool(params, undefined, options),
};

const runs = { questions: runQuestions, awkward: runAwkward, manifest: runManifest, same: runSame };
await (runs[process.argv[2]] ?? runChecks)(sdk);
