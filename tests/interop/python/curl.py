"""No client library at all: the statuses and bodies that a person with curl gets to see."""

import json
import os
import subprocess
import time

import wire
from curl_command import curl
from report import check, equal, finish, true

URL = os.environ["INTEROP_URL"]
BASE = URL.removesuffix("/sse")
OWN = "INTEROP_OWN" in os.environ
MESSAGES, MCP = f"{BASE}/messages", f"{BASE}/mcp"
JSON = ["-H", "Content-Type: application/json"]
PING = '{"jsonrpc":"2.0","id":1,"method":"ping"}'


def check_stream() -> None:
    with check("curl -N shows the endpoint at once and stays connected"):
        begun = time.monotonic()
        with subprocess.Popen(["curl", "-N", "-s", "--max-time", "2", URL], stdout=subprocess.PIPE) as process:
            equal(process.stdout.readline(), b"event: endpoint\n")
            true(process.stdout.readline().startswith(b"data: /messages?sessionId="), "no endpoint")
            equal(process.stdout.readline(), b"\n")
            true(time.monotonic() - begun < 1, f"only after {time.monotonic() - begun:.1f} s")
            process.stdout.read()
        equal(process.returncode, 28, "exit code (28 is curl's own timeout)")


def check_refusals() -> None:
    expected = [
        ("no sessionId", ["-d", PING, *JSON, MESSAGES], 400, "Missing sessionId parameter"),
        ("an unknown sessionId", ["-d", PING, *JSON, f"{MESSAGES}?sessionId=00000000-0000-4000-8000-000000000000"], 400,
         "No transport found for sessionId"),
        ("a sessionId that is none", ["-d", PING, *JSON, f"{MESSAGES}?sessionId=%00%FF"], 400,
         "No transport found for sessionId"),
    ]
    for what, arguments, status, body in expected:
        with check(f"{what} is {status} {body}"):
            equal(curl(*arguments), (status, body))
    with check("POST /sse is 405 and allows GET"):
        status, text = curl("-i", "-d", PING, *JSON, URL)
        equal(status, 405)
        true("\nallow: get" in text.lower(), text)
    with check("an unknown path is 404"):
        equal(curl(f"{BASE}/no-such-path")[0], 404)
    for header in ["Host: evil.example.com", "Origin: http://evil.example.com", "Origin: null"]:
        for target in (["-d", PING, *JSON, MESSAGES], [URL]):
            with check(f"{header} is 403 on {target[-1].removeprefix(BASE)}"):
                equal(curl("-H", header, *target)[0], 403)


def check_content_types() -> None:
    """What a client gets that does not say that its body is JSON: curl itself says that it is a form."""
    form = "application/x-www-form-urlencoded"
    with check("a form for /mcp is 415 and named"):
        status, text = curl("-d", PING, MCP)
        equal((status, json.loads(text)["error"]["message"]), (415, f"Content-Type must be application/json, but it is `{form}`"))
    with check("a body of no type for /mcp is 415"):
        status, text = curl("-d", PING, "-H", "Content-Type:", MCP)
        equal((status, json.loads(text)["error"]["message"]), (415, "Content-Type must be application/json, but there is none"))
    for target in (MCP, f"{MESSAGES}?sessionId=x"):
        with check(f"a compressed body is 415 on {target.removeprefix(BASE)}"):
            status, text = curl("-i", "-d", PING, *JSON, "-H", "Content-Encoding: gzip", target)
            equal(status, 415)
            true("\naccept-encoding: identity" in text.lower() and "gzip" in text, text)


def check_session() -> None:
    with wire.Stream(URL) as stream:
        with check("the stream's headers"):
            equal(stream.headers.get("content-type"), "text/event-stream")
            equal(stream.headers.get("cache-control"), "no-cache, no-transform")
            equal(stream.headers.get("x-accel-buffering"), "no")
            equal(stream.headers.get("mcp-session-id"), stream.endpoint.partition("sessionId=")[2])
        _check_posts(stream)


def _check_posts(stream: wire.Stream) -> None:
    def echo(text: str) -> bytes:
        call = {"name": "echo", "arguments": {"text": text}}
        return json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}).encode()

    def echoed() -> str:
        return stream.next_message()["result"]["content"][0]["text"]

    with check("a request is 202 Accepted, and its answer is on the stream"):
        equal(curl("-d", PING, *JSON, stream.endpoint), (202, "Accepted"))
        equal(stream.next_message(), {"jsonrpc": "2.0", "id": 1, "result": {}})
    with check("a large body with Expect: 100-continue"):
        text = "x" * (2 << 20)
        equal(curl(*JSON, "-H", "Expect: 100-continue", stream.endpoint, body=echo(text))[0], 202)
        true(echoed() == text, "not what was sent")
    with check("a chunked body"):
        equal(curl(*JSON, "-H", "Transfer-Encoding: chunked", stream.endpoint, body=echo("in chunks"))[0], 202)
        equal(echoed(), "in chunks")
    with check("a Content-Type with a charset"):
        equal(curl("-d", PING, "-H", "Content-Type: application/json; charset=utf-8", stream.endpoint)[0], 202)
        stream.next_message()
    refused = [("no JSON", ["-d", "{", *JSON], 400), ("a batch", ["-d", f"[{PING}]", *JSON], 400),
               ("a form", ["-d", PING], 400), ("a null id", ["-d", PING.replace(":1,", ":null,"), *JSON], 400)]
    for what, arguments, status in refused:
        with check(f"{what} is {status}"):
            equal(curl(*arguments, stream.endpoint)[0], status)
    with check("a body of 5 MiB is 413"):
        equal(curl(*JSON, stream.endpoint, body=echo("x" * (5 << 20)))[0], 413)
    with check("the session outlives what was refused, and nothing of it is on the stream"):
        equal(curl("-d", PING, *JSON, stream.endpoint), (202, "Accepted"))
        equal(stream.next_message(), {"jsonrpc": "2.0", "id": 1, "result": {}})


check_stream()
if OWN:
    check_refusals()
    check_content_types()
    check_session()
finish()
