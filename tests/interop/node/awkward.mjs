// The example `awkward`: what clients are known to trip over, with clients of both TypeScript SDKs.
import { assert, check, finish } from './report.mjs';
import { ELICITATION, Session, textOf } from './questions.mjs';

const era = process.env.INTEROP_ERA;
/** Since 2026-07-28 a request says which logs it wants, and a client asks to hear of changes. */
const LOGS = era ? { _meta: { 'io.modelcontextprotocol/logLevel': 'debug' } } : {};

const LINES = 'one\u2028two\u2029three\u0085four';
/** What a form may be made of (MCP schema, `ElicitRequestFormParams` and `PrimitiveSchemaDefinition`). */
const FORM_MEMBERS = new Set(['$schema', 'type', 'properties', 'required']);
const FIELD_MEMBERS = new Set(['type', 'title', 'description', 'default', 'format', 'minLength', 'maxLength', 'minimum',
  'maximum', 'enum', 'enumNames', 'oneOf', 'items', 'minItems', 'maxItems']);

export async function runAwkward(sdk) {
  const session = await Session.open(sdk);
  session.client.onerror = (error) => session.complaints.push(error.message);
  session.complaints = [];
  await checkLines(session);
  await checkForms(session);
  await checkUris(sdk, session);
  await checkNumbers(session);
  await checkStructured(session);
  await checkItems(session);
  await checkChanges(session);
  await check('nothing that came was an error to the client', async () => {
    assert.deepEqual(session.complaints, []);
    await session.client.close();
  });
  finish();
}

/** How a call ends that the server answers with an error of its own. */
async function failure(session, name, args) {
  const error = await session.call(name, args).then(() => undefined, (thrown) => thrown);
  assert.equal(error?.code, -32603, `${name}: ${error?.message ?? 'it succeeded'}`);
  return error.message;
}

async function checkLines(session) {
  await check('line separators: in results, progress and logs', async () => {
    const heard = [];
    session.messages = [];
    const options = { onprogress: (progress) => heard.push(progress.message) };
    const result = await session.sdk.call(session.client, { name: 'lines', arguments: {}, ...LOGS }, options);
    assert.deepEqual([result.content[0].text, result.content[1].resource.text], [LINES, LINES]);
    assert.deepEqual([result.structuredContent, heard], [{ text: LINES }, [LINES]]);
    assert.deepEqual((await session.until('notifications/message'))[0].data, { [LINES]: LINES });
  });
  await check('line separators: in both kinds of errors', async () => {
    assert.equal(await session.refusal('lines_refused'), LINES);
    await assert.rejects(session.call('lines_failed'), (error) => error.message.includes(LINES));
  });
  await check('line separators: in a question and its form', async () => {
    session.answers[ELICITATION] = ({ message, requestedSchema }) => {
      assert.deepEqual([message, requestedSchema.properties.text.description], [LINES, LINES]);
      return { action: 'accept', content: { text: LINES } };
    };
    assert.deepEqual((await session.call('lines_asked')).structuredContent, { text: LINES });
  });
  await check('line separators: in lists, resources, prompts and completion', async () => {
    const { client } = session;
    assert.equal(client.getInstructions(), LINES);
    const find = (items, name) => items.find((one) => one.name === name);
    assert.equal(find((await client.listTools()).tools, 'lines').description, LINES);
    assert.equal(find((await client.listResources()).resources, LINES).description, LINES);
    assert.equal(find((await client.listPrompts()).prompts, 'lines').description, LINES);
    assert.equal((await client.readResource({ uri: 'lines:///text' })).contents[0].text, LINES);
    assert.equal((await client.getPrompt({ name: 'lines' })).messages[0].content.text, LINES);
    const { completion } = await client.complete({ ref: { type: 'ref/prompt', name: 'lines' }, argument: { name: 'text', value: '' } });
    assert.deepEqual(completion.values, [LINES]);
  });
}

async function checkForms(session) {
  await check('a form has the members that MCP knows and no others', async () => {
    let requestedSchema;
    session.answers[ELICITATION] = (params) => {
      ({ requestedSchema } = params);
      return { action: 'accept', content: { region: 'north' } };
    };
    assert.equal(await session.text('region'), 'north');
    assert.deepEqual(Object.keys(requestedSchema).filter((name) => !FORM_MEMBERS.has(name)), []);
    assert.deepEqual(Object.keys(requestedSchema.properties.region).filter((name) => !FIELD_MEMBERS.has(name)), []);
  });
  await check('a form by hand that has others is an error of its author', async () => {
    session.answers[ELICITATION] = () => assert.fail('the form was shown');
    const told = await failure(session, 'region_by_hand');
    assert.match(told, /additionalProperties/);
    return told;
  });
}

