"""The hostile side of the soak: kinds of misbehaviour on sockets by hand, each bounded in number and time.

Each kind is a coroutine under `KINDS`. It says how it was answered, and which answers it may get: any other fails the soak. A
victim is an honest session by hand: whatever others do to it, its replies have to be its own.
"""

import asyncio
import collections
import contextlib
import json
import os
import random
import re
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from peer import (ACCEPT, JSON, MIB, PATIENCE, WHO, Ended, Peer, Target, alone, alone_call, begin, call, end, initialize, mcp, open_sse,
                  request, rpc)


def true(condition: object, what: str) -> None:
    """What a victim has a right to."""
    if not condition:
        raise AssertionError(what)


async def all_of(*peers: Awaitable) -> list:
    return await asyncio.gather(*peers)


# ---- the kinds: each returns how it was answered ----

Kind = Callable[[Target], Awaitable[list[str]]]


@dataclass
class Misbehaviour:
    run: Kind
    allowed: set[str]
    pause: float
    on: str
    who: str


KINDS: dict[str, Misbehaviour] = {}


def kind(name: str, allowed: str, pause: float = 1.0, on: str = "both", who: str = "trudy"):
    """`allowed` are the answers it may get. `on` is `both` servers, or those that have what is abused."""

    def add(run: Kind) -> Kind:
        KINDS[name] = Misbehaviour(run, set(allowed.split()), pause, on, who)
        return run

    return add


ENDS = "closed reset"
BUSY = "503"


async def _held(target: Target, count: int, first: bytes, drip: bytes = b"", every: float = 0.2, over: float = 0) -> list[str]:
    """So many connections that begin, one after the other over a time, and do not go on, or only drop by drop."""

    async def one(number: int) -> str:
        await asyncio.sleep(over * number / count)
        try:
            async with Peer(target) as peer:
                await peer.send(first)
                outcome = asyncio.create_task(peer.outcome())
                while drip and not outcome.done():
                    await asyncio.wait([outcome], timeout=every)
                    await peer.send(drip)
                return await outcome
        except Ended as end:
            return str(end)

    return await all_of(*(one(number) for number in range(count)))


@kind("slow heads", f"408 {ENDS} {BUSY}", who="mallory")
async def _(target):
    return await _held(target, 10, request(target, "POST", "/mcp")[:-2] + b"X-Slow: ", b"x")


@kind("connections that say nothing", f"408 {ENDS} {BUSY}")
async def _(target):
    return await _held(target, 60, b"", over=5)


@kind("one-byte sockets", f"408 {ENDS} {BUSY}")
async def _(target):
    # Each holds its place for as long as it may, so that at the cap there are always some that go before anybody honest.
    return await _held(target, 400, b"G", over=10)


@kind("half bodies", f"408 {ENDS} {BUSY}", who="mallory")
async def _(target):
    announced = request(target, "POST", "/mcp", f"{ACCEPT}{JSON}Content-Length: {2 * MIB}\r\n")
    return await _held(target, 8, announced + b"[" + b" " * (2 * MIB - 10))


@kind("half bodies without a token", f"401 {ENDS}", who="mallory")
async def _(target):
    announced = request(target, "POST", "/mcp", f"{ACCEPT}{JSON}Content-Length: {MIB}\r\n", who=None)
    return await _held(target, 10, announced + b"[" * 1000)


@kind("bodies drop by drop", f"408 {ENDS} {BUSY}", who="mallory")
async def _(target):
    announced = request(target, "POST", "/mcp", f"{ACCEPT}{JSON}Content-Length: 100000\r\n")
    return await _held(target, 5, announced, b" " * 3, 0.1)


@kind("bodies that wait for 100 Continue for ever", f"100 408 417 {ENDS} {BUSY}", who="mallory")
async def _(target):
    announced = request(target, "POST", "/mcp", f"{ACCEPT}{JSON}Content-Length: 100\r\nExpect: 100-continue\r\n")
    return await _held(target, 3, announced)


@kind("garbage", f"400 408 414 431 501 505 {ENDS} {BUSY}", pause=0.3)
async def _(target):
    return await _held(target, 2, random.randbytes(random.randrange(1, 4000)) + random.choice([b"", b"\r\n\r\n", b"\n\n"]))


