"""The Python SDKs, 1 and 2, over standard input and output: the server is a child of theirs, or `mcp-rill connect` to a server of
HTTP is."""

import contextlib
import os

import anyio
from mcp import ClientSession, types
from mcp.client.stdio import StdioServerParameters, stdio_client

from report import check, equal, finish, true

AUTO = os.environ.get("INTEROP_ERA") == "auto"
PARALLEL = 50


def connect(url: str) -> list[str]:
    return [os.environ["INTEROP_BINARY"], "connect", url.removesuffix("/sse") + "/mcp" if "INTEROP_HTTP" in os.environ else url]


if "INTEROP_CONNECT" in os.environ:
    BINARY, FIXTURE = connect(os.environ["INTEROP_URL"]), connect(os.environ["INTEROP_FIXTURE_URL"])
else:
    BINARY = [os.environ["INTEROP_BINARY"], "serve", "--stdio", "--limit", "page_items_max=2"]
    FIXTURE = [os.environ["INTEROP_FIXTURE"], "--stdio"]


async def sample(_context, params):
    first = params.messages[0].content
    content = types.TextContent(type="text", text=f"heard {(first[0] if isinstance(first, list) else first).text}")
    return types.CreateMessageResult(role="assistant", model="none", content=content)


async def elicit(_context, _params):
    return types.ElicitResult(action="accept", content={"name": "Ada"})


@contextlib.asynccontextmanager
async def start(command: str, *args: str):
    child = StdioServerParameters(command=command, args=list(args), env=dict(os.environ))
    answers = {"sampling_callback": sample, "elicitation_callback": elicit}
    if AUTO:
        from mcp import Client
        async with Client(stdio_client(child), mode="auto", read_timeout_seconds=20, **answers) as client:
            yield client
        return
    async with stdio_client(child) as (read, write), ClientSession(read, write, **answers) as session:
        await session.initialize()
        yield session


async def text(client, name: str, arguments: dict | None = None, **options) -> str:
    result = await client.call_tool(name, arguments or {}, **options)
    return "".join(block.text for block in result.content)


async def together(count: int, one) -> list:
    told = [None] * count

    async def run(number: int) -> None:
        told[number] = await one(number)

    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(run, number)
    return told


async def main() -> None:
    with check("the binary: lists, calls, errors"):
        async with start(*BINARY) as client:
            if AUTO:
                equal(client.protocol_version, "2026-07-28")
            true((await client.list_tools()).tools, "no tools")
            for sent in ["one", "two\nlines\r\n", "\u2028\u0085 \U0001f600", "x" * 300_000]:
                equal(await text(client, "echo", {"text": sent}), sent)
            told = await together(PARALLEL, lambda number: text(client, "echo", {"text": f"call {number}"}))
            equal(told, [f"call {number}" for number in range(PARALLEL)])
    with check("the fixture: questions, progress, resources"):
        async with start(*FIXTURE) as client:
            equal(await text(client, "test_input_required_result_elicitation"), "Hello, Ada!")
            told = await together(PARALLEL, lambda number: text(client, "test_sampling", {"prompt": f"call {number}"}))
            equal(told, [f"LLM response: heard call {number}" for number in range(PARALLEL)])
            heard = []

            async def hear(progress: float, _total: float | None, _message: str | None) -> None:
                heard.append(progress)

            await text(client, "test_tool_with_progress", progress_callback=hear)
            equal(heard, [0, 50, 100])
            contents = (await client.read_resource("test://static-text")).contents
            equal(contents[0].text, "This is the content of the static text resource.")


anyio.run(main)
finish()
