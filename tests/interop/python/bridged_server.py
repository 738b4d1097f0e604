"""A server made with the Python SDK 2, as people write them: what the stages `bridge-python-…` have behind the bridge."""

import asyncio

from mcp import types
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import BaseModel

server = MCPServer("bridged-python", version="1", instructions="Ask for sums.")


class Name(BaseModel):
    name: str


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def echo(text: str) -> str:
    """Gives back its text."""
    return text


@server.tool()
def fail(why: str) -> str:
    """Fails."""
    raise ValueError(why)


@server.tool()
async def count(steps: int, ctx: Context) -> str:
    """Reports progress."""
    for step in range(steps):
        await ctx.report_progress(step + 1, steps, f"step {step + 1}")
    # Some clients lose progress that comes with the result in one read.
    await asyncio.sleep(0.1)
    return f"{steps} steps"


@server.tool()
async def wait(seconds: float = 0.1) -> str:
    """Takes its time."""
    await asyncio.sleep(seconds)
    return "waited"


@server.tool()
async def greet(ctx: Context) -> str:
    """Asks for a name."""
    answer = await ctx.elicit("Who are you?", Name)
    return f"{answer.action}: {getattr(answer, 'data', None)}"


@server.tool()
async def log(ctx: Context) -> str:
    """Logs."""
    await ctx.info("it logs")
    return "logged"


@server.resource("sample://one")
def one() -> str:
    return "the first"


@server.resource("sample://of/{name}")
def of(name: str) -> str:
    return f"of {name}"


@server.prompt()
def question(topic: str) -> str:
    """Asks."""
    return f"What about {topic}?"


@server.completion()
async def complete(_ref, argument, _context) -> types.Completion:
    return types.Completion(values=[one for one in ["alpha", "beta"] if one.startswith(argument.value)])


server.run("stdio")