@kind("requests with one byte changed", f"200 202 400 401 403 404 405 406 408 411 413 414 415 417 431 501 505 {ENDS} {BUSY}", pause=0.2)
async def _(target):
    whole = bytearray(alone_call(target, "echo", {"text": "changed"}))
    whole[random.randrange(len(whole))] = random.randrange(256)
    return await _held(target, 2, bytes(whole))


@kind("requests that are cut", f"400 408 {ENDS} {BUSY}", pause=0.2)
async def _(target):
    whole = alone_call(target, "echo", {"text": "cut"})

    async def one() -> str:
        async with Peer(target) as peer:
            await peer.send(whole[:random.randrange(1, len(whole))])
            peer.half_close()
            return await peer.outcome()

    return await all_of(one(), one())


@kind("oversize heads", f"414 431 {ENDS} {BUSY}")
async def _(target):
    outcomes = []
    for head in [request(target, "GET", f"/{'x' * 9000}"), request(target, "GET", "/mcp", f"X: {'x' * 20000}\r\n"),
                 request(target, "GET", "/mcp", "X: y\r\n" * 150)]:
        outcomes += await _held(target, 1, head)
    return outcomes


@kind("oversize bodies", f"413 408 {ENDS} {BUSY}", who="mallory")
async def _(target):
    async def announced() -> str:
        async with Peer(target) as peer:
            await peer.send(request(target, "POST", "/mcp", f"{ACCEPT}{JSON}Content-Length: 1000000000000\r\n"))
            await peer.send(b" " * MIB, 5)
            return await peer.outcome()

    async def chunked() -> str:
        async with Peer(target) as peer:
            await peer.send(request(target, "POST", "/mcp", f"{ACCEPT}{JSON}Transfer-Encoding: chunked\r\n"))
            for _ in range(80):
                if not await peer.send(b"10000\r\n" + b" " * 65536 + b"\r\n", 5):
                    break
            return await peer.outcome()

    return await all_of(announced(), chunked())


@kind("oversize batches", "-32600 200", on="soak")
async def _(target):
    async with Peer(target) as peer:
        session = await begin(peer, revision="2025-03-26")
        pings = [json.loads(rpc(number, "ping")) for number in range(20)]
        few = await peer.ask(mcp(target, session, json.dumps(pings)))
        found = [one["id"] for one in json.loads(few.body)] if few.body.startswith(b"[") else []
        many = await peer.ask(mcp(target, session, json.dumps(pings * 50)))
        await end(peer, session)
        true(sorted(found) == list(range(20)), f"a batch of 20 got {few.body[:200]!r}")
        return [str(few.status), str(many.message["error"]["code"])]


@kind("resets", f"broken {ENDS} {BUSY}", pause=0.2, who="mallory")
async def _(target):
    for at in range(6):
        peer = await Peer(target).open()
        whole = alone_call(target, "big" if target.name == "soak" else "say", {"text": "reset", "bytes": 500_000})
        match at:
            case 0:
                await open_sse(peer)
            case 1:
                await peer.send(whole[:300])
            case 2:
                await peer.send(whole)
                await peer.head()
            case 3:
                await peer.send(whole)
            case 4:
                await peer.send(b"POST /mcp HT")
        peer.reset()
    return ["broken"] * 6


@kind("half closes: of 2025 the answer still has to come", "200", pause=0.5)
async def _(target):
    async with Peer(target) as keeper:
        nonce = str(random.random())
        session = await begin(keeper)
        async with Peer(target) as peer:
            await peer.send(mcp(target, session, call(1, "slow" if target.name == "soak" else "say", {"text": nonce})))
            peer.half_close()
            response = await peer.response()
        true(nonce in response.body.decode(), f"{response.status} {response.body[:200]!r}")
        await end(keeper, session)
        return [str(response.status)]


@kind("half closes: of 2026 they cancel the call", "closed", pause=0.5, on="soak")
async def _(target):
    async with Peer(target) as peer:
        await peer.send(alone_call(target, "wait", {"text": "x", "seconds": 30}))
        peer.half_close()
        return [await peer.outcome()]


@kind("streams that are never read", f"202 400 {BUSY}", pause=2, on="soak", who="mallory")
async def _(target):
    stream = await Peer(target).open(receive_bytes=4096)
    outcomes = []
    try:
        async with Peer(target) as peer:
            endpoint = await open_sse(stream)
            for number in range(20):
                body = call(number, "big", {"text": "never read", "bytes": 400_000})
                answer = await peer.ask(request(target, "POST", endpoint, "", body))
                outcomes.append(str(answer.status))
                # The stream was closed because too much waits on it.
                if answer.status == 400:
                    break
            await asyncio.sleep(random.uniform(1, 8))
    finally:
        stream.socket.close()
    return outcomes


