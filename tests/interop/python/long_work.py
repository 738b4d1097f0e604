"""The example `tokio`, whose handlers are futures, on a thread and as a task: the Python SDK 1 over both transports. Long work tells
its progress, is cancelled, and 200 calls of it go on at once; a question is asked in between."""

import asyncio
import os
import time

from mcp import ClientSession, types
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from report import check, equal, finish, true

CALLS = 200
# Each call of those takes so long; one after the other they would take longer than the stage may.
CALL_SECONDS = 1


async def answer(_context, params) -> types.ElicitResult:
    sure = "Paris" in params.message
    return types.ElicitResult(action="accept" if sure else "decline", content={"sure": True} if sure else None)


async def text(call) -> str:
    return (await call).content[0].text


async def check_session(name: str, streams) -> None:
    async with streams as (read, write, *_), ClientSession(read, write, elicitation_callback=answer) as session:
        await session.initialize()
        with check(f"{name}: progress"):
            heard = []

            async def hear(progress: float, total: float | None, _message: str | None) -> None:
                heard.append((progress, total))

            work = {"steps": 5, "milliseconds": 20}
            equal(await text(session.call_tool("work", work, progress_callback=hear)), "5 steps")
            true(len(heard) > 1 and {total for _, total in heard} == {5.0}, heard)
            true(all(one < other for (one, _), (other, _) in zip(heard, heard[1:])), heard)

        with check(f"{name}: {CALLS} calls at once"):
            work = {"steps": 2, "milliseconds": CALL_SECONDS * 500}
            begun = time.monotonic()
            results = await asyncio.gather(*(text(session.call_tool("work", work)) for _ in range(CALLS)))
            took = time.monotonic() - begun
            equal(results, ["2 steps"] * CALLS)
            true(took < CALLS * CALL_SECONDS / 4, f"took {took:.1f} s")

        with check(f"{name}: a call that is cancelled is not answered, and others go on"):
            begun = asyncio.Event()

            async def begins(*_progress) -> None:
                begun.set()

            long = session.call_tool("work", {"steps": 1000, "milliseconds": 60_000}, progress_callback=begins)
            waiting = asyncio.ensure_future(long)
            # The first step is told before it begins.
            await asyncio.wait_for(begun.wait(), 20)
            # This SDK does not tell the server that a request was given up.
            params = types.CancelledNotificationParams(requestId=session._request_id - 1)
            await session.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))
            equal(await text(session.call_tool("work", {"steps": 1, "milliseconds": 1})), "1 steps")
            true(not waiting.done(), "it was answered")
            waiting.cancel()

        with check(f"{name}: a question in between"):
            equal(await text(session.call_tool("book", {"town": "Paris"})), "booked for 45 €")
            equal(await text(session.call_tool("book", {"town": "Rome"})), "nothing was booked")


async def main() -> None:
    for way, url in [("on a thread", os.environ["INTEROP_URL"]), ("as a task", os.environ["INTEROP_SECOND_URL"])]:
        await check_session(f"{way}, HTTP+SSE", sse_client(url))
        await check_session(f"{way}, Streamable HTTP", streamable_http_client(url.removesuffix("/sse") + "/mcp"))


asyncio.run(main())
finish()
