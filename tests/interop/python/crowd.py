"""A server with room for 4 sessions, and clients that open one for each call and never end it: the Inspector's command line."""

import asyncio
import os
import sys

os.environ.setdefault("INTEROP_HTTP", "1")

import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

import wire
from report import check, equal, finish, true

BASE = os.environ["INTEROP_URL"].removesuffix("/sse")
LAUNCHER = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
RUNS = 10


async def inspect(transport: str) -> None:
    url = BASE + ("/mcp" if transport == "http" else "/sse")
    process = await asyncio.create_subprocess_exec(
        sys.argv[1], os.path.join(os.environ["INTEROP_PACKAGES"], LAUNCHER), "--cli", "--server-url", url,
        "--transport", transport, "--format", "json", "--method", "tools/call", "--tool-name", "echo",
        "--tool-arg", "text=here", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT)
    told = (await process.communicate())[0].decode()
    true(process.returncode == 0 and '"here"' in told.replace(" ", ""), f"exit code {process.returncode}: {told}")


async def run_all(transport: str) -> None:
    for number in range(RUNS):
        try:
            await inspect(transport)
        except AssertionError as error:
            raise AssertionError(f"run {number + 1}: {error}") from None


def initialize() -> wire.Response:
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "crowd", "version": "0"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    return wire.post(BASE + "/mcp", message, {"Accept": "application/json, text/event-stream"})


async def main() -> None:
    for transport in ["http", "sse"]:
        with check(f"{RUNS} runs of the Inspector's command line, {transport}, with room for 4 sessions"):
            await run_all(transport)
    with check("a client that works keeps its session through all of them"):
        async with httpx.AsyncClient(timeout=30) as http, streamable_http_client(BASE + "/mcp", http_client=http) as streams:
            async with ClientSession(*streams[:2]) as session:
                await session.initialize()
                await session.call_tool("echo", {"text": "before"})
                await run_all("http")
                for _ in range(2 * RUNS):
                    equal(initialize().status, 200, "status")
                equal((await session.call_tool("echo", {"text": "after"})).content[0].text, "after")
    with check("a client of HTTP+SSE finds room, too"):
        for _ in range(RUNS):
            equal(initialize().status, 200, "status")
        with wire.Stream(BASE + "/sse") as stream:
            true("sessionId=" in stream.endpoint, stream.endpoint)
    with check("without any room the refusal says when to come again") as notes:
        streams = [wire.Stream(BASE + "/sse") for _ in range(4)]
        response = initialize()
        for stream in streams:
            stream.close()
        equal(response.status, 503, "status")
        true(int(response.headers["retry-after"]) > 0, str(response.headers))
        notes.append(f"Retry-After: {response.headers['retry-after']}")


asyncio.run(main())
finish()
