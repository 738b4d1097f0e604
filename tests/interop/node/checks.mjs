// What every TypeScript client has to manage against the server. The SDKs differ in a few calls: see the adapters.
import { assert, check, finish, pause } from './report.mjs';
import { promptArguments, toolArguments } from './samples.mjs';
import { LEGACY_REVISIONS, postToDeadSession } from './wire.mjs';
import { Proxy } from './proxy.mjs';

const http = Boolean(process.env.INTEROP_HTTP);
/** Clients that may use the newest era have to. There are no sessions in it. */
const stateless = Boolean(process.env.INTEROP_ERA);
/** A server may keep none for older clients either. */
const sessionless = stateless || Boolean(process.env.INTEROP_SESSIONLESS);
/** Over Streamable HTTP the same server is elsewhere. */
const at = (base) => new URL(http ? '/mcp' : base, base);
// A client of standard input and output has none.
const url = process.env.INTEROP_URL && at(process.env.INTEROP_URL);
const unpagedUrl = process.env.INTEROP_UNPAGED_URL && at(process.env.INTEROP_UNPAGED_URL);
const own = Boolean(process.env.INTEROP_OWN);
const pageItems = Number(process.env.INTEROP_PAGE_ITEMS ?? 0);
const keepAliveMs = Number(process.env.INTEROP_KEEP_ALIVE_MS ?? 0);

const SESSIONS = 20;
const CALLS = 25;

/** Each list method with the member that holds its items and what tells two items apart. */
const LISTS = [
  ['tools/list', 'tools', 'name'],
  ['resources/list', 'resources', 'uri'],
  ['resources/templates/list', 'resourceTemplates', 'uriTemplate'],
  ['prompts/list', 'prompts', 'name'],
];

export async function runChecks(sdk, more = async () => {}) {
  let connection;
  const connected = await check(stateless ? 'connect and discover' : 'connect and initialize', async () => {
    connection = await connect(sdk, url);
    const { client, posts } = connection;
    assert.ok(client.getServerVersion()?.name, 'serverInfo has no name');
    const revision = posts.at(-1).revision;
    assert.ok((stateless ? ['2026-07-28'] : LEGACY_REVISIONS).includes(revision), `negotiated ${revision}`);
    assert.equal(posts.some(({ method }) => method === 'initialize'), !stateless);
    return `${client.getServerVersion().name} ${client.getServerVersion().version}, ${revision}`;
  });
  if (!connected) return finish();
  const { client } = connection;

  const lists = await checkLists(sdk, client);
  await more(client, lists);
  await checkTools(client, lists.tools);
  await checkResources(sdk, client, lists);
  await checkPrompts(client, lists.prompts);
  if (!stateless) await checkSession(client, lists);
  await checkCompletion(client, lists);
  await checkErrors(sdk, client);
  await checkManySessions(sdk);
  if (keepAliveMs) await checkIdle(client);
  if (!http) await checkReconnect(sdk);
  if (sessionless) await checkNoSession(connection);
  else await checkClose(connection);
  finish();
}

/** A connected client, and a record of what its transport posted. */
async function connect(sdk, to) {
  const posts = [];
  const recording = (target, init) => {
    if (init?.method === 'POST') {
      const headers = new Headers(init.headers);
      const revision = headers.get('mcp-protocol-version');
      const endpoint = http ? headers.get('mcp-session-id') : String(target);
      posts.push({ endpoint, method: JSON.parse(init.body).method, revision });
    }
    return fetch(target, init);
  };
  const client = new sdk.Client(
    { name: 'interop', version: '0' },
    { capabilities: { sampling: {}, elicitation: {}, roots: {} }, ...sdk.options },
  );
  sdk.answer(client, 'sampling/createMessage', () => ({
    role: 'assistant',
    model: 'none',
    content: { type: 'text', text: 'sampled' },
  }));
  sdk.answer(client, 'elicitation/create', ({ params }) => ({
    action: 'accept',
    content: toolArguments(params.requestedSchema ?? {}),
  }));
  sdk.answer(client, 'roots/list', () => ({ roots: [{ uri: 'file:///sample', name: 'sample' }] }));
  const Transport = http ? sdk.StreamableHTTPClientTransport : sdk.SSEClientTransport;
  await client.connect(new Transport(to, { fetch: recording }));
  return { client, posts };
}

