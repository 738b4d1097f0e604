// Clients of each era, from the SDKs 1 and 2, for stages about an example. Arguments: where their packages are.
import { createRequire } from 'node:module';

const [require1, require2] = process.argv.slice(2).map((packages) => createRequire(`${packages}/`));
const sdk1 = require1('@modelcontextprotocol/sdk/client/index.js');
const { SSEClientTransport } = require1('@modelcontextprotocol/sdk/client/sse.js');
const { StreamableHTTPClientTransport: Http1 } = require1('@modelcontextprotocol/sdk/client/streamableHttp.js');
const types = require1('@modelcontextprotocol/sdk/types.js');
const sdk2 = require2('@modelcontextprotocol/client');

const at = (base, path) => new URL(`${base}${path}`);
const sent = (token) => {
  const headers = (init) => ({ ...Object.fromEntries(new Headers(init?.headers)), authorization: `Bearer ${token}` });
  return token ? { fetch: (target, init) => fetch(target, { ...init, headers: headers(init) }) } : {};
};

/** The SDK 1 over HTTP+SSE. */
export const sse = {
  name: 'HTTP+SSE', Client: sdk1.Client, notifications: types,
  transport: (base, token) => new SSEClientTransport(at(base, '/sse'), sent(token)),
};
/** The SDK 1 over Streamable HTTP. */
export const http = { ...sse, name: 'Streamable HTTP', transport: (base, token) => new Http1(at(base, '/mcp'), sent(token)) };
/** The SDK 2 without a session. */
export const stateless = {
  name: '2026-07-28', Client: sdk2.Client, options: { versionNegotiation: { mode: { pin: '2026-07-28' } } },
  transport: (base, token) => new sdk2.StreamableHTTPClientTransport(at(base, '/mcp'), sent(token)),
};
export const ERAS = [sse, http, stateless];

/** Where the server of a variable is, without a path. */
export const base = (variable) => process.env[variable].replace(/\/sse$/, '');

/** A client that is connected. */
export async function connect({ Client, options, transport }, url, token) {
  const client = new Client({ name: 'examples', version: '0' }, { capabilities: {}, ...options });
  await client.connect(transport(url, token));
  return client;
}

/** The text of a tool's result. */
export const text = async (client, name, args = {}) => (await client.callTool({ name, arguments: args })).content[0].text;
