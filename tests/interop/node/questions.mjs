// What only a server that asks, reports and changes can show: the fixture, with clients of both TypeScript SDKs.
import { assert, check, finish, pause } from './report.mjs';

const http = Boolean(process.env.INTEROP_HTTP);
// A client of standard input and output has none.
const url = process.env.INTEROP_URL && new URL(http ? '/mcp' : process.env.INTEROP_URL, process.env.INTEROP_URL);

const isolated = Boolean(process.env.INTEROP_ISOLATED);

const SESSIONS = 20;
export const WATCHED = 'test://watched-resource';
export const SAMPLING = 'sampling/createMessage';
export const ELICITATION = 'elicitation/create';
export const ROOTS = 'roots/list';
export const ALL = { sampling: {}, elicitation: { form: {} }, roots: {} };

export async function runQuestions(sdk) {
  const session = await Session.open(sdk);
  await checkSampling(session);
  await checkFailure(session);
  await checkForms(session);
  await checkRounds(session);
  await checkProgress(session);
  await checkLogs(session);
  await checkChanges(sdk, session);
  await checkCancelling(session);
  await checkWaiting(session);
  await check('completion', () => checkCompletion(session));
  await check('a client that can answer nothing is told so', () => checkIncapable(sdk));
  await check(`${SESSIONS} sessions with a question each: no answer crosses`, () => checkCrossing(sdk));
  await check('the first session is still well', async () => {
    assert.equal(await session.text('test_simple_text'), 'This is a simple text response for testing.');
    await session.client.close();
  });
  finish();
}

/** The transport over HTTP that the stage is about, with this for its `fetch`. */
const overHttp = (sdk, fetch) => new (http ? sdk.StreamableHTTPClientTransport : sdk.SSEClientTransport)(url, { fetch });

/** A connected client whose answers are set by each check, and what it was told. */
export class Session {
  static async open(sdk, capabilities = ALL, connect = overHttp) {
    const session = new Session();
    session.sdk = sdk;
    session.client = new sdk.Client({ name: 'questions', version: '0' }, { capabilities, ...sdk.options });
    // What the server said, from the transport, which messages it was sent, and the HTTP around them.
    session.messages = [];
    session.posts = [];
    session.exchanges = [];
    session.answers = {};
    for (const method of Object.keys(capabilities).map((name) => ({ sampling: SAMPLING, elicitation: ELICITATION, roots: ROOTS })[name])) {
      sdk.answer(session.client, method, (request, context) => session.answers[method](request.params, sdk.signal(context)));
    }
    const record = async (target, init) => {
      if (init?.method === 'POST') session.posts.push(JSON.parse(init.body));
      const response = await fetch(target, init);
      session.exchanges.push({ sent: new Headers(init?.headers), got: response.headers, status: response.status });
      return response;
    };
    const transport = connect(sdk, record);
    await session.client.connect(transport);
    const take = transport.onmessage;
    transport.onmessage = (message, extra) => {
      session.messages.push(message);
      return take.call(transport, message, extra);
    };
    return session;
  }

  call(name, args = {}, options = {}) {
    return this.sdk.call(this.client, { name, arguments: args }, options);
  }

  /** The text of a call that has to succeed. */
  async text(name, args, options) {
    const result = await this.call(name, args, options);
    assert.ok(!result.isError, `${name}: ${textOf(result)}`);
    return textOf(result);
  }

  /** The text of a call that the model has to read as an error. */
  async refusal(name, args) {
    const result = await this.call(name, args);
    assert.ok(result.isError, `${name} succeeded: ${textOf(result)}`);
    return textOf(result);
  }

  notifications(method) {
    return this.messages.filter((message) => message.method === method).map(({ params }) => params);
  }

  /** Waits until that many notifications have come since the messages were cleared. */
  async until(method, count = 1) {
    await eventually(() => this.notifications(method).length >= count, `${count} × ${method}`);
    return this.notifications(method);
  }
}

export const textOf = (result) => result.content.map((block) => block.text).join('');
export const sampled = (text) => ({ role: 'assistant', model: 'none', content: { type: 'text', text } });
export const accept = (content) => () => ({ action: 'accept', content });