async function checkLists(sdk, client) {
  const lists = {};
  for (const [method, member, key] of LISTS) {
    lists[member] = [];
    await check(`${method}, page by page`, async () => {
      const { items, pages } = await walk(sdk, client, method, member);
      assert.equal(new Set(items.map((item) => item[key])).size, items.length, 'an item is listed twice');
      if (pageItems) assert.equal(pages, Math.max(1, Math.ceil(items.length / pageItems)), 'pages');
      if (member === 'tools') assert.ok(items.length > 0, 'no tools');
      lists[member] = items;
      return `${items.length} on ${pages} pages`;
    });
  }
  if (unpagedUrl) {
    await check('the pages together are the whole lists', async () => {
      const { client: unpaged } = await connect(sdk, unpagedUrl);
      for (const [method, member] of LISTS) {
        const { items, pages } = await walk(sdk, unpaged, method, member);
        assert.equal(pages, 1);
        assert.deepEqual(items, lists[member]);
      }
      await unpaged.close();
    });
  }
  return lists;
}

async function walk(sdk, client, method, member) {
  const items = [];
  let cursor;
  let pages = 0;
  do {
    const page = await sdk.request(client, method, cursor === undefined ? {} : { cursor });
    items.push(...page[member]);
    cursor = page.nextCursor;
    pages += 1;
    assert.ok(pages <= 1000, 'the pages do not end');
  } while (cursor !== undefined);
  return { items, pages };
}

const text = (result) => result.content.map((block) => block.text).join('');

async function checkTools(client, tools) {
  await check('every tool can be called', async () => {
    // The client's own listing compiles the output schemas, so that structured results are judged by it.
    await client.listTools();
    const refused = [];
    for (const { name, inputSchema } of tools) {
      const result = await client.callTool({ name, arguments: toolArguments(inputSchema) });
      assert.ok(Array.isArray(result.content), `${name} has no content`);
      if (result.isError) refused.push(`${name}: ${text(result)}`);
    }
    return `${tools.length} tools${refused.length ? `, isError from ${refused.join('; ')}` : ''}`;
  });

  await check('echo gives back its text', async () => {
    for (const sent of ['hello', '', 'é ✓ 𝄞 \u2028', 'line\nline\r\n\ttab', '{"jsonrpc":"2.0"}', 'x'.repeat(100_000)]) {
      const result = await client.callTool({ name: 'echo', arguments: { text: sent } });
      assert.deepEqual(result.content, [{ type: 'text', text: sent }]);
    }
  });

  await check('add gives the sum', async () => {
    for (const [a, b, sum] of [[2, 3, 5], [-1, 1, 0], [0.5, 0.25, 0.75]]) {
      const result = await client.callTool({ name: 'add', arguments: { a, b } });
      assert.equal(Number(text(result)), sum);
    }
  });
}

async function checkResources(sdk, client, { resources, resourceTemplates }) {
  const read = async (uri) => {
    const { contents } = await client.readResource({ uri });
    assert.ok(contents.length > 0, `${uri} is empty`);
    for (const one of contents) {
      assert.ok(one.uri, `${uri}: contents without a URI`);
      assert.ok(typeof one.text === 'string' || typeof one.blob === 'string', `${uri}: neither text nor blob`);
    }
  };
  await check('every resource can be read', async () => {
    for (const { uri } of resources) await read(uri);
    return `${resources.length} resources`;
  });
  await check('every resource template can be filled in and read', async () => {
    for (const { uriTemplate } of resourceTemplates) {
      const template = new sdk.UriTemplate(uriTemplate);
      const variables = Object.fromEntries(template.variableNames.map((name) => [name, 'sample']));
      await read(template.expand(variables));
    }
    return `${resourceTemplates.length} templates`;
  });
}

async function checkPrompts(client, prompts) {
  await check('every prompt can be got', async () => {
    for (const prompt of prompts) {
      const { messages } = await client.getPrompt({ name: prompt.name, arguments: promptArguments(prompt) });
      assert.ok(messages.length > 0, `${prompt.name} has no messages`);
    }
    return `${prompts.length} prompts`;
  });
}

async function checkSession(client, { resources }) {
  await check('ping', async () => {
    await client.ping();
  });
  const capabilities = client.getServerCapabilities();
  if (capabilities.logging) {
    await check('logging/setLevel', async () => {
      await client.setLoggingLevel('debug');
    });
  }
  if (capabilities.resources?.subscribe && resources.length) {
    await check('subscribe and unsubscribe', async () => {
      await client.subscribeResource({ uri: resources[0].uri });
      await client.unsubscribeResource({ uri: resources[0].uri });
    });
  }
}

async function checkCompletion(client, { prompts }) {
  const prompt = prompts.find((one) => one.arguments?.length);
  if (client.getServerCapabilities().completions && prompt) {
    await check('completion/complete', async () => {
      const argument = { name: prompt.arguments[0].name, value: '' };
      const { completion } = await client.complete({ ref: { type: 'ref/prompt', name: prompt.name }, argument });
      assert.ok(Array.isArray(completion.values));
    });
  }
}

