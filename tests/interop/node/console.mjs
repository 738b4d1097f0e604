// The console of the binary in a real browser, by keyboard alone.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Browser } from './browser.mjs';
import { assert, check, finish, pause } from './report.mjs';

const origin = (url) => new URL(url).origin;
const PAGE = `${origin(process.env.INTEROP_URL)}/`;
const GUARDED = `${origin(process.env.INTEROP_GUARDED_URL)}/`;
const TOKENS = JSON.parse(process.env.INTEROP_TOKENS);
const BINARY = process.env.INTEROP_BINARY;

const browser = await Browser.start();
const status = (name) => browser.until(`document.body.dataset.status === ${JSON.stringify(name)}`);
const result = () => browser.evaluate(`document.querySelector('[aria-label=Result]').innerText`);
const done = () => browser.until(`/^(Result|Error)/.test(document.querySelector('[aria-label=Result]')?.innerText ?? '') && document.body.dataset.status === 'ready'`);

/** Filters the lists to one item and chooses it. */
async function choose(name) {
  await browser.evaluate('document.activeElement.blur()');
  await browser.keys('/', 'Ctrl+a', [name], 'ArrowDown', 'Enter');
  await browser.until(`document.querySelector('main h2')?.textContent.length > 0`);
}

try {
  await browser.look(1280, 800, 'light');
  await browser.open(PAGE);

  await check('the page connects and lists what the server has', async () => {
    await status('ready');
    await browser.until(`document.querySelectorAll('#lists h2').length === 4`);
    const titles = await browser.evaluate(`[...document.querySelectorAll('#lists h2')].map((one) => one.firstChild.textContent).join()`);
    assert.equal(titles, 'Tools,Resources,Templates,Prompts');
    assert.equal(await browser.evaluate(`document.querySelector('h1').firstChild.textContent`), 'Interop');
  });
  await check('a tool is found with the filter and called', async () => {
    await choose('some times');
    assert.equal(await browser.evaluate('document.activeElement.labels[0].firstChild.textContent.trim()'), 'text');
    await browser.keys(['good day'], 'Tab', 'Ctrl+a', ['2'], 'Ctrl+Enter');
    await done();
    assert.match(await result(), /good day, 2/);
  });
  await check('a field that is needed is not left empty', async () => {
    await choose('some times');
    await browser.keys('Ctrl+Enter');
    assert.equal(await browser.evaluate(`document.activeElement.matches(':invalid')`), true);
    assert.equal(await result(), '');
  });
  await check('the same call in a shell is what was called', async () => {
    await browser.send('Browser.grantPermissions', { origin: PAGE.slice(0, -1), permissions: ['clipboardReadWrite', 'clipboardSanitizedWrite'] });
    await choose('some times');
    await browser.keys(["@it's 3 o'clock"]);
    for (const [button, command] of [['Copy as curl', 'curl'], ['Copy as mcp-rill', 'mcp-rill']]) {
      await browser.tabTo(button);
      await browser.keys('Enter');
      await browser.until(`document.activeElement.textContent === 'Copied'`);
      const copied = await browser.evaluate('navigator.clipboard.readText()');
      assert.ok(copied.startsWith(command), copied);
      const printed = execFileSync('bash', ['-c', `mcp-rill() { "$BINARY" "$@"; }; ${copied}`], { env: { ...process.env, BINARY }, encoding: 'utf8', timeout: 20_000 });
      assert.match(printed, /@it's 3 o'clock, 1/);
    }
  });
  await check('arguments can be written as JSON', async () => {
    await choose('some times');
    await browser.keys(['x']);
    await browser.tabTo('Edit as JSON');
    await browser.keys('Enter');
    await browser.tabTo('Arguments as JSON', true);
    await browser.keys('Ctrl+a', ['{"text": "raw", "times": 3}'], 'Ctrl+Enter');
    await done();
    assert.match(await result(), /raw, 3/);
  });
  await check('a tool that fails says so', async () => {
    await choose('exit code 3');
    await browser.keys('Enter');
    await done();
    assert.match(await result(), /failed[\s\S]*went wrong/);
  });
  await check('an image is shown', async () => {
    await choose('An image');
    await browser.keys('Enter');
    await browser.until(`document.querySelector('main img')?.naturalWidth === 1`);
  });
  await check('structured results are shown', async () => {
    await choose('Structured JSON');
    await browser.keys('Enter');
    await done();
    assert.match(await result(), /"name": "router"/);
  });
  await check('progress is shown while a tool runs', async () => {
    await choose('Three lines');
    await browser.keys('Enter');
    await browser.until(`/line [12]/.test(document.querySelector('[aria-label=Result]').innerText) && document.querySelector('progress')`);
    await done();
    assert.match(await result(), /line 1\s+line 2\s+line 3/);
  });
  await check('Escape cancels a call, and its command ends', async () => {
    await choose('Waits until');
    await browser.keys('Enter');
    await status('calling');
    while (!existsSync(join(dirname(process.env.INTEROP_MANIFEST), 'waits'))) await pause(20);
    await browser.keys('Escape');
    await done();
    assert.match(await result(), /cancelled/);
    await choose('How often');
    for (let tries = 0; !/\d ended/.test(await result()); tries += 1) {
      assert.ok(tries < 50, await result());
      await browser.keys('Enter');
      await done();
    }
  });
  await check('a question is a form, and the call goes on with the answer', async () => {
    await choose('Asks before');
    await browser.keys('Tab', 'Shift+Tab', ['wan'], 'Ctrl+Enter');
    await status('asking');
    assert.match(await browser.evaluate(`document.querySelector('dialog').innerText`), /Restart the router now\?/);
    await browser.tabTo('Accept');
    await browser.keys('Enter');
    await done();
    assert.match(await result(), /restarted/);
  });
  await check('a question can be declined, and closed', async () => {
    for (const keys of [['tab', 'Decline'], ['Escape']]) {
      await choose('Asks before');
      await browser.keys('Ctrl+Enter');
      await status('asking');
      if (keys[0] === 'tab') {
        await browser.tabTo('Decline');
        await browser.keys('Enter');
      } else await browser.keys('Escape');
      await done();
      assert.doesNotMatch(await result(), /restarted/);
    }
  });
  await check('resources are read, and templates filled in', async () => {
    await choose('x:///note');
    await browser.keys('Enter');
    await done();
    assert.ok((await result()).length > 20);
    await choose('x:///said');
    await browser.keys(['so & so'], 'Ctrl+Enter');
    await done();
    assert.match(await result(), /said so & so/);
  });
  await check('prompts are got', async () => {
    await choose('why a host');
    await browser.keys(['lan'], 'Ctrl+Enter');
    await done();
    assert.match(await result(), /user\s+Find out why lan is slow/);
  });
  await check('the messages are shown with time, direction and size', async () => {
    await browser.evaluate('document.activeElement.blur()');
    await browser.tabTo('Messages');
    await browser.keys('Enter');
    await browser.tabTo('Clear');
    await browser.keys('Tab', 'Enter');
    await browser.until(`document.querySelector('#frames details[open] pre').textContent.includes('jsonrpc')`);
    const line = await browser.evaluate(`document.querySelector('#frames summary').innerText`);
    assert.match(line, /^\d\d:\d\d:\d\d\.\d{3}\s+[→←]\s+\S+.*\s+\d+ B$/s);
  });
  await check('a changed list is shown', async () => {
    await choose('take another manifest');
    await browser.evaluate(`document.querySelector('main select').focus()`);
    await browser.keys('ArrowDown', 'Ctrl+Enter');
    await browser.keys('/');
    await browser.evaluate(`document.getElementById('filter').value = ''; document.getElementById('filter').dispatchEvent(new Event('input'))`);
    await browser.until(`[...document.querySelectorAll('#lists button')].filter((one) => one.textContent === 'extra').length === 3`);
  });
  await check('everything that can be used has a role and a name', async () => {
    const tree = await browser.tree();
    for (const role of ['banner', 'navigation', 'main', 'status']) assert.ok(tree.some((node) => node.role === role), `no ${role}`);
    const unnamed = tree.filter((node) => ['button', 'textbox', 'searchbox', 'combobox', 'spinbutton', 'checkbox', 'link', 'dialog', 'list'].includes(node.role) && !node.name);
    assert.deepEqual(unnamed.filter((node) => node.role !== 'list'), []);
  });
  await check('it fits a narrow screen, and a dark one', async () => {
    for (const [width, scheme] of [[360, 'light'], [360, 'dark'], [1280, 'dark']]) {
      await browser.look(width, 800, scheme);
      assert.ok(await browser.evaluate('document.documentElement.scrollWidth <= innerWidth'), `it is wider than ${width} px`);
    }
    await browser.look(1280, 800, 'light');
  });
  await check('it can be connected again and again', async () => {
    for (let times = 0; times < 9; times += 1) {
      await browser.evaluate('document.activeElement.blur()');
      await browser.keys('/');
      await browser.tabTo('Connect', true);
      await browser.keys('Enter');
      await status('ready');
    }
    await browser.until(`document.querySelectorAll('#lists h2').length === 4`);
  });
  await check('a token is asked for, and kept in memory only', async () => {
    await browser.open(GUARDED);
    await status('unauthorized');
    assert.equal(await browser.evaluate('document.activeElement.id'), 'token');
    await browser.keys(['wrong-wrong-wrong-wrong-wrong'], 'Enter');
    await browser.until(`document.getElementById('state').textContent.includes('refused')`);
    await browser.keys('Ctrl+a', [TOKENS.ada], 'Enter');
    await status('ready');
    await browser.until(`document.body.innerText.includes('secret')`);
    assert.equal(await browser.evaluate('JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])'), JSON.stringify([{}, {}, '', GUARDED]));
  });
  await check('nothing leaves the origin, and the policy forbids nothing that the page does', async () => {
    const foreign = browser.requests.filter((url) => !url.startsWith(PAGE) && !url.startsWith(GUARDED) && !/^(data|blob|about):/.test(url));
    assert.deepEqual(foreign, []);
    assert.deepEqual(await browser.evaluate('forbidden'), []);
    assert.deepEqual(browser.errors, []);
  });
  await check('the policy forbids what others would add', async () => {
    await browser.evaluate(`document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.hacked = true' })); document.body.insertAdjacentHTML('beforeend', '<img src="http://127.0.0.1:1/x">')`);
    await browser.until('forbidden.length >= 2');
    assert.equal(await browser.evaluate('window.hacked'), undefined);
  });
} finally {
  await browser.end();
}
finish();
