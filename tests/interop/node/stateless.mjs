// What a client without a session can do: the fixture, over 2026-07-28, with an SDK that negotiates it.
import { assert, check, finish, pause } from './report.mjs';
import {
  ALL, ELICITATION, ROOTS, SAMPLING, Session, WATCHED,
  accept, checkCompletion, checkForms, checkProgress, checkRounds, checkSampling, eventually, sampled, textOf,
} from './questions.mjs';

const REVISION = '2026-07-28';
const LOG_LEVEL = 'io.modelcontextprotocol/logLevel';
const PARALLEL = 20;

const TOOLS = 'notifications/tools/list_changed';
const PROMPTS = 'notifications/prompts/list_changed';
const UPDATED = 'notifications/resources/updated';

export async function runStateless(sdk) {
  const session = await Session.open(sdk);
  await check('the era is the newest one, from the first request on', async () => {
    assert.equal(session.client.getNegotiatedProtocolVersion(), REVISION);
    assert.equal(session.client.getServerVersion().name, 'mcp-rill-conformance');
    assert.deepEqual(session.posts.map(({ method }) => method), ['server/discover']);
    return session.client.getProtocolEra();
  });
  await checkContent(session);
  await checkResources(sdk, session);
  await checkPrompts(session);
  await check('completion', () => checkCompletion(session));
  await checkErrors(sdk, session);
  await checkSampling(session);
  await check('a client that fails to answer does not ask again', async () => {
    session.answers[SAMPLING] = () => {
      throw new Error('no model today');
    };
    const posted = session.posts.length;
    assert.match((await refused(session.call('test_sampling', { prompt: 'hello' }))).message, /no model today/);
    assert.equal(session.posts.length, posted + 1);
  });
  await checkForms(session);
  await checkRounds(session);
  await checkProgress(session);
  await checkLogs(session);
  await checkListening(session);
  await checkCancelling(session);
  await check('arguments that are headers, too', () => checkHeaders(session));
  await check('a client that can answer nothing is told so', () => checkIncapable(sdk));
  await check(`${PARALLEL} calls at once on one client: no answer crosses`, () => checkParallel(sdk));
  await check('no request was part of a session', async () => {
    const requests = session.posts.filter(({ id }) => id !== undefined);
    assert.ok(requests.every(({ params }) => params._meta['io.modelcontextprotocol/protocolVersion'] === REVISION));
    assert.ok(session.exchanges.every(({ sent, got }) => !sent.has('mcp-session-id') && !got.has('mcp-session-id')));
    return `${session.exchanges.length} requests`;
  });
  await session.client.close();
  finish();
}

async function checkContent(session) {
  const text = (text) => ({ type: 'text', text });
  const contents = {
    test_simple_text: [text('This is a simple text response for testing.')],
    test_image_content: [{ type: 'image', mimeType: 'image/png', data: 'iVBORw0KGgo' }],
    test_audio_content: [{ type: 'audio', mimeType: 'audio/wav', data: 'UklGRi' }],
    test_embedded_resource: [
      { type: 'resource', resource: { uri: 'test://embedded-resource', mimeType: 'text/plain', text: 'This is an embedded resource content.' } },
    ],
    test_multiple_content_types: [
      text('Multiple content types test:'),
      { type: 'image', mimeType: 'image/png', data: 'iVBORw0KGgo' },
      { type: 'resource', resource: { uri: 'test://mixed-content-resource', mimeType: 'application/json', text: '{"test":"data","value":123}' } },
    ],
  };
  const { tools } = await session.client.listTools();
  for (const [name, wanted] of Object.entries(contents)) {
    await check(`content of ${name}`, async () => {
      assert.ok(tools.some((tool) => tool.name === name && tool.description), 'not listed');
      const { content } = await session.call(name);
      // Of what is encoded, the beginning tells the format.
      const known = content.map((block, at) => (block.data ? { ...block, data: block.data.slice(0, wanted[at].data.length) } : block));
      assert.deepEqual(known, wanted);
    });
  }
  await check('a schema written by hand arrives as it is', async () => {
    const { inputSchema } = tools.find(({ name }) => name === 'json_schema_2020_12_tool');
    assert.equal(inputSchema.$schema, 'https://json-schema.org/draft/2020-12/schema');
    assert.equal(inputSchema.$defs.address.$anchor, 'addressDef');
    assert.deepEqual(inputSchema.then, { required: ['phone'] });
  });
}

