// A server made of a manifest, with clients of both TypeScript SDKs, over each transport: what its commands, files and prompts
// become, who may see them, and a manifest that changes under its clients.
import { assert, check, finish, pause } from './report.mjs';
import { ALL, ELICITATION, Session, accept, eventually, textOf } from './questions.mjs';

const { INTEROP_URL, INTEROP_GUARDED_URL, INTEROP_BINARY, INTEROP_MANIFEST, INTEROP_TOKENS } = process.env;
const stdio = !INTEROP_URL;
const http = Boolean(process.env.INTEROP_HTTP);
// Clients that can choose the newest era have to.
const stateless = Boolean(process.env.INTEROP_ERA);

const TOOLS = ['say', 'fail', 'dot', 'facts', 'count', 'sure', 'anyway', 'wait', 'ended', 'note', 'change'];
const FILES = ['x:///note', 'x:///release', 'docs:///a.txt', 'docs:///dot.png', 'docs:///sub/b.md'];
const CHANGED = ['tools', 'resources', 'prompts'].map((kind) => `notifications/${kind}/list_changed`);

/** A client of the manifest's server, or with a token of its twin that wants one. */
const open = (sdk, capabilities = ALL, token = undefined) =>
  Session.open(sdk, capabilities, (_, record) => {
    if (stdio) return new sdk.StdioClientTransport({ command: INTEROP_BINARY, args: ['serve', INTEROP_MANIFEST, '--stdio'], env: process.env, stderr: 'ignore' });
    const url = new URL(token === undefined ? INTEROP_URL : INTEROP_GUARDED_URL);
    if (http) url.pathname = '/mcp';
    const authorization = token ? { Authorization: `Bearer ${token}` } : {};
    const fetch = (target, init) => record(target, { ...init, headers: { ...Object.fromEntries(new Headers(init?.headers)), ...authorization } });
    return new (http ? sdk.StreamableHTTPClientTransport : sdk.SSEClientTransport)(url, { fetch });
  });

export async function runManifest(sdk) {
  const session = await open(sdk);
  await checkLists(sdk, session);
  await checkCalls(session);
  await checkResources(session);
  await checkPrompts(session);
  await checkConfirmation(sdk, session);
  await checkCancelling(session);
  if (!stdio) await checkPrincipals(sdk);
  await checkUpdates(session);
  await checkReload(sdk, session);
  await check('the first client is still well', async () => {
    assert.equal(await session.text('say', { text: 'bye' }), 'bye, 1');
    await session.client.close();
  });
  finish();
}

async function listed(sdk, { client }) {
  // The files of a folder have pages of their own.
  const names = async (method, member, name, cursor = undefined) => {
    const page = await sdk.request(client, method, cursor ? { cursor } : {});
    const rest = page.nextCursor ? await names(method, member, name, page.nextCursor) : [];
    return [...page[member].map((item) => item[name]), ...rest];
  };
  return {
    tools: await names('tools/list', 'tools', 'name'),
    resources: await names('resources/list', 'resources', 'uri'),
    templates: await names('resources/templates/list', 'resourceTemplates', 'uriTemplate'),
    prompts: await names('prompts/list', 'prompts', 'name'),
  };
}

async function checkLists(sdk, session) {
  await check('all is listed but what is restricted', async () => {
    if (stateless) assert.equal(session.client.getNegotiatedProtocolVersion(), '2026-07-28');
    assert.equal(session.client.getServerVersion().title, 'Interop');
    assert.equal(session.client.getInstructions(), 'Commands, files and prompts.');
    const { tools, resources, templates, prompts } = await listed(sdk, session);
    assert.deepEqual(tools, TOOLS);
    assert.deepEqual(new Set(resources), new Set(FILES));
    assert.ok(templates.includes('x:///said/{word}'), templates.join());
    assert.deepEqual(prompts, ['slow', 'chat']);
    const [say] = (await session.client.listTools()).tools;
    assert.deepEqual(say.inputSchema.required, ['text']);
    assert.deepEqual([say.title, say.annotations.readOnlyHint], ['Say', true]);
  });
}

