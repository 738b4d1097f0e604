"""One connection by hand, hostile or not, and requests of every transport, for the hostile side of the soak."""

import asyncio
import contextlib
import contextvars
import json
import re
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 120
# The principal that misbehaves. Floods are mallory's, who is over every share; the others are never refused anything for that.
WHO = contextvars.ContextVar("who")
SAME = object()
ACCEPT = "Accept: application/json, text/event-stream\r\n"
JSON = "Content-Type: application/json\r\n"
VERSION = "2026-07-28"
MIB = 1 << 20


@dataclass
class Target:
    """A server, with the tokens of its principals."""
    name: str
    port: int
    pid: int
    tokens: dict[str, str]
    # The file that SIGHUP makes it read again; only the binary has one.
    token_file: Path | None = None
    # Of a bridged server: the path below which it is.
    base: str = ""


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict:
        """The JSON-RPC message of the body, which may be an event."""
        text = self.body.decode()
        data = re.findall(r"^data: (\{.*)$", text, re.MULTILINE)
        return json.loads(data[-1] if data else text)


class Ended(Exception):
    """There is no whole response: `closed`, `reset`, or `silent` for as long as anybody would wait."""


class Lost(Exception):
    """The same for a victim."""


class Peer:
    """One connection, of somebody hostile or of a victim."""

    def __init__(self, target: Target, victim: bool = False):
        self.target, self.got, self.text, self.ended = target, bytearray(), bytearray(), Lost if victim else Ended

    async def __aenter__(self) -> "Peer":
        return await self.open()

    async def __aexit__(self, *_error) -> None:
        self.socket.close()

    async def open(self, receive_bytes: int | None = None) -> "Peer":
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.sock_connect(self.socket, ("127.0.0.1", self.target.port)), PATIENCE)
        except TimeoutError:
            raise self.ended("not accepted") from None
        except OSError:
            raise self.ended("refused by the system") from None
        return self

    async def send(self, data: bytes | str, patience: float = PATIENCE) -> bool:
        """False if the server does not take it."""
        data = data.encode() if isinstance(data, str) else data
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(self.socket, data), patience)
            return True
        except (OSError, TimeoutError):
            return False

    async def receive(self, patience: float = PATIENCE, most: int = 65536) -> bytes:
        try:
            piece = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, most), patience)
        except TimeoutError:
            raise self.ended("silent") from None
        except OSError:
            raise self.ended("reset") from None
        if not piece:
            raise self.ended("closed")
        self.got += piece
        return piece

    async def head(self, patience: float = PATIENCE) -> Response:
        while (end := self.got.find(b"\r\n\r\n")) < 0:
            await self.receive(patience)
        status, *fields = self.got[:end].decode("latin-1").split("\r\n")
        del self.got[:end + 4]
        pairs = (field.split(":", 1) for field in fields)
        headers = {name.lower(): value.strip() for name, value in pairs}
        self.chunked = headers.get("transfer-encoding") == "chunked"
        if headers.get("content-type") == "text/event-stream" and not self.chunked:
            self.text, self.got = self.got, bytearray()
        return Response(int(status.split(" ")[1]), headers, b"")

    async def response(self, patience: float = PATIENCE) -> Response:
        response = await self.head(patience)
        if self.chunked:
            while True:
                size = int(await self._line(patience), 16)
                response.body += await self._bytes(size, patience)
                await self._line(patience)
                if size == 0:
                    return response
        response.body = await self._bytes(int(response.headers.get("content-length", 0)), patience)
        return response

    async def through(self, end: bytes, patience: float = PATIENCE) -> bytes:
        while (at := self.got.find(end)) < 0:
            await self.receive(patience)
        found = bytes(self.got[:at + len(end)])
        del self.got[:at + len(end)]
        return found

    async def message(self, patience: float = PATIENCE) -> dict:
        """The next JSON-RPC message on a stream of events."""
        while True:
            event = await self.event(patience)
            if event.get(b"data", b"").startswith(b"{"):
                return json.loads(event[b"data"])

    async def event(self, patience: float = PATIENCE) -> dict[bytes, bytes]:
        while (end := self.text.find(b"\n\n")) < 0:
            if not self.chunked:
                self.text += await self.receive(patience)
                self.got.clear()
                continue
            size = int(await self._line(patience), 16)
            self.text += await self._bytes(size, patience)
            await self._line(patience)
            if size == 0:
                raise self.ended("closed")
        lines = self.text[:end].split(b"\n")
        del self.text[:end + 2]
        return {bytes(name): bytes(value) for name, value in (line.split(b": ", 1) for line in lines if b": " in line)}

    async def outcome(self, patience: float = PATIENCE) -> str:
        """What became of a request that need not be answered: a status, or how the connection ended."""
        try:
            return str((await self.response(patience)).status)
        except Ended as end:
            return str(end)

    async def ask(self, request: bytes | str) -> Response:
        """Sends a request between two requests, where a server may close a connection: then a new one is opened, as clients do."""
        with contextlib.suppress(BlockingIOError):
            try:
                if not self.socket.recv(1, socket.MSG_PEEK):
                    raise ConnectionError
            except ConnectionError:
                self.socket.close()
                await self.open()
        await self.send(request)
        return await self.response()

    def half_close(self) -> None:
        # It may be closed already.
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Breaks the connection: what is under way is lost on both sides."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    async def _line(self, patience: float) -> bytes:
        return (await self.through(b"\r\n", patience))[:-2]

    async def _bytes(self, count: int, patience: float) -> bytes:
        while len(self.got) < count:
            await self.receive(patience)
        found = bytes(self.got[:count])
        del self.got[:count]
        return found


