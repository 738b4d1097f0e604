// A server of another maker behind a bridge: what a client gets there, and what it gets from the same server as its own child.
import { isUtf8 } from 'node:buffer';
import { join } from 'node:path';
import { assert, check, finish } from './report.mjs';
import { promptArguments, toolArguments } from './samples.mjs';
import { ELICITATION, ROOTS, SAMPLING, Session, sampled } from './questions.mjs';

const child = JSON.parse(process.env.INTEROP_CHILD ?? '[]');
const newest = Boolean(process.env.INTEROP_ERA);
const ROOT = { roots: [{ uri: 'file:///sample', name: 'sample' }] };
/** Their results depend on the process, or on what a call before it did. */
const NOT_THE_SAME = /^(get-env|gzip-file-as-resource|move_file|toggle-simulated-logging|toggle-subscriber-updates|get-roots-list)$/;
const UPDATED = 'notifications/resources/updated';

export async function runSame(sdk) {
  const capabilities = { sampling: {}, elicitation: { form: {} }, roots: {} };
  const [command, ...args] = child;
  const direct = await Session.open(sdk, capabilities, () => new sdk.StdioClientTransport({ command, args, env: process.env, stderr: 'ignore' }));
  const bridged = await Session.open(sdk, capabilities);
  const both = [direct, bridged];
  for (const session of both) {
    session.answers = {
      [SAMPLING]: ({ messages }) => sampled(`heard ${JSON.stringify([messages[0].content].flat()[0].text)}`),
      [ELICITATION]: ({ requestedSchema }) => ({ action: 'accept', content: toolArguments(requestedSchema ?? {}) }),
      [ROOTS]: () => ROOT,
    };
  }
  const same = (name, body) => check(name, async () => {
    const [wanted, found] = [await outcome(() => body(direct)), await outcome(() => body(bridged))];
    assert.deepEqual(found, wanted);
    return JSON.stringify(wanted).slice(0, 80);
  });

  await check('it says what it is', async () => {
    const said = ({ client }) => plain([client.getServerVersion(), client.getServerCapabilities(), client.getInstructions()]);
    assert.deepEqual(said(bridged), said(direct));
    if (newest) assert.equal(bridged.client.getNegotiatedProtocolVersion(), '2026-07-28');
  });
  const lists = {};
  for (const [method, member] of [['tools/list', 'tools'], ['resources/list', 'resources'],
    ['resources/templates/list', 'resourceTemplates'], ['prompts/list', 'prompts']]) {
    await same(method, async ({ client, sdk }) => (lists[member] = (await sdk.request(client, method, {}))[member]));
  }
  for (const { name, inputSchema } of lists.tools ?? []) {
    if (NOT_THE_SAME.test(name)) continue;
    await same(`tool ${name}`, async (session) => {
      return session.call(name, argumentsFor(name, inputSchema));
    });
  }
  for (const { uri } of lists.resources ?? []) await same(`resource ${uri}`, ({ client }) => client.readResource({ uri }));
  for (const { uriTemplate } of lists.resourceTemplates ?? []) {
    const uri = new sdk.UriTemplate(uriTemplate).expand({ resourceId: '1', id: '1', name: 'one' });
    await same(`resource ${uri}`, ({ client }) => client.readResource({ uri }));
  }
  for (const prompt of lists.prompts ?? []) {
    await same(`prompt ${prompt.name}`, ({ client }) => client.getPrompt({ name: prompt.name, arguments: promptArguments(prompt) }));
    for (const { name } of prompt.arguments ?? []) {
      const params = { ref: { type: 'ref/prompt', name: prompt.name }, argument: { name, value: '' } };
      await same(`completion of ${prompt.name}, ${name}`, ({ client }) => client.complete(params));
    }
  }
  await same('an unknown tool', (session) => session.call('no_such_tool'));
  await same('an unknown prompt', ({ client }) => client.getPrompt({ name: 'no_such_prompt' }));
  await checkUpdates(both, lists);
  await checkSlow(bridged, lists);
  if (lists.tools.some(({ name }) => name === 'get-roots-list') && !newest) {
    await same('roots', (session) => session.call('get-roots-list'));
  }
  await check('both are well, and close', async () => {
    for (const { client } of both) {
      await client.listTools();
      await client.close();
    }
  });
  finish();
}

