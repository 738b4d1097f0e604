"""The example `tls`: curl, and the Python SDK 1 over both transports. All of them trust its certificate and nothing else."""

import asyncio
import os
import subprocess

URL, CERTIFICATE = os.environ["INTEROP_URL"], os.environ["INTEROP_CERTIFICATE"]
# Read by httpx, which the SDK uses.
os.environ["SSL_CERT_FILE"] = CERTIFICATE

from curl_command import curl  # noqa: E402
from mcp import ClientSession  # noqa: E402
from mcp.client.sse import sse_client  # noqa: E402
from mcp.client.streamable_http import streamable_http_client  # noqa: E402
from report import check, equal, finish, true  # noqa: E402

MCP = URL.removesuffix("/sse") + "/mcp"
PING = '{"jsonrpc":"2.0","id":1,"method":"ping"}'
CALLS = 50


def check_curl() -> None:
    trusting = ["--cacert", CERTIFICATE]
    with check("curl opens a stream and keeps it"):
        command = ["curl", "-N", "-s", "--max-time", "2", *trusting, URL]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            equal(process.stdout.readline(), b"event: endpoint\n")
            process.stdout.read()
        equal(process.returncode, 28, "exit code (28 is curl's own timeout)")
    for version in ("--tlsv1.2", "--tlsv1.3"):
        with check(f"curl posts, with {version} and HTTP/1.1"):
            maximum = ["--tls-max", version.removeprefix("--tlsv")]
            status, text = curl(*trusting, version, *maximum, "-i", "-d", PING, "-H", "Content-Type: application/json", MCP)
            true(status in (200, 400) and text.startswith("HTTP/1.1 "), f"{status} {text}")
    with check("a connection that ends with its response ends in good order"):
        equal(curl(*trusting, "-H", "Connection: close", f"{URL}x")[0], 404)
    with check("curl does not trust the certificate by itself"):
        equal(subprocess.run(["curl", "-s", URL], check=False).returncode, 60, "exit code (60 is an unknown issuer)")
    with check("plain HTTP is no TLS"):
        plain = subprocess.run(["curl", "-s", URL.replace("https", "http")], check=False, capture_output=True)
        true(plain.returncode != 0 and not plain.stdout.startswith(b"event"), plain)


async def check_session(name: str, streams) -> None:
    with check(f"the SDK calls {CALLS} times at once over {name}"):
        async with streams as (read, write, *_), ClientSession(read, write) as session:
            await session.initialize()
            calls = [session.call_tool("add", {"a": number, "b": 1}) for number in range(CALLS)]
            results = await asyncio.gather(*calls)
            equal([result.content[0].text for result in results], [str(number + 1) for number in range(CALLS)])


async def main() -> None:
    await check_session("HTTP+SSE", sse_client(URL))
    await check_session("Streamable HTTP", streamable_http_client(MCP))


check_curl()
asyncio.run(main())
with check("the server still answers"):
    equal(curl("--cacert", CERTIFICATE, f"{URL}x")[0], 404)
finish()
