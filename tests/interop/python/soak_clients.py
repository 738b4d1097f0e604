"""Honest clients of the soak, of one Python SDK: each call carries a nonce, and its reply has to bring that one back.

`INTEROP_JOBS` is what soak.py wants; the last line on standard output is what came of it.
"""

import asyncio
import collections
import contextlib
import itertools
import json
import os
import random
import re
import sys
import time
import warnings
from datetime import timedelta
from urllib.parse import quote

import mcp
from mcp import ClientSession, types
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

OLD = not hasattr(mcp, "Client")
if OLD:
    import httpx as http
else:
    import httpx2 as http

    warnings.simplefilter("ignore", mcp.MCPDeprecationWarning)

WANTED = json.loads(os.environ["INTEROP_JOBS"])
END = time.monotonic() + WANTED["seconds"]
# A machine that is busy otherwise makes everything late; only what never comes is lost.
REQUEST_TIMEOUT = 180
PATIENCE = 40
# Those that return as soon as they can: their times are counted.
QUICK = {"echo", "read", "prompt", "list"}
REASONS = {503: "503", 404: "404, the session has ended", 408: "408, the client was too slow"}
_numbers = itertools.count()


class Wrong(Exception):
    """A reply that is not that of its call."""


class Tally:
    """What the clients of one transport got."""

    def __init__(self):
        self.calls = 0
        self.operations, self.refusals, self.notes = (collections.Counter() for _ in range(3))
        self.losses, self.wrong, self.times = [], [], []


def refusal(error: BaseException, statuses: list[int]) -> str | None:
    """A refusal that the server states: its reason. None is none, so that the call is lost."""
    text = f"{getattr(getattr(error, 'error', error), 'code', '')} {error}"
    if re.search(r"-32000|busy", text, re.IGNORECASE):
        return "busy"
    # A client waits on although its request was refused.
    for status, reason in REASONS.items():
        if re.search(rf"\b{status}\b", text) or status in statuses:
            return reason
    return None


def answer_to(question: str) -> str:
    return f"answer to {question}"


def same(found, wanted) -> None:
    if found != wanted:
        raise Wrong(f"{str(found)[:200]!r} instead of {str(wanted)[:200]!r}")


async def _elicit(_context, params):
    return types.ElicitResult(action="accept", content={"name": answer_to(params.message)})


async def _sample(_context, params):
    first = params.messages[0].content
    text = (first[0] if isinstance(first, list) else first).text
    content = types.TextContent(type="text", text=answer_to(text))
    return types.CreateMessageResult(role="assistant", model="none", content=content)


class CountingSession(ClientSession):
    """Knows the ids of the requests of each task: SDK 1 does not tell the server that a request was given up."""

    async def send_request(self, *arguments, **options):
        if OLD:
            asyncio.current_task().request_id = self._request_id
        return await super().send_request(*arguments, **options)


