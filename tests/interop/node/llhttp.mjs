// What Node's HTTP parser, llhttp, finds in the bytes of connections: one line of hexadecimal each on standard input, one
// line of `{"requests": [["method", "target", "body in hexadecimal"]], "error": …}` on standard output.
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

const { HTTPParser, allMethods, methods } = createRequire(import.meta.url)('_http_common');
const names = allMethods ?? methods;

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(read(Buffer.from(line, 'hex'))));
}

function read(bytes) {
  const requests = [];
  let [method, target, body, begun] = [];
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {});
  // Called when there are more fields than one call can hand over, and for trailers.
  parser[HTTPParser.kOnHeaders] = (_headers, url) => { begun ??= url; };
  parser[HTTPParser.kOnHeadersComplete] = (_major, _minor, _headers, number, url) => {
    [method, target, body] = [names[number], url ?? begun, []];
    return 0;
  };
  parser[HTTPParser.kOnBody] = (data) => { body.push(Buffer.from(data)); };
  parser[HTTPParser.kOnMessageComplete] = () => {
    requests.push([method, target, Buffer.concat(body).toString('hex')]);
    begun = undefined;
  };
  const result = parser.execute(bytes);
  parser.close();
  return { requests, error: result instanceof Error ? result.code : null };
}
