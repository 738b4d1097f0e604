"""The example `awkward`: what clients are known to trip over, with the Python SDKs.

The stage runs with httpx-sse 0.4.1, which breaks an event stream at every line break of Unicode, as many clients do.
"""

import asyncio

import httpx_sse
from pydantic import AnyUrl

from questions import Client, accept
from checks import content_text, plain
from report import check, equal, finish, true

LINES = "one\u2028two\u2029three\u0085four"
FORM = "elicitation/create"


def run_awkward(sdk) -> None:
    asyncio.run(_run(sdk))
    finish()


async def _run(sdk) -> None:
    async with Client(sdk) as client:
        await _check_lines(sdk, client)
        await _check_uris(client)
        await _check_numbers(sdk, client)
        await _check_structured(sdk, client)
        await _check_items(sdk, client)
        with check("nothing that came was an error to the client"):
            equal(client.surprises, [], "what the SDK did not expect")


async def _failure(sdk, call) -> str:
    """How a call ends that the server answers with an error of its own."""
    try:
        result = plain(await call)
    except sdk.Error as error:
        equal(error.error.code, -32603, "code")
        return error.error.message
    raise AssertionError(f"the call succeeded: {result}")


async def _check_lines(sdk, client: Client) -> None:
    session = client.session
    with check("the client breaks lines at the separators of Unicode"):
        equal(httpx_sse.__version__, "0.4.1", "the version of httpx-sse")
    with check("line separators: in results, progress and logs"):
        heard = []

        async def hear(_progress: float, _total: float | None, message: str | None) -> None:
            heard.append(message)

        async with asyncio.timeout(5):
            result = await client.call("lines", progress_callback=hear)
        equal([result["content"][0]["text"], result["content"][1]["resource"]["text"]], [LINES, LINES])
        equal((result["structuredContent"], heard), ({"text": LINES}, [LINES]))
        equal([log["data"] for log in await client.until("notifications/message")], [{LINES: LINES}])
    with check("line separators: in both kinds of errors"):
        async with asyncio.timeout(5):
            equal(await client.refusal("lines_refused"), LINES)
            try:
                await client.call("lines_failed")
            except sdk.Error as error:
                true(LINES in error.error.message, error.error.message)
    with check("line separators: in a question and its form"):
        def answer(params: dict) -> dict:
            field = params["requestedSchema"]["properties"]["text"]
            equal((params["message"], field["description"]), (LINES, LINES))
            return accept(text=LINES)(params)

        client.answers[FORM] = answer
        async with asyncio.timeout(5):
            equal((await client.call("lines_asked"))["structuredContent"], {"text": LINES})
    with check("line separators: in lists, resources, prompts and completion"):
        async with asyncio.timeout(5):
            tools = plain(await session.list_tools())["tools"]
            equal([tool["description"] for tool in tools if tool["name"] == "lines"], [LINES])
            resources = plain(await session.list_resources())["resources"]
            equal([one["description"] for one in resources if one["name"] == LINES], [LINES])
            prompts = plain(await session.list_prompts())["prompts"]
            equal([prompt["description"] for prompt in prompts if prompt["name"] == "lines"], [LINES])
            equal(plain(await session.read_resource("lines:///text"))["contents"][0]["text"], LINES)
            equal(plain(await session.get_prompt("lines"))["messages"][0]["content"]["text"], LINES)
            reference = sdk.prompt_reference("lines")
            values = plain(await session.complete(reference, {"name": "text", "value": ""}))["completion"]["values"]
            equal(values, [LINES])


async def _check_uris(client: Client) -> None:
    """This SDK parses every URI and sends it in the spelling of its parser."""
    session, updated = client.session, "notifications/resources/updated"
    with check("every resource can be read by the URI that the client makes of it") as notes:
        for resource in (await session.list_resources()).resources:
            text = plain(await session.read_resource(resource.uri))["contents"][0]["text"]
            true(text.startswith("of ") or text == LINES, text)
            notes.append(str(resource.uri))
    with check("a template in upper case"):
        text = plain(await session.read_resource(AnyUrl("KBInfo://Items/Pi")))["contents"][0]["text"]
        equal(text, "item Pi")
    with check("updates of a resource that the client spells in its own way"):
        uri = AnyUrl("http://Example.com")
        await session.subscribe_resource(uri)
        client.told.clear()
        equal(await client.text("touch", {"uri": "http://Example.com"}), "http://Example.com")
        equal([one["uri"] for one in await client.until(updated)], [str(uri)])
        await session.unsubscribe_resource(uri)


async def _check_numbers(sdk, client: Client) -> None:
    with check("whole floats arrive as integers"):
        found = (await client.call("mean", {"values": [1, 3]}))["structuredContent"]
        equal([(found[name], type(found[name])) for name in ["mean", "smallest"]], [(2, int), (1, int)])
    with check("floats that are not finite are an error that names the field") as notes:
        notes.append(await _failure(sdk, client.client.call_tool("mean", {"values": []})))
        true("mean" in notes[0], notes[0])
    with check("progress without a finite total has no total"):
        heard = []

        async def hear(progress: float, total: float | None, _message: str | None) -> None:
            heard.append((progress, total))

        equal(await client.text("endless", progress_callback=hear), "told")
        equal(heard, [(1, None), (2, None)])


async def _check_structured(sdk, client: Client) -> None:
    with check("a structured result that is kept"):
        equal((await client.call("promise", {"broken": "kept"}))["structuredContent"], {"n": 1})
    for broken in ["no JSON", "a list", "more members", "misfit"]:
        with check(f"a structured result that is broken ({broken}) is an error of its author"):
            async with asyncio.timeout(5):
                await _failure(sdk, client.client.call_tool("promise", {"broken": broken}))
    with check("an error whose structure does not fit goes out without it"):
        result = await client.call("promise", {"broken": "failed misfit"})
        equal((result.get("structuredContent"), result["isError"], content_text(result)), (None, True, "no number"))


async def _check_items(sdk, client: Client) -> None:
    with check("a link to a URI that is none is an error of its author") as notes:
        async with asyncio.timeout(5):
            notes.append(await _failure(sdk, client.client.call_tool("link", {})))
    with check("what clients would refuse is refused before it is listed"):
        equal(await client.text("register"), "taken: none")
    with check("the lists are whole afterwards"):
        async with asyncio.timeout(5):
            tools = plain(await client.session.list_tools())["tools"]
            true(any(tool["name"] == "register" for tool in tools), str(tools))
            await client.session.list_resources()