/** What came of it, without what differs from one moment to the next. */
async function outcome(body) {
  const settled = await body().catch((error) => {
    // In 2026-07-28 a method that a server does not have is 404 over HTTP, which this SDK reports as it came.
    const [, over] = /^Error POSTing to endpoint: (\{.*\})$/s.exec(error.message) ?? [];
    const { code, message } = over ? JSON.parse(over).error : error;
    return { failed: { code, message: message.replace(/^MCP error -?\d+: /, '') } };
  });
  const text = JSON.stringify(settled, decoded)
    .replace(/[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d{4} [\d:]+ GMT[^"\\]*/g, 'DATE')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'DATE')
    .replace(/\d{1,2}:\d\d:\d\d( [AP]M)?/g, 'TIME')
    .replace(/for session [\w-]+/g, 'for session');
  return plain(JSON.parse(text));
}

/** Blobs that are text are decoded, since a text can say when it was made. */
function decoded(name, value) {
  if (name !== 'blob' || typeof value !== 'string') return value;
  const bytes = Buffer.from(value, 'base64');
  return isUtf8(bytes) ? { text: bytes.toString() } : value;
}

/** Without what only results of one era have. */
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  const own = ([name, one]) => !['resultType', 'ttlMs', 'cacheScope', 'tasks', 'execution', 'io.modelcontextprotocol/serverInfo'].includes(name)
    && !(name === '_meta' && Object.keys(one).every((key) => key === 'io.modelcontextprotocol/serverInfo'));
  return Object.fromEntries(Object.entries(value).filter(own).map(([name, one]) => [name, plain(one)]));
}

let folder;

function argumentsFor(name, schema) {
  const made = toolArguments(schema);
  if (name === 'trigger-long-running-operation') return { duration: 0.6, steps: 3 };
  if (!/server-filesystem/.test(child.join(' '))) return made;
  folder ??= child.at(-1);
  const path = /director|search|tree/.test(name) ? folder : join(folder, 'a.txt');
  if ('path' in made) made.path = path;
  if ('paths' in made) made.paths = [path, join(folder, 'none.txt')];
  if ('content' in made) made.content = 'one\ntwo\n';
  if ('pattern' in made) made.pattern = '**/*.txt';
  if ('tail' in made) delete made.tail;
  return made;
}

async function checkUpdates(both, { tools, resources }) {
  const update = tools.find(({ name }) => name === 'toggle-subscriber-updates');
  if (!update) return;
  await check('updates of a resource come where it is subscribed to', async () => {
    const [{ uri }] = resources;
    for (const session of both) {
      session.messages = [];
      const listens = newest && session === both[1];
      if (listens) await session.client.listen({ resourceSubscriptions: [uri] });
      else await session.client.subscribeResource({ uri });
      await session.call(update.name);
      const told = await session.until(UPDATED);
      assert.equal(told[0].uri, uri);
      await session.call(update.name);
    }
  });
}

async function checkSlow(session, { tools }) {
  const slow = tools.find(({ name }) => ['trigger-long-running-operation', 'wait'].includes(name));
  const counts = tools.find(({ name }) => ['trigger-long-running-operation', 'count'].includes(name));
  if (!slow) return;
  await check('progress comes with its call', async () => {
    const heard = [];
    await session.call(counts.name, { duration: 0.6, steps: 3 }, { onprogress: (one) => heard.push(one) });
    // This SDK loses those that come with the result in one read.
    assert.ok(heard.length > 0 && heard.at(-1).total === 3, JSON.stringify(heard));
    assert.deepEqual(heard.map(({ progress }) => progress), [1, 2, 3].slice(0, heard.length));
  });
  await check('a call that is cancelled is not answered', async () => {
    const abort = new AbortController();
    const call = session.call(slow.name, { duration: 2, steps: 2, seconds: 2 }, { signal: abort.signal });
    setTimeout(() => abort.abort('enough'), 100);
    await assert.rejects(call);
    await session.client.listTools();
  });
}