async function checkResources(sdk, { client }) {
  const contents = async (uri) => (await client.readResource({ uri })).contents;
  await check('resources and templates are listed and read', async () => {
    const uris = (await client.listResources()).resources.map(({ uri }) => uri);
    assert.deepEqual(uris, ['test://static-text', 'test://static-binary', WATCHED]);
    const [{ text }] = await contents('test://static-text');
    assert.equal(text, 'This is the content of the static text resource.');
    const [binary] = await contents('test://static-binary');
    assert.deepEqual([binary.mimeType, binary.blob.slice(0, 11)], ['image/png', 'iVBORw0KGgo']);
    const [{ uriTemplate }] = (await client.listResourceTemplates()).resourceTemplates;
    const uri = new sdk.UriTemplate(uriTemplate).expand({ id: '123' });
    const [one] = await contents(uri);
    assert.equal(one.uri, 'test://template/123/data');
    assert.deepEqual(JSON.parse(one.text), { id: '123', templateTest: true, data: 'Data for ID: 123' });
  });
  await check('an unknown resource is not found, and named', async () => {
    const error = await refused(client.readResource({ uri: 'test://no-such' }));
    assert.deepEqual([error.code, error.data], [-32602, { uri: 'test://no-such' }]);
  });
}

async function checkPrompts({ client }) {
  await check('prompts are listed and got', async () => {
    const names = (await client.listPrompts()).prompts.map(({ name }) => name);
    assert.ok(names.includes('test_simple_prompt'), names.join());
    const got = async (name, args) => (await client.getPrompt({ name, arguments: args })).messages.map(({ content }) => content);
    assert.deepEqual(await got('test_simple_prompt'), [{ type: 'text', text: 'This is a simple prompt for testing.' }]);
    const [{ text }] = await got('test_prompt_with_arguments', { arg1: 'é', arg2: '2' });
    assert.equal(text, "Prompt with arguments: arg1='é', arg2='2'");
    const [{ resource }] = await got('test_prompt_with_embedded_resource', { resourceUri: 'test://mine' });
    assert.equal(resource.uri, 'test://mine');
    const [{ mimeType }] = await got('test_prompt_with_image');
    assert.equal(mimeType, 'image/png');
  });
}

async function checkErrors(sdk, session) {
  const { client } = session;
  await check('a tool that fails is read by the model', async () => {
    assert.equal(await session.refusal('test_error_handling'), 'This tool intentionally returns an error for testing');
  });
  await check('an unknown tool is -32602', async () => {
    assert.equal((await refused(session.call('no_such_tool'))).code, -32602);
  });
  await check('an unknown prompt is -32602', async () => {
    assert.equal((await refused(client.getPrompt({ name: 'no_such_prompt' }))).code, -32602);
  });
  await check('a wrong argument is named', async () => {
    const told = await session.refusal('test_sampling', { prompt: 5 });
    assert.match(told, /prompt/);
    return told;
  });
  await check('an unknown method is 404', async () => {
    const error = await refused(sdk.request(client, 'no/such/method', {}));
    assert.equal(session.exchanges.at(-1).status, 404);
    return error.message.slice(0, 80);
  });
  await check('what sessions are for is not there', async () => {
    for (const call of [client.ping(), client.setLoggingLevel('debug'), client.subscribeResource({ uri: WATCHED })]) await refused(call);
  });
}

async function checkLogs(session) {
  const heardAt = async (level) => {
    session.messages = [];
    const _meta = level && { [LOG_LEVEL]: level };
    await session.sdk.call(session.client, { name: 'test_logging_tool', arguments: {}, ...(_meta && { _meta }) });
    return session.notifications('notifications/message').map((log) => log.level);
  };
  await check('logs are per request: from its level on, and none without one', async () => {
    assert.deepEqual(await heardAt('error'), ['error', 'critical', 'alert', 'emergency']);
    assert.deepEqual(await heardAt(undefined), []);
    assert.equal((await heardAt('debug')).length, 8);
    const both = await Promise.all([
      session.sdk.call(session.client, { name: 'test_tool_with_logging', arguments: {}, _meta: { [LOG_LEVEL]: 'debug' } }),
      session.sdk.call(session.client, { name: 'test_tool_with_logging', arguments: {} }),
    ]);
    assert.deepEqual(both.map(textOf), ['Logged three times', 'Logged three times']);
    assert.equal(session.notifications('notifications/message').length, 8 + 3);
  });
}