async function checkUris(sdk, { client }) {
  await check('every resource can be read by the URI in the list, and as a URL type spells it', async () => {
    const { resources } = await client.listResources();
    for (const { uri, name } of resources) {
      for (const spelling of [uri, new URL(uri).href]) {
        const { contents } = await client.readResource({ uri: spelling });
        assert.ok(contents[0].text === `of ${uri}` || name === LINES, `${spelling}: ${contents[0].text}`);
      }
    }
  });
  await check('templates: upper case, and a path of several segments', async () => {
    const { resourceTemplates } = await client.listResourceTemplates();
    const expand = (at, variables) => new sdk.UriTemplate(resourceTemplates[at].uriTemplate).expand(variables);
    const read = async (uri) => (await client.readResource({ uri })).contents[0].text;
    for (const uri of [expand(0, { name: 'Pi' }), 'kbinfo://items/Pi']) assert.equal(await read(uri), 'item Pi');
    assert.equal(await read(expand(1, { path: 'src/lib.rs' })), 'path src/lib.rs');
    await assert.rejects(read('file:///tree/%2E%2E/secret'));
  });
}

async function checkNumbers(session) {
  await check('floats that are not finite are an error that names the field', async () => {
    await session.client.listTools();
    assert.deepEqual((await session.call('mean', { values: [1, 3] })).structuredContent, { mean: 2, smallest: 1 });
    const told = await failure(session, 'mean', { values: [] });
    assert.match(told, /mean/);
    return told;
  });
  await check('progress without a finite total has no total', async () => {
    const heard = [];
    await session.text('endless', {}, { onprogress: (progress) => heard.push(progress) });
    assert.deepEqual(heard, [{ progress: 1 }, { progress: 2 }]);
  });
}

async function checkStructured(session) {
  const promise = (broken) => session.call('promise', { broken });
  await check('a structured result that is kept', async () => {
    await session.client.listTools();
    assert.deepEqual((await promise('kept')).structuredContent, { n: 1 });
  });
  for (const broken of ['no JSON', 'a list', 'more members', 'misfit']) {
    await check(`a structured result that is broken (${broken}) is an error of its author`, () =>
      failure(session, 'promise', { broken }));
  }
  await check('an error whose structure does not fit goes out without it', async () => {
    const { structuredContent, isError, content } = await promise('failed misfit');
    assert.deepEqual([structuredContent, isError, content[0].text], [undefined, true, 'no number']);
  });
}

async function checkItems(session) {
  const { client } = session;
  await check('a link to a URI that is none is an error of its author', () => failure(session, 'link'));
  await check('what clients would refuse is refused before it is listed', async () => {
    assert.equal(await session.text('register'), 'taken: none');
  });
  await check('the lists are whole afterwards', async () => {
    const { tools } = await client.listTools();
    assert.ok(tools.some(({ name }) => name === 'register'));
    for (const { name, inputSchema } of tools) assert.equal(typeof inputSchema.properties, 'object', name);
    for (const { uri } of (await client.listResources()).resources) assert.ok(URL.canParse(uri), uri);
    for (const { uriTemplate } of (await client.listResourceTemplates()).resourceTemplates) {
      assert.ok(URL.canParse(uriTemplate.replace(/\{.*?\}/g, 'x')), uriTemplate);
    }
    return `${tools.length} tools`;
  });
}

async function checkChanges(session) {
  const { client } = session;
  await check('a change is announced before the result that speaks of it', async () => {
    const changed = 'notifications/tools/list_changed';
    const listening = era && await client.listen({ toolsListChanged: true });
    session.messages = [];
    assert.equal(await session.text('grow'), 'call `grown`');
    await session.until(changed);
    await listening?.close();
    // Over Streamable HTTP the two come on different connections, and only the server's order is promised.
    if (!process.env.INTEROP_HTTP) {
      assert.deepEqual(session.messages.map(({ method }) => method), [changed, undefined]);
    }
    assert.equal(await session.text('grown'), 'Here I am');
  });
  await check('_meta and extensions arrive as they were given', async () => {
    const label = 'com.example/label';
    const { tools } = await client.listTools();
    assert.equal(tools.find(({ name }) => name === 'labelled')._meta?.[label], LINES);
    assert.deepEqual((await session.call('labelled'))._meta?.[label], [1, null]);
    assert.deepEqual(client.getServerCapabilities().extensions?.['com.example/awkward'], { text: LINES });
  });
  await check('an optional choice of a prompt may be left empty', async () => {
    const { messages } = await client.getPrompt({ name: 'letter', arguments: { to: 'Ada', tone: '' } });
    assert.equal(textOf({ content: [messages[0].content] }), 'Write to Ada in any tone');
  });
}