@kind("answers that are read drop by drop", f"whole abandoned {ENDS} {BUSY}", on="soak", who="mallory")
async def _(target):
    async def one() -> str:
        peer = await Peer(target).open(receive_bytes=4096)
        try:
            await peer.send(alone_call(target, "big", {"text": "slow", "bytes": 1_000_000}))
            if (response := await peer.head()).status != 200:
                return str(response.status)
            got = 0
            for _ in range(random.randrange(20, 150)):
                got += len(await peer.receive(most=16384))
                await asyncio.sleep(0.05)
            return "whole" if got >= 1_000_000 else "abandoned"
        except Ended as end:
            return str(end)
        finally:
            peer.socket.close()

    return await all_of(*(one() for _ in range(3)))


@kind("pipelines: each answer in its place", f"200 {BUSY} {ENDS}", pause=2, on="soak", who="mallory")
async def _(target):
    async with Peer(target) as peer:
        count = 300
        sent = asyncio.create_task(peer.send(b"".join(
            alone_call(target, "echo", {"text": f"<{number}>"}, identity=number) for number in range(count))))
        await asyncio.sleep(random.uniform(0, 0.5))
        outcomes = []
        try:
            for number in range(count):
                response = await peer.response()
                outcomes.append(str(response.status))
                if response.status == 200:
                    true(f"<{number}>" in response.body.decode(), f"{number}: {response.body[:200]!r}")
                    true(response.message["id"] == number, f"{number}: {response.body[:200]!r}")
        except Ended as end:
            outcomes.append(str(end))
        await sent
        return outcomes


@kind("session floods", f"200 202 {BUSY}", pause=2, who="mallory")
async def _(target):
    async with Peer(target) as peer:
        return [str((await peer.ask(mcp(target, None, initialize()))).status) for _ in range(200)]


@kind("session floods with a stream each", f"200 {BUSY} {ENDS}", pause=5, who="mallory")
async def _(target):
    streams = [Peer(target) for _ in range(60)]

    async def one(peer: Peer) -> str:
        try:
            await peer.open()
            await open_sse(peer)
            return "200"
        except Ended as end:
            return str(end)

    outcomes = await all_of(*(one(peer) for peer in streams))
    await asyncio.sleep(2)
    for peer in streams:
        peer.socket.close()
    return outcomes


@kind("sessions of others: DELETE, POST, GET", "404 400", pause=0.5)
async def _(target):
    # Each connection is used as soon as it is open, or it would be one of those that have proven nothing.
    async with Peer(target, victim=True) as victim:
        session = await begin(victim, "victim")
        named = f"Mcp-Session-Id: {session}\r\n"
        async with Peer(target) as peer:
            outcomes = [str((await peer.ask(one)).status) for one in [
                request(target, "DELETE", "/mcp", named), mcp(target, session, rpc(1, "ping")),
                request(target, "GET", "/mcp", ACCEPT + named),
                request(target, "POST", f"/messages?sessionId={session}", "", rpc(1, "ping"))]]
        answer = await victim.ask(mcp(target, session, rpc("mine", "ping"), "victim"))
        true(answer.status == 200 and answer.message["id"] == "mine", f"the victim got {answer.status} {answer.body[:200]!r}")
        true(await end(victim, session, "victim") in (200, 204), "the victim could not end its session")
        return outcomes


@kind("guessed session ids", "404 400", pause=0.5)
async def _(target):
    outcomes = []
    async with Peer(target) as peer:
        for guess in [f"{random.getrandbits(128):032x}", "1", "null", "x" * 500, "../../etc", "é".encode().decode("latin-1")]:
            outcomes.append(str((await peer.ask(mcp(target, guess, rpc(1, "ping")))).status))
        guess = f"/messages?sessionId={random.getrandbits(64):x}"
        outcomes.append(str((await peer.ask(request(target, "POST", guess, "", rpc(1, "ping")))).status))
    return outcomes


