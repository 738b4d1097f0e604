// mcp-remote, which puts a remote server behind standard input and output: the SDK's stdio client on one end, the fixture on
// the other, over each transport. Arguments: the Node and the script to run.
import { createRequire } from 'node:module';
import { assert, check, finish } from './report.mjs';

const require = createRequire(`${process.env.INTEROP_PACKAGES}/`);
const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { StdioClientTransport } = require('@modelcontextprotocol/sdk/client/stdio.js');
const types = require('@modelcontextprotocol/sdk/types.js');

const [node, script] = process.argv.slice(2);
const PARALLEL = 20;
const ROUTES = [['http-only', '/mcp'], ['sse-only', '/sse'], ['http-first', '/sse']];

const textOf = ({ content }) => content.map(({ text }) => text).join('');

for (const [strategy, path] of ROUTES) {
  const client = new Client({ name: 'remote', version: '0' }, { capabilities: { sampling: {}, elicitation: {} } });
  const named = (name) => `${strategy}: ${name}`;
  const text = async (name, args, options) => textOf(await client.callTool({ name, arguments: args }, undefined, options));
  client.setRequestHandler(types.CreateMessageRequestSchema, ({ params }) => ({
    role: 'assistant', model: 'none', content: { type: 'text', text: `heard ${params.messages[0].content.text}` },
  }));
  client.setRequestHandler(types.ElicitRequestSchema, () => ({ action: 'accept', content: { name: 'Ada' } }));

  const connected = await check(named('connect'), async () => {
    const url = new URL(path, process.env.INTEROP_URL).href;
    // The whole environment: with it comes what keeps the proxy on this machine.
    await client.connect(new StdioClientTransport({
      command: node, args: [script, url, '--transport', strategy, '--allow-http', '--silent'], env: process.env, stderr: 'ignore',
    }));
    return client.getServerVersion().name;
  });
  if (!connected) continue;
  await check(named('lists and calls'), async () => {
    const { tools } = await client.listTools();
    assert.ok(tools.some(({ name }) => name === 'test_simple_text'));
    assert.equal(await text('test_simple_text'), 'This is a simple text response for testing.');
    assert.equal((await client.callTool({ name: 'test_error_handling' })).isError, true);
    const { contents } = await client.readResource({ uri: 'test://static-text' });
    assert.equal(contents[0].text, 'This is the content of the static text resource.');
  });
  await check(named('questions and progress'), async () => {
    assert.equal(await text('test_input_required_result_elicitation'), 'Hello, Ada!');
    const heard = [];
    await text('test_tool_with_progress', {}, { onprogress: ({ progress }) => heard.push(progress) });
    assert.deepEqual(heard, [0, 50, 100]);
  });
  await check(named(`${PARALLEL} calls at once`), async () => {
    const prompts = Array.from({ length: PARALLEL }, (_, number) => `call ${number}`);
    const told = await Promise.all(prompts.map((prompt) => text('test_sampling', { prompt })));
    assert.deepEqual(told, prompts.map((prompt) => `LLM response: heard ${prompt}`));
  });
  await client.close();
}
finish();
