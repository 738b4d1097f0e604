// A headless Chromium, driven over its debugging protocol as a person drives it: by keys.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pause } from './report.mjs';

const WAIT_MS = 20_000;
const CODES = { Enter: 13, Tab: 9, Escape: 27, ArrowDown: 40, ArrowUp: 38, ' ': 32, '/': 191 };

export class Browser {
  #waiting = new Map();
  #next = 0;
  #session;
  /** Addresses that the page asked for, errors of its scripts, and what its policy forbade. */
  requests = [];
  errors = [];

  static async start() {
    const browser = new Browser();
    browser.folder = mkdtempSync(join(tmpdir(), 'console-'));
    const options = ['--headless=new', '--no-sandbox', '--disable-gpu', '--remote-debugging-port=0', `--user-data-dir=${browser.folder}`];
    browser.process = spawn('chromium', [...options, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'] });
    const address = await new Promise((resolve, reject) => {
      let said = '';
      browser.process.on('error', reject);
      browser.process.on('exit', () => reject(new Error(`chromium ended: ${said.slice(-500)}`)));
      browser.process.stderr.on('data', (data) => {
        said += data;
        const found = /ws:\/\/\S+/.exec(said);
        if (found) resolve(found[0]);
      });
    });
    browser.socket = new WebSocket(address);
    await new Promise((resolve, reject) => {
      browser.socket.onopen = resolve;
      browser.socket.onerror = reject;
    });
    browser.socket.onmessage = ({ data }) => browser.#receive(JSON.parse(data));
    const { targetId } = await browser.send('Target.createTarget', { url: 'about:blank' });
    browser.#session = (await browser.send('Target.attachToTarget', { targetId, flatten: true })).sessionId;
    for (const part of ['Runtime', 'Page', 'Network', 'Log', 'Accessibility']) await browser.send(`${part}.enable`);
    await browser.send('Page.addScriptToEvaluateOnNewDocument', {
      source: `window.forbidden = []; addEventListener('securitypolicyviolation', (event) => forbidden.push(event.violatedDirective + ' ' + event.blockedURI))`,
    });
    return browser;
  }

  #receive(message) {
    if (message.id) {
      this.#waiting.get(message.id)(message);
      this.#waiting.delete(message.id);
    } else if (message.method === 'Network.requestWillBeSent') {
      this.requests.push(message.params.request.url);
    } else if (message.method === 'Runtime.exceptionThrown') {
      this.errors.push(message.params.exceptionDetails.exception?.description ?? message.params.exceptionDetails.text);
    } else if (message.method === 'Log.entryAdded' && message.params.entry.source === 'security') {
      this.errors.push(message.params.entry.text);
    }
  }

  send(method, params = {}) {
    const id = ++this.#next;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (message) => (message.error ? reject(new Error(`${method}: ${message.error.message}`)) : resolve(message.result)));
      this.socket.send(JSON.stringify({ id, method, params, sessionId: this.#session }));
    });
  }

  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  }

  /** Waits until an expression is true. */
  async until(expression) {
    const end = Date.now() + WAIT_MS;
    while (!(await this.evaluate(expression))) {
      if (Date.now() > end) {
        const seen = await this.evaluate('document.body.dataset.status + "; " + document.body.innerText.slice(-400)');
        throw new Error(`never: ${expression}; the page: ${seen}`);
      }
      await pause(20);
    }
  }

  async open(url) {
    await this.send('Page.navigate', { url });
    await this.until('document.readyState === "complete" && document.body.dataset.status !== "connecting"');
  }

  /** Presses keys: names of keys, with `Ctrl+` or `Shift+` before them, and texts in arrays. */
  async keys(...keys) {
    for (const one of keys) {
      if (Array.isArray(one)) {
        await this.send('Input.insertText', { text: one[0] });
        continue;
      }
      const parts = one === '+' ? ['+'] : one.split('+');
      const key = parts.pop();
      const modifiers = (parts.includes('Ctrl') ? 2 : 0) + (parts.includes('Shift') ? 8 : 0);
      const text = { Enter: '\r', ' ': ' ', '/': '/' }[key];
      const event = { key, code: key === ' ' ? 'Space' : key, windowsVirtualKeyCode: CODES[key], modifiers };
      // What a desktop makes of it, and a headless browser does not.
      if (one === 'Ctrl+a') event.commands = ['selectAll'];
      await this.send('Input.dispatchKeyEvent', { type: text && !modifiers ? 'keyDown' : 'rawKeyDown', ...(text && !modifiers && { text }), ...event });
      await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...event });
    }
  }

  /** Presses Tab until the focus is on an element whose text or label this is. */
  async tabTo(name, back = false) {
    for (let presses = 0; presses < 60; presses += 1) {
      await this.keys(back ? 'Shift+Tab' : 'Tab');
      const focused = 'document.activeElement.ariaLabel ?? document.activeElement.labels?.[0]?.textContent ?? document.activeElement.textContent';
      if ((await this.evaluate(focused)).trim().startsWith(name)) return;
    }
    throw new Error(`Tab never comes to ${name}`);
  }

  /** The role and name of everything that the accessibility tree has. */
  async tree() {
    const { nodes } = await this.send('Accessibility.getFullAXTree');
    return nodes.filter((node) => !node.ignored).map((node) => ({ role: node.role?.value, name: node.name?.value ?? '' }));
  }

  async look(width, height, scheme) {
    await this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
    await this.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
  }

  async end() {
    this.socket.close();
    const ended = new Promise((resolve) => this.process.on('exit', resolve));
    this.process.removeAllListeners('exit');
    this.process.on('exit', () => {});
    this.process.kill('SIGKILL');
    await Promise.race([ended, pause(2000)]);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10 });
  }
}