async function checkCalls(session) {
  await check('a call with right arguments', async () => {
    for (const text of ['one', 'é ✓ 𝄞', "it's $(id) `id` ; \"x\" \\", '-n', '', '%s%n', 'two\nlines']) {
      assert.equal(await session.text('say', { text, times: 2 }), `${text}, 2`);
    }
    assert.equal(await session.text('say', { text: 'a default' }), 'a default, 1');
  });
  await check('wrong arguments are named, and what would be right', async () => {
    for (const [args, words] of [[{}, /text/], [{ text: 5 }, /text.*string/], [{ text: 'x'.repeat(101) }, /text.*100/], [{ text: 'x', times: 4 }, /times.*3/], [{ text: 'x', more: 1 }, /more/]]) {
      assert.match(await session.refusal('say', args), words);
    }
  });
  await check('a command that fails says how', async () => {
    const told = await session.refusal('fail');
    assert.match(told, /3/);
    assert.match(told, /went wrong/);
    return told.replaceAll('\n', ' ');
  });
  await check('an image', async () => {
    const { content } = await session.call('dot');
    assert.deepEqual([content.length, content[0].type, content[0].mimeType, content[0].data.slice(0, 11)], [1, 'image', 'image/png', 'iVBORw0KGgo']);
  });
  await check('structured JSON', async () => {
    const { structuredContent } = await session.call('facts');
    assert.deepEqual(structuredContent, { name: 'router', up: true });
  });
  await check('lines are progress, and the result', async () => {
    const heard = [];
    const told = await session.text('count', {}, { onprogress: ({ progress, message }) => heard.push([progress, message]) });
    assert.equal(told.trim(), 'line 1\nline 2\nline 3');
    // The latest stands for those that no client has taken yet.
    assert.deepEqual(heard.at(-1), [3, 'line 3']);
    assert.ok(heard.every(([progress, message]) => message === `line ${progress}`), JSON.stringify(heard));
    return `${heard.length} of 3`;
  });
  await check('ten calls at once of a tool of which four run', async () => {
    const texts = Array.from({ length: 10 }, (_, number) => `call ${number}`);
    assert.deepEqual(await Promise.all(texts.map((text) => session.text('say', { text }))), texts.map((text) => `${text}, 1`));
  });
}

async function checkResources({ client }) {
  const read = async (uri) => (await client.readResource({ uri })).contents[0];
  await check('files, a folder, commands', async () => {
    assert.deepEqual([(await read('x:///note')).text, (await read('x:///note')).mimeType], ['first\n', 'text/plain']);
    assert.match((await read('x:///release')).text, /Linux/);
    assert.equal((await read('x:///said/hello%20there')).text, 'said hello there');
    assert.equal((await read('docs:///sub/b.md')).text, '# Below\n');
    const dot = await read('docs:///dot.png');
    assert.deepEqual([dot.mimeType, dot.blob.slice(0, 11)], ['image/png', 'iVBORw0KGgo']);
  });
  await check('what is outside of the folder, or hidden in it, is not found', async () => {
    const outside = ['../note.txt', '%2e%2e/note.txt', 'sub/../../note.txt', '/etc/passwd', 'link', 'inside', '.hidden', 'sub', 'no-such', 'a.txt%00'];
    for (const path of outside) {
      await assert.rejects(client.readResource({ uri: `docs:///${path}` }), ({ code }) => [-32002, -32602].includes(code), path);
    }
  });
}

async function checkPrompts({ client }) {
  await check('prompts and their completion', async () => {
    const { messages } = await client.getPrompt({ name: 'slow', arguments: { host: 'wan' } });
    assert.deepEqual(messages, [{ role: 'user', content: { type: 'text', text: 'Find out why wan is slow.' } }]);
    const chat = (await client.getPrompt({ name: 'chat' })).messages;
    assert.deepEqual(chat.map(({ role }) => role), ['user', 'assistant']);
    const ref = { type: 'ref/prompt', name: 'slow' };
    const { completion } = await client.complete({ ref, argument: { name: 'host', value: 'la' } });
    assert.deepEqual(completion.values, ['lan', 'lab']);
    await assert.rejects(client.getPrompt({ name: 'slow' }), /host/);
  });
}