@kind("wrong tokens", f"401 400 431 {ENDS}", pause=0.5)
async def _(target):
    right = target.tokens["mallory"]
    outcomes = []
    for value in [None, f"Bearer {right[:-1]}", f"Bearer {right}x", f"Basic {right}", "Bearer", f"Bearer {right} {right}",
                  "Bearer " + "x" * 8000, f"bearer:{right}", "Bearer \x7f", "Bearer é"]:
        field = "" if value is None else f"Authorization: {value}\r\n"
        outcomes += await _held(target, 1, mcp(target, None, initialize(), None, field))
    return outcomes


@kind("wrong Host, Origin and Sec-Fetch-Site", f"403 400 {ENDS}", pause=0.5)
async def _(target):
    body = initialize()
    outcomes = []
    for fields in ["Host: evil.example\r\n", "Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n", "",
                   "Host: 127.0.0.1\r\nOrigin: https://evil.example\r\n",
                   "Host: 127.0.0.1\r\nOrigin: null\r\n", f"Host: 127.0.0.1\r\nOrigin: http://localhost:{'1' * 2000}\r\n",
                   "Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n"]:
        fields += f"Authorization: Bearer {target.tokens['trudy']}\r\n{ACCEPT}{JSON}Content-Length: {len(body)}\r\n"
        head = f"POST /mcp HTTP/1.1\r\n{fields}\r\n"
        outcomes += await _held(target, 1, (head + body).encode())
    return outcomes


@kind("requests that can be read in two ways", f"400 501 {ENDS}", pause=0.5)
async def _(target):
    outcomes = []
    for fields in ["Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 2\r\nContent-Length: 3\r\n",
                   "Content-Length : 2\r\n", "X: a\r\n b\r\nContent-Length: 2\r\n", "Content-Length: +2\r\n",
                   "Content-Length: 2\nX: y\r\n", "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding: xchunked\r\n"]:
        outcomes += await _held(target, 1, request(target, "POST", "/mcp", ACCEPT + JSON + fields) + b"{}")
    return outcomes


@kind("abuse of chunks", f"200 400 {ENDS}", pause=0.5, on="soak")
async def _(target):
    nonce = str(random.random())
    head, body = alone_call(target, "echo", {"text": nonce}).split(b"\r\n\r\n", 1)
    head = re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", head) + b"\r\n\r\n"
    drops = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    async with Peer(target) as peer:
        response = await peer.ask(head + drops + b"0\r\nX-Trailer: y\r\n\r\n")
        true(nonce in response.body.decode(), f"one byte a chunk: {response.status} {response.body[:200]!r}")
    outcomes = [str(response.status)]
    for wrong in [b"zz\r\n", b"ffffffffffffffffff\r\n", b"1;" + b"x" * 10_000 + b"\r\n", b"1\r\nxx\r\n", b"0\r\n" + b"X: y\r\n" * 5000,
                  b"-1\r\n"]:
        outcomes += await _held(target, 1, head + wrong)
    return outcomes


@kind("methods and media types that do not fit", "400 404 405 406 415 501", pause=0.5)
async def _(target):
    outcomes = []
    for method, path, fields in [("PUT", "/mcp", ""), ("TRACE", "/mcp", ""), ("FOO", "/mcp", ""), ("GET", "/etc/passwd", ""),
                                 ("HEAD", "/mcp", ""), ("POST", "/sse", "Content-Length: 0\r\n"), ("GET", "/mcp", "Accept: text/html\r\n"),
                                 ("POST", "/mcp", "Content-Type: text/plain\r\nContent-Length: 2\r\n")]:
        async with Peer(target) as peer:
            await peer.send(request(target, method, path, fields) + (b"{}" if "Length: 2" in fields else b""))
            outcomes.append(str((await peer.head()).status))
    return outcomes


@kind("equal ids", "answered 400", on="soak child")
async def _(target):
    async with Peer(target) as one:
        session = await begin(one)
        async with Peer(target) as two:
            first, second = await all_of(one.ask(mcp(target, session, call(7, "slow", {"text": "first"}))),
                                         two.ask(mcp(target, session, call(7, "slow", {"text": "second"}))))
        for response, text in [(first, "first"), (second, "second")]:
            true("result" in response.message, f"{text}: {response.status} {response.body[:300]!r}")
            true(response.message["result"]["content"][0]["text"] == text, f"{text}: {response.body[:300]!r}")
        await end(one, session)
    async with Peer(target) as stream, Peer(target) as one:
        endpoint = await open_sse(stream)
        outcomes = ["answered", "answered"]
        for text in ["first", "second"]:
            posted = await one.ask(request(target, "POST", endpoint, "", call(7, "wait", {"text": text, "seconds": 0.5})))
            if posted.status == 202:
                outcomes.append("answered")
            else:
                outcomes.append(str(posted.status))
        for _ in range(outcomes.count("answered") - 2):
            message = await stream.message()
            true(message["id"] == 7 and "result" in message, f"{message}")
        return outcomes