async function checkListening(session) {
  const { client } = session;
  const tell = async (tool) => {
    session.messages = [];
    return session.text(tool);
  };
  const heard = () => session.messages.map(({ method }) => method).filter((method) => method?.startsWith('notifications/'));
  await check('listening: what was asked for arrives, and nothing else', async () => {
    const listening = await client.listen({ toolsListChanged: true, resourceSubscriptions: [WATCHED] });
    assert.deepEqual(listening.honoredFilter, { toolsListChanged: true, resourceSubscriptions: [WATCHED] });
    for (const there of [true, false]) {
      await tell('test_trigger_tool_change');
      await session.until(TOOLS);
      const { tools } = await client.listTools();
      assert.equal(tools.some(({ name }) => name === 'test_dynamic_tool'), there);
    }
    const version = (await tell('test_update_watched_resource')).toLowerCase();
    assert.equal((await session.until(UPDATED))[0].uri, WATCHED);
    const { contents } = await client.readResource({ uri: WATCHED });
    assert.ok(contents[0].text.endsWith(version), contents[0].text);
    await tell('test_trigger_prompt_change');
    await tell('test_trigger_prompt_change');
    await pause(200);
    assert.deepEqual(heard(), []);
    await listening.close();
    assert.equal(await listening.closed, 'local');
    await tell('test_update_watched_resource');
    await pause(200);
    assert.deepEqual(heard(), []);
  });
  await check('listening twice: each stream carries its own', async () => {
    const [tools, prompts] = await Promise.all([client.listen({ toolsListChanged: true }), client.listen({ promptsListChanged: true })]);
    const ids = {};
    for (const [tool, method] of [['test_trigger_tool_change', TOOLS], ['test_trigger_prompt_change', PROMPTS]]) {
      await tell(tool);
      const [{ _meta }] = await session.until(method);
      ids[method] = _meta['io.modelcontextprotocol/subscriptionId'];
      assert.deepEqual(heard(), [method]);
      await tell(tool);
      await session.until(method);
    }
    assert.notEqual(ids[TOOLS], ids[PROMPTS]);
    await Promise.all([tools.close(), prompts.close()]);
  });
}

async function checkCancelling(session) {
  const cancelled = async () => Number(await session.text('test_wait_cancelled'));
  await check('a call that is given up stops', async () => {
    const before = await cancelled();
    const abort = new AbortController();
    const call = session.call('test_wait', { seconds: 30 }, { signal: abort.signal });
    await pause(200);
    abort.abort('no longer wanted');
    await assert.rejects(call);
    await eventually(async () => (await cancelled()) === before + 1, 'the tool sees that it is cancelled');
  });
  await check('a slow call holds nobody up', async () => {
    const call = session.text('test_wait', { seconds: 1 });
    await pause(100);
    const begun = performance.now();
    await session.text('test_simple_text');
    const ms = performance.now() - begun;
    assert.ok(ms < 500, `${ms} ms`);
    assert.equal(await call, 'waited');
    return `${ms.toFixed(1)} ms`;
  });
}

async function checkHeaders(session) {
  const { tools } = await session.client.listTools();
  assert.equal(tools.find(({ name }) => name === 'test_x_mcp_header').inputSchema.properties.region['x-mcp-header'], 'Region');
  for (const region of ['eu-west-1', 'Zürich ✓', ' padded ', '', '=?base64?no?=']) {
    assert.equal(await session.text('test_x_mcp_header', { region }), `region: ${region}`);
    assert.ok(session.exchanges.at(-1).sent.has('mcp-param-region'), `no header for ${JSON.stringify(region)}`);
  }
}

async function checkIncapable(sdk) {
  const session = await Session.open(sdk, {});
  const error = await refused(session.call('test_missing_capability'));
  assert.deepEqual([error.code, error.data], [-32021, { requiredCapabilities: { sampling: {} } }]);
  for (const [tool, args, word] of [
    ['test_sampling', { prompt: 'hello' }, /sampling/],
    ['test_elicitation', { message: 'hello' }, /elicitation/],
    ['test_input_required_result_list_roots', {}, /roots/],
  ]) assert.match((await refused(session.call(tool, args))).message, word);
  assert.equal(await session.text('test_input_required_result_capabilities'), 'Answers: ');
  await session.client.close();
  return error.message;
}

/** Every call has its question open before any is answered, and they are answered in another order. */
async function checkParallel(sdk) {
  const session = await Session.open(sdk, ALL);
  let asked = 0;
  session.answers[SAMPLING] = async ({ messages }) => {
    const question = messages[0].content.text;
    asked += 1;
    await eventually(() => asked === PARALLEL, `${PARALLEL} questions`);
    await pause(((Number(question.slice(5)) * 7) % PARALLEL) * 5);
    return sampled(`heard ${question}`);
  };
  session.answers[ELICITATION] = accept({});
  session.answers[ROOTS] = () => ({ roots: [] });
  await Promise.all(Array.from({ length: PARALLEL }, async (_, number) => {
    const prompt = `call ${number}`;
    assert.equal(await session.text('test_sampling', { prompt }), `LLM response: heard ${prompt}`);
  }));
  await session.client.close();
}

/** The error of a request that has to fail. */
async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: 'it succeeded' });
}
