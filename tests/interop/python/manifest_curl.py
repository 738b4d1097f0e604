"""A manifest's server and curl: requests of one line, with a token and without, as a script sends them."""

import json
import os

from curl_command import curl
from report import check, equal, finish, true

URL = os.environ["INTEROP_URL"].removesuffix("/sse") + "/mcp"
GUARDED_URL = os.environ["INTEROP_GUARDED_URL"].removesuffix("/sse") + "/mcp"
TOKENS = json.loads(os.environ["INTEROP_TOKENS"])
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "curl", "version": "1"}}


def post(url: str, method: str, params: dict, *options: str) -> tuple[int, dict]:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    fields = ["-H", "Content-Type: application/json", "-H", "Accept: application/json, text/event-stream"]
    status, text = curl(*fields, *options, url, body=json.dumps(body).encode())
    # The answer is the last line, be it an event or not.
    line = text.strip().rpartition("\n")[2].removeprefix("data: ")
    return status, json.loads(line) if line.startswith("{") else {}


def stateless(url: str, method: str, params: dict, *options: str) -> tuple[int, dict]:
    named = params.get("name", params.get("uri"))
    fields = ["-H", "MCP-Protocol-Version: 2026-07-28", "-H", f"Mcp-Method: {method}"]
    fields += ["-H", f"Mcp-Name: {named}"] if named else []
    return post(url, method, params | {"_meta": META}, *fields, *options)


def bearer(name: str) -> list[str]:
    return ["-H", f"Authorization: Bearer {TOKENS[name]}"]


with check("a call without a session"):
    status, answer = stateless(URL, "tools/call", {"name": "say", "arguments": {"text": "hello"}})
    equal((status, answer["result"]["content"][0]["text"]), (200, "hello, 1"))
with check("a call in a session"):
    status, headers = curl("-H", "Content-Type: application/json", "-H", "Accept: application/json, text/event-stream", "-D", "-", URL,
                           body=json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}).encode())
    equal(status, 200)
    [session] = [line for line in headers.splitlines() if line.lower().startswith("mcp-session-id:")]
    status, answer = post(URL, "tools/call", {"name": "say", "arguments": {"text": "hello"}}, "-H", session)
    equal((status, answer["result"]["content"][0]["text"]), (200, "hello, 1"))
with check("a confirmation without a session is a question in the result, and a call with its answer runs"):
    params = {"name": "sure", "arguments": {"host": "wan"}}
    asking = META | {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}
    fields = ["-H", "MCP-Protocol-Version: 2026-07-28", "-H", "Mcp-Method: tools/call", "-H", "Mcp-Name: sure"]
    status, answer = post(URL, "tools/call", params | {"_meta": asking}, *fields)
    equal((status, answer["result"]["resultType"]), (200, "input_required"))
    [(key, question)] = answer["result"]["inputRequests"].items()
    true("Restart the router now?" in question["params"]["message"], question)
    answered = {"inputResponses": {key: {"action": "accept", "content": {}}}, "requestState": answer["result"]["requestState"]}
    status, answer = post(URL, "tools/call", params | answered | {"_meta": asking}, *fields)
    equal((status, answer["result"]["content"][0]["text"]), (200, "restarted"))
    # The answer is one to these arguments and to no others.
    other = {"name": "sure", "arguments": {"host": "lan"}}
    status, answer = post(URL, "tools/call", other | answered | {"_meta": asking}, *fields)
    true("error" in answer or answer["result"].get("resultType") == "input_required", answer)
with check("without a token it is 401, and says which kind of token is wanted"):
    for options in [[], ["-H", "Authorization: Bearer wrong"], ["-H", "Authorization: Basic YTpi"]]:
        status, text = curl("-i", "-H", "Content-Type: application/json", *options, GUARDED_URL, body=b"{}")
        equal(status, 401)
        true("www-authenticate: bearer" in text.lower(), text)
with check("what is restricted is there for one and not for the other"):
    for name, there in [("ada", True), ("bob", False)]:
        _, answer = stateless(GUARDED_URL, "tools/list", {}, *bearer(name))
        equal("secret" in [tool["name"] for tool in answer["result"]["tools"]], there)
        _, answer = stateless(GUARDED_URL, "tools/call", {"name": "secret"}, *bearer(name))
        equal("result" in answer, there)
with check("health checks, which want a token where one is wanted"):
    for path in ["healthz", "livez", "readyz"]:
        equal(curl(URL.removesuffix("mcp") + path), (200, "ok"))
        equal(curl(GUARDED_URL.removesuffix("mcp") + path)[0], 401)
        equal(curl(*bearer("bob"), GUARDED_URL.removesuffix("mcp") + path), (200, "ok"))
finish()
