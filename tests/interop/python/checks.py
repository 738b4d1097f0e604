"""What every Python client has to manage against the server. The SDKs differ in a few calls: see the adapters."""

import asyncio
import contextlib
import logging
import os
import time
from urllib.parse import urlsplit

import samples
import wire
from report import check, equal, finish, true

HTTP = "INTEROP_HTTP" in os.environ
# Clients that may use the newest era have to. There are no sessions in it.
ERA = os.environ.get("INTEROP_ERA")
# A server may keep none for older clients either.
SESSIONLESS = bool(ERA) or "INTEROP_SESSIONLESS" in os.environ


def _at(url: str | None) -> str | None:
    """Over Streamable HTTP the same server is elsewhere."""
    return url.removesuffix("/sse") + "/mcp" if url and HTTP else url


# A client of standard input and output has none.
URL = _at(os.environ.get("INTEROP_URL"))
UNPAGED_URL = _at(os.environ.get("INTEROP_UNPAGED_URL"))
OWN = "INTEROP_OWN" in os.environ
PAGE_ITEMS = int(os.environ.get("INTEROP_PAGE_ITEMS", 0))
KEEP_ALIVE_MS = int(os.environ.get("INTEROP_KEEP_ALIVE_MS", 0))

NEWEST_REVISION = "2026-07-28"
LEGACY_REVISIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]
SESSIONS, CALLS = 20, 25
# All these calls begin at once in one process, which takes four seconds of a processor's time for them. On a busy machine the last
# ones wait many times as long for their own client.
CROWD_SECONDS = 90

# Each list with the member that holds its items and what tells two items apart.
LISTS = [("list_tools", "tools", "name"), ("list_resources", "resources", "uri"),
         ("list_resource_templates", "resourceTemplates", "uriTemplate"), ("list_prompts", "prompts", "name")]


class Connection:
    """A session on an event stream of its own, and what the transport said its session id is; or a client without one.

    `client` answers questions in results; in a session, where there are none, it is the same as `session`.
    """

    def __init__(self, sdk, url: str, **callbacks):
        self._sdk, self._url, self._callbacks, self.session_ids = sdk, url, callbacks, []
        # The HTTP responses, where no session hides them.
        self.responses: list = []

    async def __aenter__(self) -> "Connection":
        self._stack = contextlib.AsyncExitStack()
        async with contextlib.AsyncExitStack() as stack:
            await (self._negotiate(stack) if ERA else self._initialize(stack))
            self._stack = stack.pop_all()
        return self

    async def _initialize(self, stack: contextlib.AsyncExitStack) -> None:
        open_streams = self._sdk.http_client if HTTP else self._sdk.sse_client
        streams = await stack.enter_async_context(open_streams(self._url, on_session_created=self.session_ids.append))
        self.session = self.client = await stack.enter_async_context(self._sdk.session(*streams, **self._callbacks))
        self.initialized = plain(await self.session.initialize())

    async def _negotiate(self, stack: contextlib.AsyncExitStack) -> None:
        self.client = await stack.enter_async_context(
            self._sdk.client(self._url, ERA, self.responses.append, **self._callbacks))
        self.session, server = self.client.session, self.client.server_info
        self.initialized = {"serverInfo": plain(server) if server else None, "protocolVersion": self.client.protocol_version,
                            "capabilities": plain(self.client.server_capabilities)}

    async def __aexit__(self, *error) -> None:
        await self._stack.__aexit__(*error)

    async def echo(self, text: str) -> str:
        return content_text(plain(await self.client.call_tool("echo", {"text": text})))


def plain(model) -> dict:
    """A result with the names that it has on the wire; the SDKs call the members of their models differently."""
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


def content_text(result: dict) -> str:
    return "".join(block.get("text", "") for block in result["content"])


def run_checks(sdk) -> None:
    asyncio.run(_run(sdk))
    finish()


async def _run(sdk) -> None:
    async with Connection(sdk, URL) as connection:
        with check("connect and discover" if ERA else "connect and initialize") as notes:
            found = connection.initialized
            true(found["serverInfo"]["name"], "serverInfo has no name")
            wanted = [NEWEST_REVISION] if ERA else LEGACY_REVISIONS
            true(found["protocolVersion"] in wanted, f"negotiated {found['protocolVersion']}")
            notes.append(f"{found['serverInfo']['name']} {found['serverInfo'].get('version')}, {found['protocolVersion']}")
        lists = await _check_lists(sdk, connection)
        await _check_tools(connection, lists["tools"])
        await _check_resources(connection, lists)
        await _check_prompts(connection, lists["prompts"])
        if not ERA:
            await _check_session(connection, lists)
        await _check_completion(sdk, connection, lists)
        await _check_errors(sdk, connection)
        await _check_many_sessions(sdk)
        if KEEP_ALIVE_MS:
            with check("a client lives on past keep-alives"):
                await asyncio.sleep(3 * KEEP_ALIVE_MS / 1000)
                equal(await connection.echo("awake"), "awake")
    _check_close(connection)
    if not HTTP:
        await _check_cut(sdk)


