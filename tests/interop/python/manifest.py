"""A server made of a manifest, with clients of both Python SDKs, over each transport: what its commands, files and prompts
become, who may see them, and a manifest that changes under its clients."""

import asyncio
import contextlib
import json
import os
import re
from pathlib import Path

import anyio

from checks import ERA, HTTP, URL, plain
from questions import Client, accept, eventually
from report import check, equal, finish, true

STDIO = URL is None
GUARDED_URL = os.environ.get("INTEROP_GUARDED_URL", "")
TOOLS = ["say", "fail", "dot", "facts", "count", "sure", "anyway", "wait", "ended", "note", "change"]
FILES = {"x:///note", "x:///release", "docs:///a.txt", "docs:///dot.png", "docs:///sub/b.md"}
OUTSIDE = ["../note.txt", "%2e%2e/note.txt", "sub/../../note.txt", "/etc/passwd", "link", "inside", ".hidden", "sub", "no-such",
           "a.txt%00"]
FORM = "elicitation/create"


def run_manifest(sdk) -> None:
    asyncio.run(_run(_on_stdio(sdk) if STDIO else sdk))
    finish()


def _on_stdio(sdk):
    """The SDK with the server as its child in the place of a URL."""
    def child():
        arguments = ["serve", os.environ["INTEROP_MANIFEST"], "--stdio"]
        server = sdk.StdioServerParameters(command=os.environ["INTEROP_BINARY"], args=arguments, env=dict(os.environ))
        # What the server writes to standard error is not for the harness.
        return sdk.stdio_client(server, errlog=open(os.devnull, "w"))

    class Stdio(sdk):
        @staticmethod
        def sse_client(_url, **_options):
            return child()

        @staticmethod
        def client(_url, era, _on_response, **callbacks):
            return sdk.negotiate(child(), era, **callbacks)

    return Stdio


async def _run(sdk) -> None:
    async with Client(sdk) as client:
        await _check_lists(sdk, client)
        await _check_calls(client)
        await _check_resources(sdk, client)
        await _check_prompts(sdk, client)
        await _check_confirmation(sdk, client)
        await _check_cancelling(sdk, client)
        if not STDIO:
            await _check_principals(sdk)
        await _check_updates(client)
        await _check_reload(sdk, client)
        with check("the first client is still well"):
            equal(await client.text("say", {"text": "bye"}), "bye, 1")
            equal(client.surprises, [], "what the SDK did not expect")


async def _names(sdk, client: Client, what: str, member: str, name: str) -> list[str]:
    """What a list has on all of its pages: the files of a folder have pages of their own."""
    names, cursor = [], None
    while True:
        page = plain(await getattr(client.session, f"list_{what}")(params=sdk.page(cursor)))
        names += [item[name] for item in page[member]]
        cursor = page.get("nextCursor")
        if cursor is None:
            return names


async def _check_lists(sdk, client: Client) -> None:
    with check("all is listed but what is restricted"):
        if ERA:
            equal(client.client.protocol_version, "2026-07-28")
        equal(await _names(sdk, client, "tools", "tools", "name"), TOOLS)
        equal(set(await _names(sdk, client, "resources", "resources", "uri")), FILES)
        templates = await _names(sdk, client, "resource_templates", "resourceTemplates", "uriTemplate")
        true("x:///said/{word}" in templates, templates)
        equal(await _names(sdk, client, "prompts", "prompts", "name"), ["slow", "chat"])
        say = plain(await client.client.list_tools())["tools"][0]
        equal((say["inputSchema"]["required"], say["title"], say["annotations"]["readOnlyHint"]), (["text"], "Say", True))