async function checkConfirmation(sdk, session) {
  await check('a confirmation: yes, no, neither', async () => {
    session.answers[ELICITATION] = ({ message, requestedSchema }) => {
      assert.match(message, /Restart the router now\?[^]*host: "wan"/);
      assert.deepEqual(requestedSchema.properties, {});
      return { action: 'accept', content: {} };
    };
    assert.equal(await session.text('sure', { host: 'wan' }), 'restarted');
    const told = [];
    for (const action of ['decline', 'cancel']) {
      session.answers[ELICITATION] = () => ({ action });
      told.push(await session.refusal('sure', { host: 'wan' }));
    }
    assert.match(told[0], /does not want/);
    assert.match(told[1], /did not answer/);
    session.answers[ELICITATION] = accept({});
    assert.equal(await session.text('anyway'), 'went on');
    session.answers[ELICITATION] = () => ({ action: 'decline' });
    assert.match(await session.refusal('anyway'), /does not want/);
  });
  await check('a confirmation: a client that cannot ask', async () => {
    const unable = await open(sdk, {});
    // Since 2026-07-28 it is an error of the request, for the client to handle.
    const told = stateless ? await unable.call('sure').then(textOf, ({ code, message }) => `${code}: ${message}`) : await unable.refusal('sure');
    assert.equal(/^-32021/.test(told), stateless);
    assert.match(told, /elicitation/);
    assert.equal(await unable.text('anyway'), 'went on');
    await unable.client.close();
    return told;
  });
}

async function checkCancelling(session) {
  await check('a call that is cancelled ends its command', async () => {
    const abort = new AbortController();
    const before = await session.text('ended');
    const call = session.call('wait', {}, { signal: abort.signal });
    await eventually(async () => (await session.text('ended')) !== before, 'the command waits');
    abort.abort('no longer wanted');
    await assert.rejects(call);
    await eventually(async () => /^(\d+) ended \1 waits$/.test((await session.text('ended')).trim()), 'the command is ended');
  });
}

async function checkPrincipals(sdk) {
  const { ada, bob } = JSON.parse(INTEROP_TOKENS);
  await check('one with a token that may see it calls what is restricted', async () => {
    const session = await open(sdk, ALL, ada);
    assert.ok((await listed(sdk, session)).tools.includes('secret'));
    assert.equal(await session.text('secret'), 'hush');
    await session.client.close();
  });
  await check('for one with another token it does not exist', async () => {
    const session = await open(sdk, ALL, bob);
    assert.ok(!(await listed(sdk, session)).tools.includes('secret'));
    await assert.rejects(session.call('secret'), ({ code, message }) => code === -32602 && /secret/.test(message));
    assert.equal(await session.text('say', { text: 'bob' }), 'bob, 1');
    await session.client.close();
  });
  await check('without a token, or with a wrong one, there is no connection', async () => {
    for (const token of ['', `${bob}x`]) await assert.rejects(open(sdk, ALL, token), /401|[Uu]nauthorized|invalid_token/);
  });
}

/** Waits for what the server says of changes: to those that listen for them, where there are no sessions. */
async function listening(session, filter, body) {
  if (!stateless) return body();
  const subscription = await session.client.listen(filter);
  await body();
  await subscription.close();
}

async function checkUpdates(session) {
  const { client } = session;
  const uri = 'x:///note';
  await check('a subscribed file that changes is announced', async () => {
    if (!stateless) await client.subscribeResource({ uri });
    await listening(session, { resourceSubscriptions: [uri] }, async () => {
      session.messages = [];
      await session.text('note', { text: 'second' });
      const [params] = await session.until('notifications/resources/updated');
      assert.equal(params.uri, uri);
      assert.equal((await client.readResource({ uri })).contents[0].text, 'second');
    });
    if (!stateless) await client.unsubscribeResource({ uri });
    await session.text('note', { text: 'first\n' });
  });
}

async function checkReload(sdk, session) {
  await check('a reload is announced, and calls go on', async () => {
    // Over Streamable HTTP a client opens its stream on the side, and says nothing of it.
    if (http && !stateless) await pause(300);
    await listening(session, { toolsListChanged: true, resourcesListChanged: true, promptsListChanged: true }, async () => {
      for (const [to, there] of [['two', true], ['one', false]]) {
        session.messages = [];
        // This one runs while the other manifest is read.
        const running = session.text('count');
        await session.text('change', { to });
        for (const method of CHANGED) await session.until(method);
        const lists = await listed(sdk, session);
        assert.equal(lists.tools.includes('extra'), there);
        assert.equal(lists.resources.includes('x:///extra'), there);
        assert.equal(lists.prompts.includes('extra'), there);
        assert.equal((await running).trim(), 'line 1\nline 2\nline 3');
        if (there) assert.equal(await session.text('extra'), 'more');
        else await assert.rejects(session.call('extra'), /extra/);
      }
    });
  });
  await check('a manifest with mistakes changes nothing', async () => {
    session.messages = [];
    await session.text('change', { to: 'wrong' });
    await pause(300);
    assert.deepEqual((await listed(sdk, session)).tools, TOOLS);
    assert.deepEqual(session.messages.filter(({ method }) => method), []);
    await session.text('change', { to: 'one' });
  });
}