async function checkErrors(sdk, client) {
  const refusal = async (promise) => {
    try {
      return { result: await promise };
    } catch (error) {
      return { code: error.code, message: error.message, error };
    }
  };

  await check('an unknown method is -32601', async () => {
    const { code, message } = await refusal(sdk.request(client, 'no/such/method', {}));
    // With the status 404 that it has to have since 2026-07-28, this is an error of HTTP to the SDK, which quotes the body.
    if (stateless) assert.match(message, /"code":-32601/);
    else assert.equal(code, -32601, message);
  });
  await check('an unknown tool is refused', async () => {
    const { code, result } = await refusal(client.callTool({ name: 'no-such-tool', arguments: {} }));
    assert.ok(code === -32602 || result?.isError, `code ${code}, ${JSON.stringify(result)}`);
    return result ? 'isError' : `code ${code}`;
  });
  const wrong = { 'a missing': {}, 'a mistyped': { text: 5 }, ...(own && { 'an unknown': { text: 'x', surplus: 1 } }) };
  for (const [what, sent] of Object.entries(wrong)) {
    const argument = 'surplus' in sent ? 'surplus' : 'text';
    await check(`${what} argument is named`, async () => {
      const { message, result } = await refusal(client.callTool({ name: 'echo', arguments: sent }));
      assert.ok(!result || result.isError, 'the call succeeded');
      const complaint = result ? text(result) : message;
      assert.ok(complaint.includes(argument), `"${complaint}" does not name ${argument}`);
      return complaint;
    });
  }
  await check('an unknown resource is not found', async () => {
    const { error } = await refusal(client.readResource({ uri: 'no-such:resource' }));
    assert.ok(error && sdk.isResourceNotFound(error), `${error?.code}: ${error?.message}`);
  });
  await check('an unknown prompt is -32602', async () => {
    const { code, message } = await refusal(client.getPrompt({ name: 'no-such-prompt', arguments: {} }));
    assert.equal(code, -32602, message);
  });
}

async function checkManySessions(sdk) {
  await check(`${SESSIONS} ${sessionless ? 'clients' : 'sessions'} of ${CALLS} calls at once get their own replies`, async () => {
    const connections = await Promise.all(Array.from({ length: SESSIONS }, () => connect(sdk, url)));
    const endpoints = new Set(connections.map(({ posts }) => posts.at(-1).endpoint));
    assert.equal(endpoints.size, sessionless ? 1 : SESSIONS, 'the number of session ids');
    const calls = Array.from({ length: CALLS }, (_, call) =>
      connections.map(async ({ client }, session) => {
        const sent = `session ${session}, call ${call}`;
        const result = await client.callTool({ name: 'echo', arguments: { text: sent } });
        assert.equal(text(result), sent);
      }),
    );
    await Promise.all(calls.flat());
    await Promise.all(connections.map(({ client }) => client.close()));
  });
}

async function checkIdle(client) {
  await check('a client lives on past keep-alives', async () => {
    await pause(3 * keepAliveMs);
    assert.equal(text(await client.callTool({ name: 'echo', arguments: { text: 'awake' } })), 'awake');
  });
}

async function checkReconnect(sdk) {
  await check('after a cut stream the client goes on in a new session without initialize', async () => {
    const proxy = await Proxy.start(url);
    const { client, posts } = await connect(sdk, proxy.url);
    const echo = async (sent) => text(await client.callTool({ name: 'echo', arguments: { text: sent } }));
    assert.equal(await echo('before'), 'before');
    const before = posts.at(-1).endpoint;

    proxy.cutStreams();
    const deadline = Date.now() + 15_000;
    while (proxy.streamsOpened < 2 && Date.now() < deadline) await pause(50);
    assert.equal(proxy.streamsOpened, 2, 'the client did not reconnect');
    await pause(200);

    const known = posts.length;
    assert.equal(await echo('after'), 'after');
    assert.notEqual(posts.at(-1).endpoint, before, 'the same session');
    assert.deepEqual(posts.slice(known).map(({ method }) => method), ['tools/call']);
    await client.close();
    proxy.stop();
  });
}

async function checkNoSession({ client, posts }) {
  await check('no request was part of a session', async () => {
    assert.ok(posts.every(({ endpoint }) => endpoint === null));
    await client.close();
    return `${posts.length} requests`;
  });
}

async function checkClose({ client, posts }) {
  await check('close ends the session', async () => {
    if (http) {
      const headers = { 'mcp-session-id': posts.at(-1).endpoint, 'content-type': 'application/json' };
      await client.transport.terminateSession();
      await client.close();
      const response = await fetch(url, { method: 'POST', headers, body: '{"jsonrpc":"2.0","id":1,"method":"ping"}' });
      assert.equal(response.status, 404, await response.text());
      return;
    }
    await client.close();
    const { status, body } = await postToDeadSession(posts.at(-1).endpoint);
    if (own) assert.deepEqual({ status, body }, { status: 400, body: 'No transport found for sessionId' });
    else assert.ok(status >= 400, `status ${status}`);
  });
}
