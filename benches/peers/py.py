"""The server that is compared with, on the official Python SDK."""

import sys

import anyio
from mcp.server.mcpserver import MCPServer

server = MCPServer("calc", log_level="WARNING")


@server.tool(description="Add two numbers")
def add(a: float, b: float) -> str:
    return str(a + b)


@server.tool(description="Wait")
async def wait(ms: int) -> str:
    await anyio.sleep(ms / 1000)
    return "done"


server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