class Session:
    def __init__(self, job: dict, tally: Tally):
        self.job, self.tally = job, tally
        self.updates: dict[str, asyncio.Event] = {}
        # HTTP statuses that are refusals.
        self.statuses: list[int] = []
        self.left, self.over = random.randrange(30, 120), False

    @contextlib.asynccontextmanager
    async def open(self):
        carrier = self.job["carrier"]
        answers = {"sampling_callback": _sample, "elicitation_callback": _elicit, "message_handler": self._hear}
        headers = {"Authorization": f"Bearer {self.job.get('token')}"}

        async def hear(response) -> None:
            if response.status_code >= 400 and response.status_code != 405:
                self.statuses.append(response.status_code)

        async with contextlib.AsyncExitStack() as stack:
            if carrier == "stdio":
                command, *arguments = self.job["command"]
                child = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
                null = stack.enter_context(open(os.devnull, "w"))
                transport = stdio_client(child, errlog=null)
            elif carrier == "sse":
                transport = sse_client(self.job["url"], headers=headers, timeout=REQUEST_TIMEOUT,
                                       httpx_client_factory=lambda **options: http.AsyncClient(**options, event_hooks={"response": [hear]}))
            else:
                timeout = http.Timeout(REQUEST_TIMEOUT, read=300)
                client = http.AsyncClient(headers=headers, timeout=timeout, event_hooks={"response": [hear]})
                await stack.enter_async_context(client)
                transport = streamable_http_client(self.job["url"], http_client=client)
            if self.job.get("era"):
                self.client = await stack.enter_async_context(
                    mcp.Client(transport, mode=self.job["era"], read_timeout_seconds=REQUEST_TIMEOUT, **answers))
            else:
                read, write, *_ = await stack.enter_async_context(transport)
                timeout = timedelta(seconds=REQUEST_TIMEOUT) if OLD else REQUEST_TIMEOUT
                self.client = await stack.enter_async_context(
                    CountingSession(read, write, read_timeout_seconds=timeout, **answers))
                await self.client.initialize()
            yield self

    async def text(self, tool: str, arguments: dict, **options) -> str:
        result = await self.client.call_tool(tool, arguments, **options)
        text = "".join(block.text for block in result.content)
        if getattr(result, "isError", None) or getattr(result, "is_error", None):
            raise RuntimeError(f"isError: {text}")
        return text

    async def _hear(self, message) -> None:
        message = getattr(message, "root", message)
        if getattr(message, "method", "") == "notifications/resources/updated":
            event = self.updates.get(str(message.params.uri))
            if event:
                event.set()

    async def _updated(self, uri: str, tell) -> None:
        """Waits for an update of this resource; `tell` makes one."""
        # The stream that carries it may not be open yet, as a client opens it on the side: then it is told again.
        event = self.updates[uri] = asyncio.Event()
        try:
            for _ in range(3):
                await tell()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE / 4):
                        await event.wait()
                        return
                self.tally.notes["updates that were told again"] += 1
        finally:
            del self.updates[uri]
        raise RuntimeError(f"no update of {uri}")

    async def _cancelled(self, tool: str, arguments: dict) -> None:
        """A call that takes longer than its client waits."""
        call = asyncio.create_task(self.client.call_tool(tool, arguments))
        await asyncio.wait([call], timeout=random.uniform(0.02, 0.22))
        same(call.done() and call.exception() is None, False)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        if OLD:
            params = types.CancelledNotificationParams(requestId=call.request_id)
            await self.client.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))

    async def echo(self, sent: str) -> None:
        same(await self.text("echo", {"text": sent}), sent)

    async def big(self, sent: str) -> None:
        count = random.randrange(300_000)
        found = await self.text("big", {"text": sent, "bytes": count})
        same(found[:len(sent)], sent)
        same(len(found), len(sent) + count)

    async def slow(self, sent: str) -> None:
        heard = []

        async def hear(progress: float, _total: float | None, message: str | None) -> None:
            heard.append((progress, message))

        same(await self.text("slow", {"text": sent}, progress_callback=hear), sent)
        same({message for _, message in heard} - {sent}, set())
        same(heard, sorted(heard))

    async def ask(self, sent: str) -> None:
        same(await self.text("ask", {"text": sent}), f"{sent} {answer_to(sent)}")

    async def sample(self, sent: str) -> None:
        same(await self.text("sample", {"text": sent}), f"{sent} {answer_to(sent)}")

    async def away(self, sent: str) -> None:
        same(await self.text("away", {"text": sent}), sent)

    async def cancel(self, sent: str) -> None:
        await self._cancelled("wait", {"text": sent, "seconds": 30})

    async def subscribe(self, sent: str) -> None:
        name = quote(sent)
        uri = f"soak:///{name}"

        async def tell() -> None:
            same(await self.text("touch", {"text": name}), name)

        if self.job.get("era"):
            async with self.client.listen(resource_subscriptions=[uri]) as subscription:
                await tell()
                async with asyncio.timeout(PATIENCE):
                    event = await anext(subscription)
                same(event.uri, uri)
            return
        await self.client.subscribe_resource(uri)
        await self._updated(uri, tell)
        await self.client.unsubscribe_resource(uri)

    async def read(self, sent: str) -> None:
        result = await self.client.read_resource(f"soak:///{quote(sent)}")
        same(result.contents[0].text, sent)

    async def prompt(self, sent: str) -> None:
        result = await self.client.get_prompt("repeat", {"text": sent})
        same(result.messages[0].content.text, sent)

    async def list(self, _sent: str) -> None:
        if not (await self.client.list_tools()).tools:
            raise Wrong("no tools")

    async def say(self, sent: str) -> None:
        """Of the manifest: a command."""
        same(await self.text("say", {"text": sent}), sent)

    async def sleep(self, _sent: str) -> None:
        await self._cancelled("sleep", {"seconds": 30})


async def lane(session: Session) -> None:
    job, tally = session.job, session.tally
    while time.monotonic() < END and session.left > 0 and not session.over:
        session.left -= 1
        name, begun = random.choice(job["operations"]), time.monotonic()
        sent = f"{'py1' if OLD else 'py2'} {job['carrier']} {os.getpid()} {next(_numbers)} {random.random()}"
        tally.calls += 1
        tally.operations[name] += 1
        try:
            async with asyncio.timeout(2 * REQUEST_TIMEOUT):
                await getattr(session, name)(sent)
            if name in QUICK:
                tally.times.append(round((time.monotonic() - begun) * 10_000))
        except asyncio.CancelledError:
            tally.losses.append(f"{name}: its session broke {session.statuses}")
            raise
        except Exception as error:
            session.over = True
            why = refusal(error, session.statuses)
            if isinstance(error, Wrong):
                tally.wrong.append(f"{name}: {error}")
            elif why:
                tally.refusals[why] += 1
            else:
                took = round((time.monotonic() - begun) * 1000)
                tally.losses.append(f"{name} after {took} ms: {type(error).__name__} {str(error)[:300]} {session.statuses}")
        await asyncio.sleep(random.uniform(0, job["pause_ms"] / 1000))


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def run(job: dict, tally: Tally) -> None:
    while time.monotonic() < END:
        session, opened = Session(job, tally), False
        tally.calls += 1
        try:
            async with session.open():
                opened = True
                await asyncio.gather(*(lane(session) for _ in range(job["lanes"])))
        except Exception as error:
            error = _first(error)
            if opened:
                tally.notes[f"after its calls: {type(error).__name__}"] += 1
                continue
            why = refusal(error, session.statuses)
            if why:
                tally.refusals[why] += 1
            else:
                tally.losses.append(f"open: {type(error).__name__} {str(error)[:300]} {session.statuses}")
            await asyncio.sleep(0.5)


async def main() -> None:
    tallies = collections.defaultdict(Tally)
    await asyncio.gather(*(run(job, tallies[job["name"]]) for job in WANTED["jobs"] for _ in range(job["sessions"])))
    print(json.dumps({name: vars(tally) for name, tally in tallies.items()}))


asyncio.run(main())
sys.exit(0)
