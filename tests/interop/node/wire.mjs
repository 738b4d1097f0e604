// HTTP+SSE by hand on the built-in fetch: no SDK, so that the checks see what an SDK hides.

export const LEGACY_REVISIONS = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'];
const WAIT_MS = 10_000;

export function post(endpoint, message) {
  return fetch(endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(message),
    signal: AbortSignal.timeout(WAIT_MS),
  });
}

/** Posts until a session is gone, for at most two seconds: the server may learn of a closed stream a moment later. */
export async function postToDeadSession(endpoint) {
  const deadline = Date.now() + 2000;
  for (;;) {
    const response = await post(endpoint, { jsonrpc: '2.0', id: 1, method: 'ping' });
    const body = await response.text();
    if (!response.ok || Date.now() > deadline) return { status: response.status, body };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** `GET /sse`, read up to the endpoint event. */
export class Stream {
  #abort = new AbortController();
  #reader;
  #decoder = new TextDecoder();
  #text = '';
  comments = [];

  static async open(url) {
    const stream = new Stream();
    const response = await fetch(url, { headers: { accept: 'text/event-stream' }, signal: stream.#abort.signal });
    stream.headers = response.headers;
    stream.#reader = response.body.getReader();
    const { name, data } = await stream.#next();
    if (response.status !== 200 || name !== 'endpoint') throw new Error(`status ${response.status}, first event ${name}`);
    stream.endpoint = new URL(data, url);
    return stream;
  }

  async message() {
    const { data } = await this.#next();
    return JSON.parse(data);
  }

  /** Sends a request and gives its response; other messages on the way are dropped. */
  async ask(message) {
    const response = await post(this.endpoint, message);
    if (!response.ok) throw new Error(`status ${response.status}: ${await response.text()}`);
    for (;;) {
      const answer = await this.message();
      if (answer.id === message.id) return answer;
    }
  }

  /** Reads an idle stream for that long. */
  async readComments(ms) {
    const over = setTimeout(() => this.close(), ms);
    await this.#next().catch(() => {});
    clearTimeout(over);
    return this.comments;
  }

  close() {
    this.#abort.abort();
  }

  async #next() {
    const timer = setTimeout(() => this.close(), WAIT_MS);
    try {
      for (;;) {
        const end = this.#text.indexOf('\n\n');
        if (end < 0) {
          const { done, value } = await this.#reader.read();
          if (done) throw new Error('the stream ended');
          this.#text += this.#decoder.decode(value, { stream: true }).replaceAll('\r\n', '\n');
          continue;
        }
        const event = this.#parse(this.#text.slice(0, end));
        this.#text = this.#text.slice(end + 2);
        if (event.data !== undefined) return event;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #parse(frame) {
    const event = { name: 'message', data: undefined };
    for (const line of frame.split('\n')) {
      const colon = line.indexOf(':');
      const rest = line.slice(colon + 1).replace(/^ /, '');
      if (colon === 0) this.comments.push(rest);
      else if (line.startsWith('event:')) event.name = rest;
      else if (line.startsWith('data:')) event.data = event.data === undefined ? rest : `${event.data}\n${rest}`;
    }
    return event;
  }
}
