// The example `notes`: two users, who have clients of each era. Nobody sees or hears anything of the other one's notes.
import { assert, check, finish } from './report.mjs';
import { ERAS, base, connect, http, sse, text } from './clients.mjs';

const url = base('INTEROP_URL');
const tokens = JSON.parse(process.env.INTEROP_TOKENS);
const listed = async (client) => (await client.listResources()).resources.map(({ uri }) => uri);

/** What a client hears, and waiting for it. */
function hearing(client, { ResourceListChangedNotificationSchema, ResourceUpdatedNotificationSchema }) {
  const heard = [];
  let wake = () => {};
  const hear = (what) => { heard.push(what); wake(); };
  client.setNotificationHandler(ResourceListChangedNotificationSchema, () => hear('list'));
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => hear(params.uri));
  const until = async (what) => {
    while (!heard.includes(what)) await new Promise((resolve) => { wake = resolve; });
    heard.length = 0;
  };
  return { heard, until };
}

for (const era of ERAS) {
  await check(`${era.name}: each user has notes of their own`, async () => {
    const [ada, bob] = [await connect(era, url, tokens.ada), await connect(era, url, tokens.bob)];
    const uri = (await text(ada, 'put', { text: 'buy milk' })).replace('wrote ', '');
    const id = Number(/\d+$/.exec(uri)[0]);
    assert.deepEqual([await listed(ada), await listed(bob)], [[uri], []]);
    assert.equal((await ada.readResource({ uri })).contents[0].text, 'buy milk');
    await assert.rejects(bob.readResource({ uri }), /not found/i);
    const { isError, content } = await bob.callTool({ name: 'put', arguments: { id, text: 'mine' } });
    assert.deepEqual([isError, content[0].text], [true, `you have no note ${id}; \`find\` lists your notes`]);
    assert.equal(await text(ada, 'find', { word: 'milk' }), `${id}: buy milk\n`);
    const ref = { type: 'ref/resource', uri: 'note:///{id}' };
    const complete = async (client) => (await client.complete({ ref, argument: { name: 'id', value: '' } })).completion.values;
    assert.deepEqual([await complete(ada), await complete(bob)], [[String(id)], []]);
    assert.equal(await text(ada, 'delete', { id }), 'deleted');
    assert.equal(await text(ada, 'count'), '0');
    await Promise.all([ada.close(), bob.close()]);
  });
}

for (const era of [sse, http]) {
  await check(`${era.name}: a user's other client hears of changes, and nobody else`, async () => {
    const [ada, other, bob] = await Promise.all([tokens.ada, tokens.ada, tokens.bob].map((token) => connect(era, url, token)));
    const [at, elsewhere] = [hearing(other, era.notifications), hearing(bob, era.notifications)];
    const uri = (await text(ada, 'put', { text: 'buy milk' })).replace('wrote ', '');
    await at.until('list');
    await other.subscribeResource({ uri });
    await assert.rejects(bob.subscribeResource({ uri }), /not found/i);
    const id = Number(/\d+$/.exec(uri)[0]);
    assert.equal(await text(ada, 'put', { id, text: 'buy bread' }), `replaced ${uri}`);
    await at.until(uri);
    await other.unsubscribeResource({ uri });
    assert.equal(await text(ada, 'delete', { id }), 'deleted');
    await at.until('list');
    // What comes on one stream comes in order: with this reply, anything before it would have been heard.
    await bob.ping();
    assert.deepEqual(elsewhere.heard, []);
    await Promise.all([ada.close(), other.close(), bob.close()]);
  });
}

for (const era of ERAS) {
  await check(`${era.name}: nobody comes in without a token`, async () => {
    for (const token of [undefined, 'no-such-token']) await assert.rejects(connect(era, url, token));
  });
}
await check('what comes without a token gets 401', async () => {
  for (const path of ['/sse', '/mcp']) assert.equal((await fetch(url + path)).status, 401, path);
});
finish();
