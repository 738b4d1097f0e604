// The TypeScript SDKs over standard input and output: the server is a child of theirs, or `mcp-rill connect` to a server of HTTP is.
// Argument: ts1 or ts2.
import { createRequire } from 'node:module';
import { assert, check, finish } from './report.mjs';

const require = createRequire(`${process.env.INTEROP_PACKAGES}/`);
const old = process.argv[2] === 'ts1';
const { Client } = require(old ? '@modelcontextprotocol/sdk/client/index.js' : '@modelcontextprotocol/client');
const { StdioClientTransport } = require(old ? '@modelcontextprotocol/sdk/client/stdio.js' : '@modelcontextprotocol/client/stdio');
const types = old ? require('@modelcontextprotocol/sdk/types.js') : undefined;
const auto = process.env.INTEROP_ERA === 'auto';
const PARALLEL = 50;
const { INTEROP_BINARY, INTEROP_CONNECT, INTEROP_FIXTURE, INTEROP_FIXTURE_URL, INTEROP_HTTP, INTEROP_URL } = process.env;
const connect = (url) => [INTEROP_BINARY, ['connect', INTEROP_HTTP ? url.replace(/\/sse$/, '/mcp') : url]];
const binary = INTEROP_CONNECT ? connect(INTEROP_URL) : [INTEROP_BINARY, ['serve', '--stdio', '--limit', 'page_items_max=2']];
const fixture = INTEROP_CONNECT ? connect(INTEROP_FIXTURE_URL) : [INTEROP_FIXTURE, ['--stdio']];

const textOf = ({ content }) => content.map(({ text }) => text).join('');
const answer = (client, method, schema, handler) => client.setRequestHandler(old ? types[schema] : method, handler);

const start = async (command, args) => {
  const capabilities = { sampling: {}, elicitation: {} };
  const options = auto ? { capabilities, versionNegotiation: { mode: 'auto' } } : { capabilities };
  const client = new Client({ name: 'stdio', version: '0' }, options);
  const errors = [];
  client.onerror = (error) => errors.push(error);
  answer(client, 'sampling/createMessage', 'CreateMessageRequestSchema', ({ params }) => ({
    role: 'assistant', model: 'none', content: { type: 'text', text: `heard ${[params.messages[0].content].flat()[0].text}` },
  }));
  answer(client, 'elicitation/create', 'ElicitRequestSchema', () => ({ action: 'accept', content: { name: 'Ada' } }));
  await client.connect(new StdioClientTransport({ command, args, env: process.env, stderr: 'ignore' }));
  const call = (params, options) => (old ? client.callTool(params, undefined, options) : client.callTool(params, options));
  const text = async (name, args = {}, options = undefined) => textOf(await call({ name, arguments: args }, options));
  return { client, errors, call, text };
};

await check('the binary: lists, calls, errors', async () => {
  const { client, errors, call, text } = await start(...binary);
  if (!old) assert.equal(client.getNegotiatedProtocolVersion(), auto ? '2026-07-28' : '2025-11-25');
  const { tools } = await client.listTools();
  assert.ok(tools.length > 0);
  for (const sent of ['one', 'two\nlines\r\n', '\u2028\u0085 \ud83d\ude00', 'x'.repeat(300_000)]) {
    assert.equal(await text('echo', { text: sent }), sent);
  }
  const failed = await call({ name: 'add', arguments: { a: 'no number' } }).then((result) => result.isError, () => true);
  assert.equal(failed, true);
  const told = await Promise.all(Array.from({ length: PARALLEL }, (_, number) => text('echo', { text: `call ${number}` })));
  assert.deepEqual(told, Array.from({ length: PARALLEL }, (_, number) => `call ${number}`));
  await client.close();
  assert.deepEqual(errors.map(String), []);
});

await check('the fixture: questions, progress, resources', async () => {
  const { client, errors, call, text } = await start(...fixture);
  assert.equal(await text('test_input_required_result_elicitation'), 'Hello, Ada!');
  const prompts = Array.from({ length: PARALLEL }, (_, number) => `call ${number}`);
  const answers = await Promise.all(prompts.map((prompt) => text('test_sampling', { prompt })));
  assert.deepEqual(answers, prompts.map((prompt) => `LLM response: heard ${prompt}`));
  const heard = [];
  await text('test_tool_with_progress', {}, { onprogress: ({ progress }) => heard.push(progress) });
  assert.deepEqual(heard, [0, 50, 100]);
  assert.equal((await call({ name: 'test_error_handling' })).isError, true);
  const { contents } = await client.readResource({ uri: 'test://static-text' });
  assert.equal(contents[0].text, 'This is the content of the static text resource.');
  await client.close();
  assert.deepEqual(errors.map(String), []);
});
finish();
