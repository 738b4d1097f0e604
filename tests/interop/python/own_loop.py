"""The example `own_loop`, in a mio loop and in a loop of epoll: the Python SDK 2, over each transport and in each era."""

import asyncio
import os
import warnings

from mcp import Client, MCPDeprecationWarning
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from report import check, equal, finish

warnings.simplefilter("ignore", MCPDeprecationWarning)

CALLS = 200
LONG = "x" * 300_000


def ways(url: str):
    mcp = url.removesuffix("/sse") + "/mcp"
    yield "HTTP+SSE", lambda: sse_client(url), "legacy"
    yield "Streamable HTTP", lambda: streamable_http_client(mcp), "legacy"
    yield "2026-07-28", lambda: streamable_http_client(mcp), "2026-07-28"


async def echo(client: Client, text: str) -> str:
    result = await client.call_tool("echo", {"text": text})
    return result.content[0].text


async def main() -> None:
    for loop, url in [("mio", os.environ["INTEROP_URL"]), ("epoll", os.environ["INTEROP_SECOND_URL"])]:
        for name, transport, mode in ways(url):
            with check(f"in a loop of {loop}, {name}: {CALLS} calls at once, more than a socket's buffer, a client that comes back"):
                async with Client(transport(), mode=mode, read_timeout_seconds=20) as client:
                    texts = [f"{number}" for number in range(CALLS)]
                    equal(await asyncio.gather(*(echo(client, text) for text in texts)), texts)
                    equal(await echo(client, LONG), LONG)
                async with Client(transport(), mode=mode, read_timeout_seconds=20) as client:
                    equal(await echo(client, "again"), "again")


asyncio.run(main())
finish()
