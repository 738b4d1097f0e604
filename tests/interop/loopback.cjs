// Preloaded into every Node process (NODE_OPTIONS=--require): no client package may listen beyond this machine,
// whatever its defaults are.
'use strict';
const net = require('node:net');

const listen = net.Server.prototype.listen;
const isPort = (value) => typeof value === 'number' || (typeof value === 'string' && /^\d+$/.test(value));

net.Server.prototype.listen = function (...args) {
  const first = args[0] ?? 0;
  const callback = args.find((argument) => typeof argument === 'function');
  if (isPort(first) || first === callback) {
    const backlog = args.slice(1).find((argument) => typeof argument === 'number');
    // With a host, `listen` looks the name up first. Some servers ask for their address at once, as they may without one.
    if (callback) this.once('listening', callback);
    this._listen2('127.0.0.1', isPort(first) ? Number(first) : 0, 4, backlog ?? 511);
    return this;
  }
  if (typeof first === 'object' && ('port' in first || 'host' in first)) {
    return listen.call(this, { ...first, host: '127.0.0.1' }, callback);
  }
  // A Unix socket or a handle that exists already.
  return listen.apply(this, args);
};