async def _check_lists(sdk, connection: Connection) -> dict[str, list[dict]]:
    lists = {}
    for method, member, key in LISTS:
        lists[member] = []
        with check(f"{method}, page by page") as notes:
            items, pages = await _walk(sdk, connection, method, member)
            equal(len({item[key] for item in items}), len(items), "the number of different items")
            if PAGE_ITEMS:
                equal(pages, max(1, -(-len(items) // PAGE_ITEMS)), "the number of pages")
            true(items or member != "tools", "no tools")
            lists[member] = items
            notes.append(f"{len(items)} on {pages} pages")
    if UNPAGED_URL:
        with check("the pages together are the whole lists"):
            async with Connection(sdk, UNPAGED_URL) as unpaged:
                for method, member, _ in LISTS:
                    equal(await _walk(sdk, unpaged, method, member), (lists[member], 1), method)
    return lists


async def _walk(sdk, connection: Connection, method: str, member: str) -> tuple[list[dict], int]:
    items, pages, cursor = [], 0, None
    while True:
        page = plain(await getattr(connection.session, method)(params=sdk.page(cursor)))
        items += page[member]
        pages += 1
        true(pages <= 1000, "the pages do not end")
        cursor = page.get("nextCursor")
        if cursor is None:
            return items, pages


async def _check_tools(connection: Connection, tools: list[dict]) -> None:
    with check("every tool can be called") as notes:
        for tool in tools:
            result = plain(await connection.client.call_tool(tool["name"], samples.arguments(tool["inputSchema"])))
            true(isinstance(result.get("content"), list), f"{tool['name']} has no content")
            if result.get("isError"):
                notes.append(f"isError from {tool['name']}: {content_text(result)}")
        notes.append(f"{len(tools)} tools")
    with check("echo gives back its text"):
        for text in ["hello", "", "é ✓ 𝄞 \u2028", "line\nline\r\n\ttab", '{"jsonrpc":"2.0"}', "x" * 100_000]:
            equal(await connection.echo(text), text)
    with check("add gives the sum"):
        for a, b in [(2, 3), (-1, 1), (0.5, 0.25)]:
            equal(float(content_text(plain(await connection.client.call_tool("add", {"a": a, "b": b})))), a + b)


async def _check_resources(connection: Connection, lists: dict[str, list[dict]]) -> None:
    async def read(uri: str) -> None:
        contents = plain(await connection.client.read_resource(uri))["contents"]
        true(contents, f"{uri} is empty")
        for one in contents:
            true(one.get("uri"), f"{uri}: contents without a URI")
            true("text" in one or "blob" in one, f"{uri}: neither text nor blob")

    with check("every resource can be read") as notes:
        for resource in lists["resources"]:
            await read(resource["uri"])
        notes.append(f"{len(lists['resources'])} resources")
    with check("every resource template can be filled in and read") as notes:
        for template in lists["resourceTemplates"]:
            await read(samples.expand(template["uriTemplate"]))
        notes.append(f"{len(lists['resourceTemplates'])} templates")


async def _check_prompts(connection: Connection, prompts: list[dict]) -> None:
    with check("every prompt can be got") as notes:
        for prompt in prompts:
            result = plain(await connection.client.get_prompt(prompt["name"], samples.prompt_arguments(prompt)))
            true(result["messages"], f"{prompt['name']} has no messages")
        notes.append(f"{len(prompts)} prompts")


async def _check_session(connection: Connection, lists: dict[str, list[dict]]) -> None:
    session, capabilities = connection.session, connection.initialized["capabilities"]
    with check("ping"):
        await session.send_ping()
    if "logging" in capabilities:
        with check("logging/setLevel"):
            await session.set_logging_level("debug")
    if capabilities.get("resources", {}).get("subscribe") and lists["resources"]:
        with check("subscribe and unsubscribe"):
            await session.subscribe_resource(lists["resources"][0]["uri"])
            await session.unsubscribe_resource(lists["resources"][0]["uri"])


async def _check_completion(sdk, connection: Connection, lists: dict[str, list[dict]]) -> None:
    prompt = next((prompt for prompt in lists["prompts"] if prompt.get("arguments")), None)
    if "completions" in connection.initialized["capabilities"] and prompt:
        with check("completion/complete"):
            argument = {"name": prompt["arguments"][0]["name"], "value": ""}
            result = plain(await connection.session.complete(sdk.prompt_reference(prompt["name"]), argument))
            true(isinstance(result["completion"]["values"], list), "no values")


async def _check_errors(sdk, connection: Connection) -> None:
    client, session = connection.client, connection.session

    async def refusal(call) -> tuple[int | None, str]:
        """The error code and message; the code is None where the refusal is a result with `isError`."""
        try:
            result = plain(await call)
        except sdk.Error as error:
            return error.error.code, error.error.message
        true(result.get("isError"), "the call succeeded")
        return None, content_text(result)

    with check("an unknown method is -32601"):
        equal((await refusal(sdk.request(session, "no/such/method")))[0], -32601, "code")
    with check("an unknown tool is refused") as notes:
        code, _ = await refusal(client.call_tool("no-such-tool", {}))
        true(code in (None, -32602), f"code {code}")
        notes.append("isError" if code is None else f"code {code}")
    wrong = [("a missing", {}, "text"), ("a mistyped", {"text": 5}, "text")]
    if OWN:
        wrong.append(("an unknown", {"text": "x", "surplus": 1}, "surplus"))
    for what, arguments, named in wrong:
        with check(f"{what} argument is named") as notes:
            _, complaint = await refusal(client.call_tool("echo", arguments))
            true(named in complaint, f'"{complaint}" does not name {named}')
            notes.append(complaint)
    not_found = -32602 if ERA else -32002
    with check(f"an unknown resource is {not_found}"):
        equal((await refusal(client.read_resource("no-such:resource")))[0], not_found, "code")
    with check("an unknown prompt is -32602"):
        equal((await refusal(client.get_prompt("no-such-prompt", {})))[0], -32602, "code")


async def _check_many_sessions(sdk) -> None:
    # Each connection stays within one task: its cancel scopes may not be left from another.
    ready, everyone = [], asyncio.Event()

    async def one_session(number: int) -> None:
        async with Connection(sdk, URL, **sdk.patience(CROWD_SECONDS)) as connection:
            if SESSIONLESS:
                equal(connection.session_ids, [], "the session's ids")
            ready.append(number if SESSIONLESS else connection.session_ids[0])
            if len(ready) == SESSIONS:
                everyone.set()
            await everyone.wait()
            texts = [f"session {number}, call {call}" for call in range(CALLS)]
            equal(await asyncio.gather(*(connection.echo(text) for text in texts)), texts)

    with check(f"{SESSIONS} {'clients' if SESSIONLESS else 'sessions'} of {CALLS} calls at once get their own replies"):
        async with asyncio.timeout(CROWD_SECONDS + 30), asyncio.TaskGroup() as group:
            for number in range(SESSIONS):
                group.create_task(one_session(number))
        equal(len(set(ready)), SESSIONS, "the number of session ids")


def _check_close(connection: Connection) -> None:
    if SESSIONLESS or not OWN:
        return
    with check("close ends the session"):
        ping, headers = {"jsonrpc": "2.0", "id": 1, "method": "ping"}, {}
        endpoint = URL.removesuffix("/sse") + f"/messages?sessionId={connection.session_ids[0]}"
        if HTTP:
            endpoint, headers = URL, {"Mcp-Session-Id": connection.session_ids[0]}
        deadline = time.monotonic() + 2
        while (response := wire.post(endpoint, ping, headers)).status < 400:
            true(time.monotonic() < deadline, "the session still takes messages after 2 s")
            time.sleep(0.05)
        if HTTP:
            equal(response.status, 404)
        else:
            equal((response.status, response.text), (400, "No transport found for sessionId"))


async def _check_cut(sdk) -> None:
    with check("a cut stream ends the session, and a new connection works"):
        async with _Proxy() as proxy:
            async with Connection(sdk, proxy.url) as connection:
                equal(await connection.echo("before"), "before")
                # The SDKs log the traceback of what is done to them here.
                logging.disable()
                proxy.cut_streams()
                try:
                    async with asyncio.timeout(10):
                        await connection.echo("lost")
                except sdk.Error:
                    pass
                else:
                    raise AssertionError("a call was answered on a dead stream")
            async with Connection(sdk, proxy.url) as connection:
                equal(await connection.echo("after"), "after")


class _Proxy:
    """A byte proxy in front of the server: it can cut the event stream, as a network does."""

    async def __aenter__(self) -> "_Proxy":
        self._streams, self._writers, self._joined = set(), set(), set()
        for port in range(20000, 21000):
            with contextlib.suppress(OSError):
                self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
                self.url = f"http://127.0.0.1:{port}/sse"
                return self
        raise RuntimeError("no free port")

    async def __aexit__(self, *_error) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._joined)

    def cut_streams(self) -> None:
        for writer in self._streams:
            writer.transport.abort()

    def _accept(self, reader, writer) -> None:
        self._joined.add(asyncio.create_task(self._join(reader, writer)))

    async def _join(self, near_reader, near_writer) -> None:
        target = urlsplit(URL)
        far_reader, far_writer = await asyncio.open_connection(target.hostname, target.port)
        self._writers |= {near_writer, far_writer}

        async def copy(reader, writer, is_request: bool) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    if is_request and data.startswith(b"GET /sse "):
                        self._streams.add(near_writer)
                    writer.write(data)
                    await writer.drain()
            writer.close()

        await asyncio.gather(copy(near_reader, far_writer, True), copy(far_reader, near_writer, False))
