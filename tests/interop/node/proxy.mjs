// A byte proxy in front of the server: it can cut the event stream, as a network does, without the server's help.
import net from 'node:net';
import { once } from 'node:events';

export class Proxy {
  #server;
  #streams = new Set();
  #opened = 0;

  static async start(target) {
    const proxy = new Proxy();
    proxy.#server = net.createServer((near) => proxy.#join(near, target));
    proxy.#server.listen(await freePort(), '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url() {
    return new URL(`http://127.0.0.1:${this.#server.address().port}/sse`);
  }

  /** How many event streams were opened through the proxy so far, counting from their first bytes to the client. */
  get streamsOpened() {
    return this.#opened;
  }

  cutStreams() {
    for (const socket of this.#streams) socket.destroy();
  }

  stop() {
    this.#server.close();
  }

  #join(near, target) {
    const far = net.connect(Number(target.port), target.hostname);
    let isStream = false;
    near.once('data', (head) => {
      isStream = head.subarray(0, 9).toString() === 'GET /sse ';
      if (isStream) this.#streams.add(near);
    });
    far.once('data', () => {
      if (isStream) this.#opened += 1;
    });
    near.pipe(far).pipe(near);
    const end = () => {
      this.#streams.delete(near);
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) socket.on('error', end).on('close', end);
  }
}

/** A port below 32768, where the kernel never takes one for an outgoing connection of another process. */
async function freePort() {
  for (let port = 20000 + Math.floor(Math.random() * 1000); port < 32768; port++) {
    const probe = net.createServer().listen(port, '127.0.0.1');
    const free = await Promise.race([once(probe, 'listening').then(() => true), once(probe, 'error').then(() => false)]);
    if (!free) continue;
    probe.close();
    await once(probe, 'close');
    return port;
  }
  throw new Error('no free port');
}