async def _check_calls(client: Client) -> None:
    with check("a call with right arguments"):
        for text in ["one", "é ✓ 𝄞", "it's $(id) `id` ; \"x\" \\", "-n", "", "%s%n", "two\nlines"]:
            equal(await client.text("say", {"text": text, "times": 2}), f"{text}, 2")
        equal(await client.text("say", {"text": "a default"}), "a default, 1")
    with check("wrong arguments are named, and what would be right"):
        for arguments, words in [({}, "text"), ({"text": 5}, "text.*string"), ({"text": "x" * 101}, "text.*100"),
                                 ({"text": "x", "times": 4}, "times.*3"), ({"text": "x", "more": 1}, "more")]:
            told = await client.refusal("say", arguments)
            true(re.search(words, told), told)
    with check("a command that fails says how"):
        told = await client.refusal("fail")
        true("3" in told and "went wrong" in told, told)
    with check("an image"):
        [block] = (await client.call("dot"))["content"]
        equal((block["type"], block["mimeType"], block["data"][:11]), ("image", "image/png", "iVBORw0KGgo"))
    with check("structured JSON"):
        equal((await client.call("facts"))["structuredContent"], {"name": "router", "up": True})
    with check("lines are progress, and the result") as notes:
        heard = []

        async def hear(progress: float, _total: float | None, message: str | None) -> None:
            heard.append((progress, message))

        equal((await client.text("count", progress_callback=hear)).strip(), "line 1\nline 2\nline 3")
        # The latest stands for those that no client has taken yet.
        equal(heard[-1], (3, "line 3"))
        true(all(message == f"line {progress:.0f}" for progress, message in heard), heard)
        notes.append(f"{len(heard)} of 3")
    with check("ten calls at once of a tool of which four run"):
        told = await asyncio.gather(*(client.text("say", {"text": f"call {number}"}) for number in range(10)))
        equal(told, [f"call {number}, 1" for number in range(10)])


async def _check_resources(sdk, client: Client) -> None:
    async def read(uri: str) -> dict:
        return plain(await client.client.read_resource(uri))["contents"][0]

    with check("files, a folder, commands"):
        note = await read("x:///note")
        equal((note["text"], note["mimeType"]), ("first\n", "text/plain"))
        true("Linux" in (await read("x:///release"))["text"], "no Linux")
        equal((await read("x:///said/hello%20there"))["text"], "said hello there")
        equal((await read("docs:///sub/b.md"))["text"], "# Below\n")
        dot = await read("docs:///dot.png")
        equal((dot["mimeType"], dot["blob"][:11]), ("image/png", "iVBORw0KGgo"))
    with check("what is outside of the folder, or hidden in it, is not found"):
        for path in OUTSIDE:
            try:
                found = await read(f"docs:///{path}")
            except sdk.Error as error:
                true(error.error.code in (-32002, -32602), f"{path}: {error.error}")
            else:
                true(False, f"{path} was read: {found}")


async def _check_prompts(sdk, client: Client) -> None:
    with check("prompts and their completion"):
        [message] = plain(await client.client.get_prompt("slow", {"host": "wan"}))["messages"]
        equal((message["role"], message["content"]["text"]), ("user", "Find out why wan is slow."))
        chat = plain(await client.client.get_prompt("chat"))["messages"]
        equal([message["role"] for message in chat], ["user", "assistant"])
        completed = plain(await client.session.complete(sdk.prompt_reference("slow"), {"name": "host", "value": "la"}))
        equal(completed["completion"]["values"], ["lan", "lab"])
        try:
            await client.client.get_prompt("slow")
        except sdk.Error as error:
            true("host" in str(error), str(error))
        else:
            true(False, "a prompt without its argument")


async def _check_confirmation(sdk, client: Client) -> None:
    with check("a confirmation: yes, no, neither"):
        asked = []

        def agree(params: dict) -> dict:
            asked.append(params)
            return {"action": "accept", "content": {}}

        client.answers[FORM] = agree
        equal(await client.text("sure", {"host": "wan"}), "restarted")
        true(re.search(r'Restart the router now\?\s+host: "wan"', asked[0]["message"]), asked)
        equal(asked[0]["requestedSchema"]["properties"], {})
        for action, words in [("decline", "does not want"), ("cancel", "did not answer")]:
            client.answers[FORM] = lambda _params, action=action: {"action": action}
            told = await client.refusal("sure", {"host": "wan"})
            true(words in told, told)
        client.answers[FORM] = accept()
        equal(await client.text("anyway"), "went on")
        client.answers[FORM] = lambda _params: {"action": "decline"}
        true("does not want" in await client.refusal("anyway"), "it ran")
    with check("a confirmation: a client that cannot ask") as notes:
        async with Client(sdk, can_answer=False) as unable:
            # Since 2026-07-28 it is an error of the request, for the client to handle.
            try:
                notes.append(await unable.refusal("sure"))
                true(not ERA, "no error of the request")
            except sdk.Error as error:
                true(ERA and error.error.code == -32021, error)
                notes.append(str(error))
            true("elicitation" in notes[0], notes[0])
            equal(await unable.text("anyway"), "went on")