@kind("questions without an answer", "202 400", pause=2, on="soak", who="mallory")
async def _(target):
    async with Peer(target) as stream, Peer(target) as peer:
        endpoint = await open_sse(stream)
        outcomes = [str((await peer.ask(request(target, "POST", endpoint, "", initialize()))).status)]
        for number in range(1, 100):
            outcomes.append(str((await peer.ask(request(target, "POST", endpoint, "", call(number, "ask", {"text": "never"})))).status))
        await asyncio.sleep(random.uniform(0, 5))
        return outcomes


async def _victim_asks(target: Target, disturb: Callable[[str, object], Awaitable[list[str]]]) -> list[str]:
    """A victim is asked something; before it answers, others do what they do."""
    async with Peer(target, victim=True) as victim:
        nonce = str(random.random())
        session = await begin(victim, "victim")
        await victim.send(mcp(target, session, call("call", "ask", {"text": nonce}), "victim"))
        await victim.head()
        question = await victim.message()
        true(question["method"] == "elicitation/create" and question["params"]["message"] == nonce, f"the victim is asked {question}")
        outcomes = await disturb(session, question["id"])
        answer = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"name": "Ada"}}})
        async with Peer(target, victim=True) as answers:
            told = await answers.ask(mcp(target, session, answer, "victim"))
        true(told.status == 202, f"the victim's answer got {told.status} {told.body[:200]!r}")
        result = await victim.message()
        true(result["id"] == "call" and result["result"]["content"][0]["text"] == f"{nonce} Ada", f"the victim's call got {result}")
        async with Peer(target, victim=True) as last:
            await end(last, session, "victim")
        return outcomes


@kind("answers to questions of others", "202 404", on="soak child")
async def _(target):
    async def disturb(session: str, question: object) -> list[str]:
        async with Peer(target) as peer:
            own = await begin(peer)
            answer = json.dumps({"jsonrpc": "2.0", "id": question, "result": {"action": "accept", "content": {"name": "Mallory"}}})
            outcomes = [str((await peer.ask(mcp(target, one, answer))).status) for one in (session, own)]
            await end(peer, own)
            return outcomes

    return await _victim_asks(target, disturb)


@kind("cancels of ids of others", "202 404", on="soak child")
async def _(target):
    async def disturb(session: str, question: object) -> list[str]:
        async with Peer(target) as peer:
            own = await begin(peer)
            cancels = [rpc(None, "notifications/cancelled", {"requestId": one}) for one in ("call", question, 1, None, {"a": 1})]
            outcomes = [str((await peer.ask(mcp(target, one, cancel))).status) for one in (session, own) for cancel in cancels]
            await end(peer, own)
            return outcomes

    return await _victim_asks(target, disturb)


@kind("lies in Last-Event-ID", "400 404 200", on="soak")
async def _(target):
    outcomes = []
    async with Peer(target, victim=True) as victim:
        other = await begin(victim, "victim")
        async with Peer(target) as peer:
            own = await begin(peer)
        for session in (own, other):
            for lie in ["1-1", "999999999999999999999-1", "-1", "1-", "é", "x" * 4000, "0-0", "1-18446744073709551615"]:
                async with Peer(target) as get:
                    fields = f"{ACCEPT}Mcp-Session-Id: {session}\r\nLast-Event-ID: {lie}\r\n"
                    await get.send(request(target, "GET", "/mcp", fields.encode().decode("latin-1")))
                    status = (await get.head()).status
                    true(session == own or status in (404, 400), f"a stream of another's session: {status}")
                    outcomes.append(str(status))
        await end(victim, other, "victim")
        async with Peer(target) as peer:
            await end(peer, own)
    return outcomes