export async function eventually(condition, what) {
  const deadline = Date.now() + 5000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `not within 5 s: ${what}`);
    await pause(20);
  }
}

export async function checkSampling(session) {
  await check('sampling: the prompt arrives, the answer comes back', async () => {
    session.answers[SAMPLING] = ({ messages, maxTokens }) => {
      assert.equal(maxTokens, 100);
      assert.equal(messages[0].role, 'user');
      return sampled(`about ${messages[0].content.text}`);
    };
    assert.equal(await session.text('test_sampling', { prompt: 'é ✓ 𝄞' }), 'LLM response: about é ✓ 𝄞');
  });
  await check('roots', async () => {
    session.answers[ROOTS] = () => ({ roots: [{ uri: 'file:///a', name: 'a' }, { uri: 'file:///b' }] });
    assert.equal(await session.text('test_input_required_result_list_roots'), '2 roots: file:///a file:///b');
  });
}

async function checkFailure(session) {
  await check('sampling: a client that fails is told to the model', async () => {
    session.answers[SAMPLING] = () => {
      throw new Error('no model today');
    };
    const told = await session.refusal('test_sampling', { prompt: 'hello' });
    assert.match(told, /no model today/);
    return told;
  });
}

export async function checkForms(session) {
  await check('a form: accept, decline, cancel', async () => {
    const user = { username: 'testuser', email: 'test@example.com' };
    const ask = () => session.text('test_elicitation', { message: 'Who are you?' });
    session.answers[ELICITATION] = ({ message, requestedSchema }) => {
      assert.equal(message, 'Who are you?');
      assert.deepEqual(requestedSchema.required, ['username', 'email']);
      return { action: 'accept', content: user };
    };
    assert.equal(await ask(), `User response: action=accept, content=${JSON.stringify(user)}`);
    for (const action of ['decline', 'cancel']) {
      session.answers[ELICITATION] = () => ({ action });
      assert.equal(await ask(), `User response: action=${action}, content={}`);
    }
  });
  await check('a form with defaults: what is left out has them', async () => {
    const filled = { name: 'John Doe', age: 31, score: 95.5, status: 'pending', verified: true };
    session.answers[ELICITATION] = ({ requestedSchema: { properties } }) => {
      const defaults = Object.entries(properties).map(([name, one]) => [name, one.default]);
      assert.deepEqual(Object.fromEntries(defaults), { ...filled, age: 30, status: 'active' });
      return { action: 'accept', content: { age: 31, status: 'pending' } };
    };
    const told = await session.text('test_elicitation_sep1034_defaults');
    assert.equal(told, `Elicitation completed: action=accept, content=${JSON.stringify(filled)}`);
  });
  await check('a form with every kind of enum', async () => {
    const chosen = { untitledSingle: 'option2', titledSingle: 'value1', legacyEnum: 'opt3', untitledMulti: ['option1', 'option3'], titledMulti: ['value2'] };
    session.answers[ELICITATION] = accept(chosen);
    const told = await session.text('test_elicitation_sep1330_enums');
    assert.deepEqual(JSON.parse(told.slice(told.indexOf('{'))), chosen);
  });
  await check('a form filled in wrongly: the field is named', async () => {
    const order = { size: 's', toppings: ['olives'], email: 'a@example.com', count: 3 };
    session.answers[ELICITATION] = accept(order);
    assert.match(await session.text('test_elicitation_order'), /"toppings":\["olives"\].*"count":3/);
    // The newer SDK judges the answer by the form itself, and answers with an error instead of it.
    session.answers[ELICITATION] = accept({ ...order, count: 99 });
    const told = await session.refusal('test_elicitation_order');
    assert.match(told, /count/);
    return told;
  });
}