def request(target: Target, method: str, path: str, fields: str = "", body: str | bytes | None = None, who: object = SAME) -> bytes:
    who = WHO.get() if who is SAME else who
    token = f"Authorization: Bearer {target.tokens[who]}\r\n" if who else ""
    body = body.encode() if isinstance(body, str) else body
    of_body = "" if body is None else f"{JSON}Content-Length: {len(body)}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{token}{fields}{of_body}\r\n".encode() + (body or b"")


def call(identity: object, tool: str, arguments: dict) -> str:
    return rpc(identity, "tools/call", {"name": tool, "arguments": arguments})


def rpc(identity: object, method: str, params: dict | None = None) -> str:
    identity = {} if identity is None else {"id": identity}
    return json.dumps({"jsonrpc": "2.0", **identity, "method": method, "params": params or {}})


def alone(target: Target, method: str, params: dict, who: object = SAME, name: str = "", identity: object = 1, **more) -> bytes:
    """A request of 2026-07-28."""
    meta = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    named = f"Mcp-Name: {name}\r\n" if name else ""
    fields = f"{ACCEPT}MCP-Protocol-Version: {more.get('version', VERSION)}\r\nMcp-Method: {more.get('header', method)}\r\n{named}"
    return request(target, "POST", f"{target.base}/mcp", fields, rpc(identity, method, params | {"_meta": meta}), who)


def alone_call(target: Target, tool: str, arguments: dict, **more) -> bytes:
    return alone(target, "tools/call", {"name": tool, "arguments": arguments}, name=tool, **more)


def initialize(revision: str = "2025-11-25") -> str:
    return rpc(0, "initialize", {"protocolVersion": revision, "capabilities": {"elicitation": {}},
                                 "clientInfo": {"name": "hostile", "version": "0"}})


def mcp(target: Target, session: str | None, body: str, who: object = SAME, fields: str = "") -> bytes:
    """A POST of Streamable HTTP."""
    named = f"Mcp-Session-Id: {session}\r\n" if session else ""
    return request(target, "POST", f"{target.base}/mcp", ACCEPT + named + fields, body, who)


async def begin(peer: Peer, who: object = SAME, revision: str = "2025-11-25") -> str:
    """Opens a session of Streamable HTTP."""
    opened = await peer.ask(mcp(peer.target, None, initialize(revision), who))
    if opened.status != 200:
        raise Ended(str(opened.status))
    session = opened.headers["mcp-session-id"]
    await peer.ask(mcp(peer.target, session, rpc(None, "notifications/initialized"), who))
    return session


async def end(peer: Peer, session: str, who: object = SAME) -> int:
    return (await peer.ask(request(peer.target, "DELETE", f"{peer.target.base}/mcp", f"Mcp-Session-Id: {session}\r\n", None, who))).status


async def open_sse(peer: Peer, who: object = SAME) -> str:
    """Opens a session of HTTP+SSE; returns its endpoint."""
    await peer.send(request(peer.target, "GET", f"{peer.target.base}/sse", "", None, who))
    if (response := await peer.head()).status != 200:
        raise Ended(str(response.status))
    return (await peer.event())[b"data"].decode()