@kind("huge ids, numbers and nesting", "-32600 -32700 -32601")
async def _(target):
    outcomes = []
    for body in ['{"jsonrpc":"2.0","id":"' + "x" * 100_000 + '","method":"ping"}', '{"jsonrpc":"2.0","id":1e400,"method":"ping"}',
                 '{"jsonrpc":"2.0","id":' + "9" * 10_000 + ',"method":"ping"}', "[" * 100_000 + "]" * 100_000,
                 '{"a":' * 5000 + "1" + "}" * 5000, "[" + "0," * 300_000 + "0]",
                 '{"jsonrpc":"2.0","id":1,"method":"' + "x" * 100_000 + '"}', '{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}',
                 '"' + "\\ud800" * 10 + '"', "", " ", "null", "{}", "[]"]:
        async with Peer(target) as peer:
            session = await begin(peer)
            response = await peer.ask(mcp(target, session, body))
            true(len(response.body) < 20_000, f"an answer of {len(response.body)} bytes to {body[:80]}")
            message = response.message if response.body else {}
            outcomes.append(str(message.get("error", {}).get("code", "result" if "result" in message else response.status)))
            await end(peer, session)
    return outcomes


@kind("floods of subscriptions/listen", f"200 {BUSY} {ENDS}", pause=3, on="soak", who="mallory")
async def _(target):
    peers = [Peer(target) for _ in range(80)]

    async def one(peer: Peer) -> str:
        try:
            await peer.open()
            uris = [f"soak:///{random.random()}" for _ in range(20)]
            await peer.send(alone(target, "subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}}))
            return str((await peer.head()).status)
        except Ended as end:
            return str(end)

    outcomes = await all_of(*(one(peer) for peer in peers))
    await asyncio.sleep(2)
    for peer in peers:
        peer.socket.close()
    return outcomes


@kind("hogs of the worker threads", f"answered -32000 {BUSY}", pause=3, on="soak", who="mallory")
async def _(target):
    async with Peer(target) as stream, Peer(target) as peer:
        endpoint = await open_sse(stream)
        bodies = [call(number, "wait", {"text": "hog", "seconds": 0.1}) for number in range(200)]
        await peer.send(b"".join(request(target, "POST", endpoint, "", body) for body in bodies))
        posted = [(await peer.response()).status for _ in bodies].count(202)
        outcomes = []
        for _ in range(min(posted, 20)):
            message = await stream.message()
            outcomes.append(str(message.get("error", {}).get("code", "answered")))
        # The rest ends with the stream.
        return outcomes


@kind("floods of pings and notifications", "answered 202", pause=2, who="mallory")
async def _(target):
    async with Peer(target) as stream, Peer(target) as peer:
        endpoint = await open_sse(stream)
        count = 200
        both = lambda number: (rpc(number, "ping"), rpc(None, "notifications/progress", {"progressToken": number, "progress": 1}))
        await peer.send(b"".join(request(target, "POST", endpoint, "", body) for number in range(count) for body in both(number)))
        outcomes = [str((await peer.response()).status) for _ in range(2 * count)]
        for number in range(count):
            message = await stream.message()
            true(message["id"] == number, f"ping {number} got {message}")
            outcomes.append("answered")
        return outcomes


@kind("floods of subscriptions", "result -32602", on="soak")
async def _(target):
    async with Peer(target) as peer:
        session = await begin(peer)
        outcomes = []
        for number in range(300):
            response = await peer.ask(mcp(target, session, rpc(number, "resources/subscribe", {"uri": f"soak:///{number}"})))
            outcomes.append(str(response.message.get("error", {}).get("code", "result")))
        await end(peer, session)
        return outcomes


@kind("cursors that were never given", "-32602", pause=0.5)
async def _(target):
    async with Peer(target) as peer:
        session = await begin(peer)
        outcomes = []
        for cursor in ["x", "9" * 1000, "-1", "é", "\0"]:
            response = await peer.ask(mcp(target, session, rpc(1, "tools/list", {"cursor": cursor})))
            outcomes.append(str(response.message.get("error", {}).get("code", "result")))
        await end(peer, session)
        return outcomes


@kind("lies of clients of 2026-07-28", "-32020 -32022 -32602 -32601", on="soak")
async def _(target):
    echo = {"name": "echo", "arguments": {"text": "x"}}
    async with Peer(target) as peer:
        asked = (await peer.ask(alone_call(target, "ask", {"text": "x"}))).message["result"]
        true(asked["resultType"] == "input_required", f"{asked}")
        state, [key] = asked["requestState"], asked["inputRequests"]
        again = {"name": "ask", "arguments": {"text": "x"}, "inputResponses": {key: {"action": "accept", "content": {"name": "M"}}}}
        tampered = state[:-4] + ("AAAA" if state[-4:] != "AAAA" else "BBBB")
        lies = [alone(target, "tools/call", echo, name="other"), alone(target, "tools/call", echo, name="echo", header="tools/list"),
                alone(target, "tools/call", echo, name="echo", version="2024-11-05"),
                alone(target, "tools/call", echo, name="echo", version="2099-01-01"),
                alone(target, "no/such", {}), alone(target, "tools/call", again | {"requestState": tampered}, name="ask"),
                alone(target, "tools/call", again | {"requestState": state}, name="ask", who="victim"),
                alone(target, "tools/call", again | {"requestState": state, "arguments": {"text": "y"}}, name="ask")]
        return [str((await peer.ask(lie)).message.get("error", {}).get("code", "result")) for lie in lies]


@kind("storms of connections", "connected closed", pause=2)
async def _(target):
    async def one() -> str:
        async with Peer(target):
            return "connected"

    return await all_of(*(one() for _ in range(150)))


@kind("hogs of a command", f"answered -32000 {BUSY} {ENDS}", pause=3, on="manifest", who="mallory")
async def _(target):
    async def one() -> str:
        try:
            async with Peer(target) as peer:
                await peer.send(alone_call(target, "sleep", {"seconds": 1}))
                message = (await peer.response(random.uniform(1, 5))).message
                return str(message.get("error", {}).get("code", "answered"))
        except Ended:
            # It goes, and its command with it.
            return "closed"

    return await all_of(*(one() for _ in range(30)))


@kind("floods of sessions of a bridged server", f"200 202 204 -32000 {BUSY}", pause=3, on="crowded", who="mallory")
async def _(target):
    # More than may have a process.
    async def one() -> str:
        async with Peer(target) as peer:
            opened = await peer.ask(mcp(target, None, initialize()))
            if "mcp-session-id" not in opened.headers:
                return str(opened.message["error"]["code"] if opened.status == 200 else opened.status)
            return str(await end(peer, opened.headers["mcp-session-id"]))

    return await all_of(*(one() for _ in range(40)))


@kind("sessions of a bridged server that are left in the middle of a call", f"left -32000 {ENDS} {BUSY}", pause=0.5,
      on="crowded shared", who="mallory")
async def _(target):
    calls = [("big", {"text": "left", "bytes": 300_000})]
    if target.name == "crowded":
        # Of a process that all clients share this would take the worker threads, as their calls do.
        calls.append(("wait", {"text": "left", "seconds": 5}))
    tool, arguments = random.choice(calls)
    async with Peer(target) as peer, Peer(target) as other:
        try:
            await peer.send(mcp(target, await begin(other), call(1, tool, arguments)))
        except KeyError:
            # All processes are taken, and so there is no session.
            return ["-32000"]
        await asyncio.sleep(random.uniform(0, 0.3))
        peer.reset()
        return ["left"]


@kind("equal ids of two clients of one process", "answered", pause=0.5, on="shared")
async def _(target):
    async def one() -> str:
        nonce = str(random.random())
        async with Peer(target, victim=True) as victim:
            session = await begin(victim, "victim")
            for _ in range(10):
                answer = await victim.ask(mcp(target, session, call(1, "echo", {"text": nonce}), "victim"))
                true(answer.status == 200 and answer.message["result"]["content"][0]["text"] == nonce,
                     f"{nonce} got {answer.status} {answer.body[:300]!r}")
            await end(victim, session, "victim")
        return "answered"

    return await all_of(one(), one())


@kind("a token that is withdrawn", "200 401 closed", pause=2, on="manifest")
async def _(target):
    """SIGHUP with a token less, and with it again: its stream ends, and its next request is refused."""
    async with Peer(target) as stream, Peer(target) as peer:
        endpoint = await open_sse(stream, "eve")
        await _reload(target, without="eve")
        outcomes = [await _ends(stream)]
        outcomes.append(await _until(peer, request(target, "POST", endpoint, "", rpc(1, "ping"), "eve"), 401))
        await _reload(target, without=None)
    async with Peer(target) as peer:
        outcomes.append(await _until(peer, mcp(target, None, initialize(), "eve"), 200))
    return outcomes


async def _reload(target: Target, without: str | None) -> None:
    lines = [f"{name}:{token}\n" for name, token in target.tokens.items() if name != without]
    new = target.token_file.with_suffix(".new")
    new.touch(0o600)
    new.write_text("".join(lines))
    new.rename(target.token_file)
    os.kill(target.pid, signal.SIGHUP)


async def _ends(stream: Peer) -> str:
    try:
        while True:
            await stream.receive(20)
    except Ended as end:
        return "closed" if str(end) in ("closed", "reset") else str(end)


async def _until(peer: Peer, one: bytes, wanted: int) -> str:
    """The process takes its time to hear a signal, so that the old answer comes for a while."""
    deadline = time.monotonic() + 20
    while True:
        status = (await peer.ask(one)).status
        if status == wanted or time.monotonic() > deadline:
            return str(status)
        await asyncio.sleep(0.05)


@kind("SIGSTOP and SIGCONT of the server", "frozen", pause=10)
async def _(target):
    os.kill(target.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(random.uniform(0.2, 2))
    finally:
        os.kill(target.pid, signal.SIGCONT)
    return ["frozen"]


@kind("garbage on standard input", "answered exit:0", pause=3, on="stdio")
async def _(command):
    child = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                                                 stderr=asyncio.subprocess.DEVNULL)
    try:
        lines = [random.randbytes(500).replace(b"\n", b"") + b"\n", b"\n", b"{}\n", b"[" * 10_000 + b"\n", b"x" * (5 * MIB) + b"\n",
                 b'{"jsonrpc":"2.0"}\n', rpc(7, "ping").encode() + b"\n", b'{"half":']
        for line in lines:
            child.stdin.write(line)
        with contextlib.suppress(ConnectionError):
            await child.stdin.drain()
        child.stdin.close()
        said = await asyncio.wait_for(child.stdout.read(), PATIENCE)
        answers = [json.loads(line) for line in said.splitlines()]
        true(any(answer.get("id") == 7 and "result" in answer for answer in answers), f"the ping got {said[-300:]!r}")
        return ["answered"] * len(answers) + [f"exit:{await asyncio.wait_for(child.wait(), PATIENCE)}"]
    finally:
        if child.returncode is None:
            child.kill()


# ---- all of them, for a time ----


@dataclass
class Report:
    attempts: int
    answers: dict[str, int]
    faults: list[str]


async def _misbehave(one: Misbehaviour, targets: list, end_at: float, report: Report) -> None:
    WHO.set(one.who)
    await asyncio.sleep(random.uniform(0, min(one.pause, 2)))
    while time.monotonic() < end_at:
        target = random.choice(targets)
        report.attempts += 1
        where = getattr(target, "name", "stdio")
        try:
            async with asyncio.timeout(3 * PATIENCE):
                answers = await one.run(target)
        except Ended as ended:
            answers = [str(ended)]
        except Exception as error:
            lines = " ".join(str(frame.lineno) for frame in traceback.extract_tb(error.__traceback__) if frame.filename == __file__)
            report.faults.append(f"{where}: {type(error).__name__}: {str(error)[:400]} (lines {lines})")
            continue
        # Who is over every share may be refused before it can begin.
        may = one.allowed | ({"503", "404", "closed", "reset"} if one.who == "mallory" else set())
        for answer in set(answers) - may:
            report.faults.append(f"{where}: answered by {answer}")
        for answer in answers:
            report.answers[answer] += 1
        await asyncio.sleep(one.pause * random.uniform(0.5, 1.5))


async def misbehave(seconds: float, targets: list[Target], commands: list[list[str]], only: list[str]) -> dict[str, dict]:
    end_at = time.monotonic() + seconds
    reports = {name: Report(0, collections.Counter(), []) for name in KINDS if not only or any(word in name for word in only)}
    named = {"both": [target for target in targets if not target.base], "stdio": commands}
    named |= {target.name: [target] for target in targets}
    on = {name: [target for one in KINDS[name].on.split() for target in named[one]] for name in reports}
    await all_of(*(_misbehave(KINDS[name], on[name], end_at, report) for name, report in reports.items()))
    return {name: vars(report) for name, report in reports.items()}


def main() -> None:
    wanted = json.loads(os.environ["INTEROP_HOSTILE"])
    targets = [Target(one["name"], one["port"], one["pid"], one["tokens"], Path(one["token_file"]) if "token_file" in one else None,
                      one.get("base", ""))
               for one in wanted["targets"]]
    print(json.dumps(asyncio.run(misbehave(wanted["seconds"], targets, wanted["commands"], wanted["only"]))))


if __name__ == "__main__":
    sys.exit(main())