export async function checkRounds(session) {
  const name = accept({ name: 'Ada' });
  await check('three questions at once are all asked before any is answered', async () => {
    let asked = 0;
    const all = async (answer) => {
      asked += 1;
      await eventually(() => asked === 3, 'three questions');
      return answer;
    };
    session.answers = {
      [ELICITATION]: (params) => all(name(params)),
      [SAMPLING]: () => all(sampled('Good day')),
      [ROOTS]: () => all({ roots: [{ uri: 'file:///a' }] }),
    };
    const told = await session.text('test_input_required_result_multiple_inputs');
    assert.equal(told, 'Good day (Ada), 1 roots: file:///a');
  });
  await check('two questions, one after the other', async () => {
    const asked = [];
    session.answers[ELICITATION] = ({ message }) => {
      asked.push(message);
      return { action: 'accept', content: asked.length === 1 ? { name: 'Ada' } : { color: 'green' } };
    };
    assert.equal(await session.text('test_input_required_result_multi_round'), 'Ada likes green');
    assert.deepEqual(asked, ['Step 1: What is your name?', 'Step 2: What is your favorite color?']);
  });
  await check('what is remembered between two runs', async () => {
    session.answers[ELICITATION] = accept({ ok: true });
    assert.equal(await session.text('test_input_required_result_request_state'), 'state-ok, confirmed: true');
  });
  await check('a prompt that asks', async () => {
    session.answers[ELICITATION] = accept({ context: 'a test' });
    const { messages } = await session.client.getPrompt({ name: 'test_input_required_result_prompt' });
    assert.equal(messages[0].content.text, 'Use this context: a test');
  });
}

export async function checkProgress(session) {
  await check('progress: each call gets its own, increasing', async () => {
    const calls = Array.from({ length: 3 }, async () => {
      const heard = [];
      const told = await session.text('test_tool_with_progress', {}, { onprogress: (progress) => heard.push(progress) });
      assert.deepEqual(heard.map(({ progress, total }) => [progress, total]), [[0, 100], [50, 100], [100, 100]]);
      return told;
    });
    const told = new Set(await Promise.all(calls));
    assert.equal(told.size, 3, 'calls share a token');
  });
  await check('progress: none without a token', async () => {
    session.messages = [];
    assert.equal(await session.text('test_tool_with_progress'), 'progress token: none');
    assert.deepEqual(session.notifications('notifications/progress'), []);
  });
}

async function checkLogs(session) {
  const levels = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'];
  for (const [at, level] of levels.entries()) {
    await check(`logs from ${level} on`, async () => {
      await session.client.setLoggingLevel(level);
      session.messages = [];
      await session.text('test_logging_tool');
      const heard = session.notifications('notifications/message');
      assert.deepEqual(heard.map((log) => log.level), levels.slice(at));
      assert.ok(heard.every((log) => log.logger === 'test' && log.data.endsWith(log.level)));
    });
  }
  await check('logs of a slow tool come before its result', async () => {
    await session.client.setLoggingLevel('debug');
    session.messages = [];
    await session.text('test_tool_with_logging');
    const heard = session.notifications('notifications/message').map(({ data }) => data);
    assert.deepEqual(heard, ['Tool execution started', 'Tool processing data', 'Tool execution completed']);
  });
}

async function checkChanges(sdk, session) {
  const updated = 'notifications/resources/updated';
  await check('updates of a resource come while subscribed', async () => {
    await session.client.subscribeResource({ uri: WATCHED });
    session.messages = [];
    const version = (await session.text('test_update_watched_resource')).toLowerCase();
    assert.deepEqual(await session.until(updated), [{ uri: WATCHED }]);
    const { contents } = await session.client.readResource({ uri: WATCHED });
    assert.ok(contents[0].text.endsWith(version), `${contents[0].text}, ${version}`);
    await session.client.unsubscribeResource({ uri: WATCHED });
    session.messages = [];
    await session.text('test_update_watched_resource');
    await pause(200);
    assert.deepEqual(session.notifications(updated), []);
  });
  await check('list changes of tools and prompts reach every session', async () => {
    const other = await Session.open(sdk);
    await other.client.ping();
    // Over Streamable HTTP a client opens its stream on the side, and says nothing of it.
    if (http) await pause(300);
    for (const [kind, tool] of [['tools', 'test_trigger_tool_change'], ['prompts', 'test_trigger_prompt_change']]) {
      const changed = `notifications/${kind}/list_changed`;
      const names = async () => new Set((await sdk.request(session.client, `${kind}/list`, {}))[kind].map(({ name }) => name));
      const dynamic = `test_dynamic_${kind.slice(0, -1)}`;
      for (const there of [true, false]) {
        [session.messages, other.messages] = [[], []];
        await session.text(tool);
        // Behind a bridge the other one has a process of its own, in which nothing has changed.
        await Promise.all([session.until(changed), isolated ? undefined : other.until(changed)]);
        assert.equal((await names()).has(dynamic), there);
      }
    }
    await other.client.close();
  });
}

