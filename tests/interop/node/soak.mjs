// Honest clients of the soak, of one TypeScript SDK: each call carries a nonce, and its reply has to bring that one back.
// Argument: ts1 or ts2. `INTEROP_JOBS` is what python/soak.py wants; the last line on standard output is what came of it.
import { createRequire } from 'node:module';
import { exit } from './report.mjs';

const require = createRequire(`${process.env.INTEROP_PACKAGES}/`);
const old = process.argv[2] === 'ts1';
const root = old ? '@modelcontextprotocol/sdk/client' : '@modelcontextprotocol/client';
const load = (file) => require(old ? `${root}/${file}.js` : root);
const { Client } = load('index');
const { SSEClientTransport } = load('sse');
const { StreamableHTTPClientTransport } = load('streamableHttp');
const { StdioClientTransport } = require(old ? `${root}/stdio.js` : `${root}/stdio`);
const types = old ? require('@modelcontextprotocol/sdk/types.js') : undefined;

const { seconds, jobs } = JSON.parse(process.env.INTEROP_JOBS);
const end = performance.now() + seconds * 1000;
// A machine that is busy otherwise makes everything late; only what never comes is lost.
const REQUEST_TIMEOUT_MS = 180_000;
const PATIENCE_MS = 40_000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const below = (count) => Math.floor(Math.random() * count);
const textOf = ({ content }) => content.map(({ text }) => text).join('');
const answerTo = (question) => `answer to ${question}`;

class Wrong extends Error {}

/** What the clients of one transport got. */
class Tally {
  constructor() {
    Object.assign(this, { calls: 0, operations: {}, refusals: {}, losses: [], wrong: [], notes: {}, times: [] });
  }

  count(table, name) {
    this[table][name] = (this[table][name] ?? 0) + 1;
  }
}

/** A refusal that the server states: its reason. `undefined` is none, so that the call is lost. */
function refusal(error, statuses = []) {
  // A client waits on although its request was refused.
  const text = `${error?.code ?? ''} ${error?.message ?? error} ${statuses.join(' ')}`;
  if (/-32000|busy/i.test(text)) return 'busy';
  if (/\b503\b/.test(text)) return '503';
  if (/\b404\b/.test(text)) return '404, the session has ended';
  if (/\b408\b/.test(text)) return '408, the client was too slow';
  return undefined;
}

const described = (error) => `${error?.message ?? error} ${error?.cause ?? ''}`.slice(0, 300);

let last = 0;
const nonce = (job) => `${process.argv[2]} ${job.carrier} ${process.pid} ${++last} ${Math.random().toString(36).slice(2)}`;
const same = (found, wanted) => {
  if (found !== wanted) throw new Wrong(`${JSON.stringify(found).slice(0, 200)} instead of ${JSON.stringify(wanted).slice(0, 200)}`);
};

class Session {
  static async open(job, tally) {
    const session = new Session();
    const capabilities = { sampling: {}, elicitation: { form: {} } };
    const mode = job.era === 'auto' ? job.era : { pin: job.era };
    const options = job.era ? { capabilities, versionNegotiation: { mode } } : { capabilities };
    const client = new Client({ name: 'soak', version: '0' }, options);
    Object.assign(session, { job, tally, client, updates: new Map(), statuses: [] });
    const on = (method, schema, handler) => client.setRequestHandler(old ? types[schema] : method, handler);
    on('elicitation/create', 'ElicitRequestSchema', ({ params }) => ({
      action: 'accept', content: { name: answerTo(params.message) },
    }));
    on('sampling/createMessage', 'CreateMessageRequestSchema', ({ params }) => ({
      role: 'assistant', model: 'none', content: { type: 'text', text: answerTo([params.messages[0].content].flat()[0].text) },
    }));
    const updated = ({ params }) => session.updates.get(params.uri)?.();
    client.setNotificationHandler(old ? types.ResourceUpdatedNotificationSchema : 'notifications/resources/updated', updated);
    session.transport = session.#transport();
    await client.connect(session.transport, { timeout: REQUEST_TIMEOUT_MS });
    return session;
  }

