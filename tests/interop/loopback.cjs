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
    return listen.call(this, { port: isPort(first) ? first : 0, host: '127.0.0.1', backlog }, callback);
  }
  if (typeof first === 'object' && ('port' in first || 'host' in first)) {
    return listen.call(this, { ...first, host: '127.0.0.1' }, callback);
  }
  // A Unix socket or a handle that exists already.
  return listen.apply(this, args);
};