async function checkCancelling(session) {
  const cancelled = async () => Number(await session.text('test_wait_cancelled'));
  await check('a slow call that is cancelled stops, and is not answered', async () => {
    const before = await cancelled();
    session.messages = [];
    const abort = new AbortController();
    const call = session.call('test_wait', { seconds: 30 }, { signal: abort.signal });
    await pause(200);
    const { id } = session.posts.findLast(({ method }) => method === 'tools/call');
    abort.abort('no longer wanted');
    await assert.rejects(call);
    await eventually(async () => (await cancelled()) === before + 1, 'the tool sees that it is cancelled');
    await pause(100);
    assert.deepEqual(session.messages.filter((message) => message.id === id), [], 'the call was answered');
  });
  await check('a cancelled call takes its question back', async () => {
    const abort = new AbortController();
    let question;
    session.answers[SAMPLING] = (_, signal) => {
      question = signal;
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('taken back'))));
    };
    const call = session.call('test_sampling', { prompt: 'never mind' }, { signal: abort.signal });
    await eventually(() => question, 'the question');
    abort.abort('no longer wanted');
    await assert.rejects(call);
    await eventually(() => question.aborted, 'the question is taken back');
  });
}

async function checkWaiting(session) {
  await check('a ping during a slow tool is answered at once', async () => {
    const call = session.text('test_wait', { seconds: 1 });
    await pause(100);
    const begun = performance.now();
    await session.client.ping();
    const ms = performance.now() - begun;
    assert.ok(ms < 500, `${ms} ms`);
    assert.equal(await call, 'waited');
    return `${ms.toFixed(1)} ms`;
  });
  await check('a reply from another thread', async () => {
    const calls = Array.from({ length: 3 }, () => session.text('test_reconnection'));
    assert.deepEqual(await Promise.all(calls), Array(3).fill('Finished after a while'));
  });
}

export async function checkCompletion({ client }) {
  const values = async (ref, name, value) => (await client.complete({ ref, argument: { name, value } })).completion.values;
  const prompt = { type: 'ref/prompt', name: 'test_prompt_with_arguments' };
  assert.deepEqual(await values(prompt, 'arg1', 'test'), ['testValue1', 'testing']);
  assert.deepEqual(await values(prompt, 'arg2', 'test'), []);
  const template = { type: 'ref/resource', uri: 'test://template/{id}/data' };
  assert.deepEqual(await values(template, 'id', '12'), ['12', '123']);
}

async function checkIncapable(sdk) {
  const session = await Session.open(sdk, {});
  const told = [
    await session.refusal('test_sampling', { prompt: 'hello' }),
    await session.refusal('test_elicitation', { message: 'hello' }),
    await session.refusal('test_input_required_result_list_roots'),
  ];
  for (const [at, word] of ['sampling', 'elicitation', 'roots'].entries()) assert.match(told[at], new RegExp(word));
  assert.equal(await session.text('test_input_required_result_capabilities'), 'Answers: ');
  await session.client.close();
  return told[0];
}

async function checkCrossing(sdk) {
  const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => Session.open(sdk)));
  let asked = 0;
  await Promise.all(sessions.map(async (session, number) => {
    session.answers[SAMPLING] = async ({ messages }) => {
      asked += 1;
      // Every session has its question open before any is answered, and they are answered in another order.
      await eventually(() => asked === SESSIONS, `${SESSIONS} questions`);
      await pause(((number * 7) % SESSIONS) * 5);
      return sampled(`${number} heard ${messages[0].content.text}`);
    };
    assert.equal(await session.text('test_sampling', { prompt: `call ${number}` }), `LLM response: ${number} heard call ${number}`);
    await session.client.close();
  }));
}