async def _check_cancelling(sdk, client: Client) -> None:
    file = Path(os.environ["INTEROP_MANIFEST"]).parent / "waits"

    def count() -> int:
        return len(file.read_text().splitlines()) if file.exists() else 0

    async def ended() -> bool:
        return re.fullmatch(r"(\d+) ended \1 waits", (await client.text("ended")).strip()) is not None

    with check("a call that is cancelled ends its command"):
        before = count()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call, "wait")
            await eventually(lambda: count() > before, "the command waits")
            tasks.cancel_scope.cancel()
        await sdk.tell_cancelled(client.session)
        await eventually(ended, "the command is ended")


async def _check_principals(sdk) -> None:
    tokens = json.loads(os.environ["INTEROP_TOKENS"])
    url = GUARDED_URL.removesuffix("/sse") + "/mcp" if HTTP else GUARDED_URL

    def of(token: str):
        fields = {"Authorization": f"Bearer {token}"} if token else {}
        return Client(type("Guarded", (sdk,), {"headers": fields}), url=url)

    with check("one with a token that may see it calls what is restricted"):
        async with of(tokens["ada"]) as ada:
            true("secret" in await _names(sdk, ada, "tools", "tools", "name"), "not listed")
            equal(await ada.text("secret"), "hush")
    with check("for one with another token it does not exist"):
        async with of(tokens["bob"]) as bob:
            true("secret" not in await _names(sdk, bob, "tools", "tools", "name"), "listed")
            try:
                true(False, await bob.call("secret"))
            except sdk.Error as error:
                equal(error.error.code, -32602)
            equal(await bob.text("say", {"text": "bob"}), "bob, 1")
    with check("without a token, or with a wrong one, there is no connection"):
        for token in ["", tokens["bob"] + "x"]:
            try:
                with anyio.fail_after(10):
                    async with of(token):
                        pass
            except* AssertionError:
                raise
            except* Exception as group:  # Each SDK and transport has its own.
                true(not any(isinstance(error, TimeoutError) for error in _leaves(group)), "it waits for an answer that has come")
            else:
                true(False, f"connected with {token!r}")


def _leaves(error: BaseException) -> list[BaseException]:
    return [leaf for one in error.exceptions for leaf in _leaves(one)] if isinstance(error, BaseExceptionGroup) else [error]


@contextlib.asynccontextmanager
async def _listening(client: Client, **what):
    """Waits for what the server says of changes: to those that listen for them, where there are no sessions."""
    if not ERA:
        yield None
        return
    async with client.client.listen(**what) as subscription:
        yield subscription


async def _check_updates(client: Client) -> None:
    uri = "x:///note"
    with check("a subscribed file that changes is announced"):
        if not ERA:
            await client.session.subscribe_resource(uri)
        async with _listening(client, resource_subscriptions=[uri]):
            client.told.clear()
            await client.text("note", {"text": "second"})
            equal((await client.until("notifications/resources/updated"))[0]["uri"], uri)
            equal(plain(await client.client.read_resource(uri))["contents"][0]["text"], "second")
        if not ERA:
            await client.session.unsubscribe_resource(uri)
        await client.text("note", {"text": "first\n"})


async def _check_reload(sdk, client: Client) -> None:
    with check("a reload is announced, and calls go on"):
        # Over Streamable HTTP a client opens its stream on the side, and says nothing of it.
        await asyncio.sleep(0.3 if HTTP and not ERA else 0)
        async with _listening(client, tools_list_changed=True, resources_list_changed=True, prompts_list_changed=True):
            for to, there in [("two", True), ("one", False)]:
                client.told.clear()
                # This one runs while the other manifest is read.
                running = asyncio.create_task(client.text("count"))
                await asyncio.sleep(0)
                await client.text("change", {"to": to})
                for kind in ["tools", "resources", "prompts"]:
                    await client.until(f"notifications/{kind}/list_changed")
                equal("extra" in await _names(sdk, client, "tools", "tools", "name"), there)
                equal("x:///extra" in await _names(sdk, client, "resources", "resources", "uri"), there)
                equal("extra" in await _names(sdk, client, "prompts", "prompts", "name"), there)
                equal((await running).strip(), "line 1\nline 2\nline 3")
                if there:
                    equal(await client.text("extra"), "more")
                else:
                    try:
                        true(False, await client.call("extra"))
                    except sdk.Error as error:
                        true("extra" in str(error), str(error))
    with check("a manifest with mistakes changes nothing"):
        client.told.clear()
        await client.text("change", {"to": "wrong"})
        await asyncio.sleep(0.3)
        equal(await _names(sdk, client, "tools", "tools", "name"), TOOLS)
        equal(client.told, [])
        await client.text("change", {"to": "one"})