  #transport() {
    const { carrier, url, token, command } = this.job;
    if (carrier === 'stdio') {
      return new StdioClientTransport({ command: command[0], args: command.slice(1), env: process.env, stderr: 'ignore' });
    }
    const authorized = async (target, init) => {
      const headers = new Headers(init?.headers);
      headers.set('Authorization', `Bearer ${token}`);
      const response = await fetch(target, { ...init, headers });
      if (response.status >= 400 && response.status !== 405) this.statuses.push(`${init?.method ?? 'GET'} ${response.status}`);
      return response;
    };
    const Transport = carrier === 'sse' ? SSEClientTransport : StreamableHTTPClientTransport;
    return new Transport(new URL(url), { fetch: authorized });
  }

  call(name, args, options = {}) {
    const more = { timeout: REQUEST_TIMEOUT_MS, ...options };
    const params = { name, arguments: args };
    return old ? this.client.callTool(params, undefined, more) : this.client.callTool(params, more);
  }

  async text(name, args, options) {
    const result = await this.call(name, args, options);
    if (result.isError) throw new Error(`isError: ${textOf(result)}`);
    return textOf(result);
  }

  /** Waits for an update of this resource; `tell` makes one. */
  async #updated(uri, tell) {
    // The stream that carries it may not be open yet, as a client opens it on the side: then it is told again.
    for (let tries = 0; tries < 3; tries += 1) {
      const heard = new Promise((resolve) => this.updates.set(uri, () => resolve(true)));
      await tell();
      if (await Promise.race([heard, pause(PATIENCE_MS / 4).then(() => false)])) return;
      this.tally.count('notes', 'updates that were told again');
    }
    throw new Error(`no update of ${uri}`);
  }

  /** A call that takes longer than its client waits. */
  async #cancelled(tool, args) {
    const abort = new AbortController();
    const call = this.call(tool, args, { signal: abort.signal });
    const ended = call.then(() => 'answered', (error) => (abort.signal.aborted ? 'cancelled' : Promise.reject(error)));
    await Promise.race([ended, pause(20 + below(200))]);
    abort.abort('no longer wanted');
    same(await ended, 'cancelled');
  }

  async close() {
    if (this.job.carrier === 'http' && Math.random() < 0.7) await this.transport.terminateSession();
    await this.client.close();
  }

  static operations = {
    async echo(session, sent) {
      same(await session.text('echo', { text: sent }), sent);
    },
    async big(session, sent) {
      const bytes = below(300_000);
      const found = await session.text('big', { text: sent, bytes });
      same(found.slice(0, sent.length), sent);
      same(found.length, sent.length + bytes);
    },
    async slow(session, sent) {
      const heard = [];
      same(await session.text('slow', { text: sent }, { onprogress: (progress) => heard.push(progress) }), sent);
      for (const [at, { progress, message }] of heard.entries()) {
        same(message, sent);
        if (at > 0 && progress <= heard[at - 1].progress) throw new Wrong(`progress ${progress} after ${heard[at - 1].progress}`);
      }
    },
    async ask(session, sent) {
      same(await session.text('ask', { text: sent }), `${sent} ${answerTo(sent)}`);
    },
    async sample(session, sent) {
      same(await session.text('sample', { text: sent }), `${sent} ${answerTo(sent)}`);
    },
    async away(session, sent) {
      same(await session.text('away', { text: sent }), sent);
    },
    async cancel(session, sent) {
      await session.#cancelled('wait', { text: sent, seconds: 30 });
    },
    async subscribe(session, sent) {
      const uri = `soak:///${encodeURIComponent(sent)}`;
      const tell = async () => same(await session.text('touch', { text: encodeURIComponent(sent) }), encodeURIComponent(sent));
      if (session.client.listen && session.client.getProtocolEra?.() === 'modern') {
        const listening = await session.client.listen({ resourceSubscriptions: [uri] });
        await session.#updated(uri, tell);
        await listening.close();
      } else {
        await session.client.subscribeResource({ uri });
        await session.#updated(uri, tell);
        await session.client.unsubscribeResource({ uri });
      }
      session.updates.delete(uri);
    },
    async read(session, sent) {
      const { contents } = await session.client.readResource({ uri: `soak:///${encodeURIComponent(sent)}` });
      same(contents[0].text, sent);
    },
    async prompt(session, sent) {
      const { messages } = await session.client.getPrompt({ name: 'repeat', arguments: { text: sent } });
      same(messages[0].content.text, sent);
    },
    async list(session) {
      const { tools } = await session.client.listTools();
      if (!tools.length) throw new Wrong('no tools');
    },
    /** Of the manifest: a command. */
    async say(session, sent) {
      same(await session.text('say', { text: sent }), sent);
    },
    async sleep(session) {
      await session.#cancelled('sleep', { seconds: 30 });
    },
  };
}

/** Those that return as soon as they can: their times are counted. */
const QUICK = new Set(['echo', 'read', 'prompt', 'list']);

async function lane(session, operations, tally, budget) {
  while (performance.now() < end && session.left > 0 && !session.over) {
    session.left -= 1;
    const name = operations[below(operations.length)];
    const begun = performance.now();
    tally.calls += 1;
    tally.count('operations', name);
    try {
      await Session.operations[name](session, nonce(session.job));
      if (QUICK.has(name)) tally.times.push(Math.round((performance.now() - begun) * 10));
    } catch (error) {
      const why = error instanceof Wrong ? undefined : refusal(error, session.statuses);
      if (error instanceof Wrong) tally.wrong.push(`${name}: ${error.message}`);
      else if (why) tally.count('refusals', why);
      else tally.losses.push(`${name} after ${Math.round(performance.now() - begun)} ms: ${described(error)} ${session.statuses}`);
      session.over = true;
    }
    await pause(below(budget));
  }
}

async function run(job, tally) {
  while (performance.now() < end) {
    let session;
    try {
      tally.calls += 1;
      session = await Session.open(job, tally);
    } catch (error) {
      const why = refusal(error);
      if (why) tally.count('refusals', why);
      else tally.losses.push(`open: ${described(error)}`);
      await pause(500);
      continue;
    }
    session.left = 30 + below(90);
    await Promise.all(Array.from({ length: job.lanes }, () => lane(session, job.operations, tally, job.pause_ms)));
    await session.close().catch(() => tally.count('notes', 'sessions that were gone before their client ended them'));
  }
}

const tallies = {};
await Promise.all(jobs.flatMap((job) => {
  const tally = (tallies[job.name] ??= new Tally());
  return Array.from({ length: job.sessions }, () => run(job, tally));
}));
console.log(JSON.stringify(tallies));
exit(0);
