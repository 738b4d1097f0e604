"""HTTP+SSE by hand over plain sockets: what the wire carries, without a client library's leniency."""

import json
import random
import socket
import threading
import time
from urllib.parse import urljoin, urlsplit

TIMEOUT = 10.0


class WireError(Exception):
    """The peer did something that this transport does not allow."""


class Response:
    def __init__(self, status: int, headers: dict[str, str], body: bytes):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self) -> str:
        return self.body.decode()


_given = set()
_giving = threading.Lock()


def free_port() -> int:
    """A port to listen on, below 32768, where the kernel never takes one for an outgoing connection of another process."""
    start = random.randrange(21000, 31000)
    for port in range(start, start + 1000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            # It is free until its server binds it: another thread must not get it meanwhile.
            with _giving:
                if port not in _given:
                    _given.add(port)
                    return port
    raise WireError("no free port")


def _split(url: str) -> tuple[str, int, str]:
    parts = urlsplit(url)
    return parts.hostname, parts.port, parts.path + (f"?{parts.query}" if parts.query else "")


def _head(raw: bytes) -> tuple[int, dict[str, str]]:
    status_line, *fields = raw.decode("latin-1").split("\r\n")
    pairs = (field.split(":", 1) for field in fields)
    return int(status_line.split(" ", 2)[1]), {name.strip().lower(): value.strip() for name, value in pairs}


def request(method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
    host, port, target = _split(url)
    of_body = {} if body is None else {"Content-Type": "application/json", "Content-Length": str(len(body))}
    fields = {"Host": f"{host}:{port}", **of_body, **headers}
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode() + b"\r\n" + (body or b"")


def post(url: str, message: object, headers: dict[str, str] | None = None) -> Response:
    """One POST on a connection of its own."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    host, port, _ = _split(url)
    with socket.create_connection((host, port), timeout=TIMEOUT) as connection:
        connection.sendall(request("POST", url, {"Connection": "close", **(headers or {})}, body))
        raw = b""
        while piece := connection.recv(65536):
            raw += piece
    head, separator, rest = raw.partition(b"\r\n\r\n")
    if not separator:
        raise WireError(f"no whole response head: {raw[:80]!r}")
    status, found = _head(head)
    if found.get("transfer-encoding", "").lower() == "chunked":
        rest = b"".join(_whole_chunks(bytearray(rest)))
    return Response(status, found, rest)


def _whole_chunks(buffer: bytearray) -> list[bytes]:
    """Takes the chunks out of `buffer` that are there entirely."""
    chunks = []
    while (line_end := buffer.find(b"\r\n")) >= 0:
        size = int(buffer[:line_end].split(b";")[0], 16)
        end = line_end + 2 + size
        if len(buffer) < end + 2:
            break
        chunks.append(bytes(buffer[line_end + 2:end]))
        del buffer[:end + 2]
    return chunks


class Stream:
    """`GET /sse`, read up to the endpoint event. The messages after it are asked for one by one."""

    def __init__(self, url: str, headers: dict[str, str] | None = None):
        self._begin(url, request("GET", url, {"Accept": "text/event-stream", **(headers or {})}))
        try:
            name, data = self.next_event(TIMEOUT)
        except BaseException:
            self.close()
            raise
        if name != "endpoint":
            self.close()
            raise WireError(f"the first event is {name!r}")
        self.endpoint = urljoin(url, data)

    def _begin(self, url: str, request: bytes) -> None:
        """Sends the request and reads the head of the response."""
        host, port, _ = _split(url)
        self._socket = socket.create_connection((host, port), timeout=TIMEOUT)
        self._raw, self._text = bytearray(), ""
        try:
            self._socket.sendall(request)
            self._read_head()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_error) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def next_event(self, timeout: float) -> tuple[str, str]:
        """The next event's name and data; comments on the way are dropped."""
        deadline = time.monotonic() + timeout
        while True:
            frame, separator, rest = self._text.partition("\n\n")
            if not separator:
                self._receive(deadline)
                continue
            self._text = rest
            event = self._parse(frame)
            if event:
                return event

    def next_message(self, timeout: float = TIMEOUT) -> dict:
        name, data = self.next_event(timeout)
        if name != "message":
            raise WireError(f"an event named {name!r}")
        return json.loads(data)

    def _parse(self, frame: str) -> tuple[str, str] | None:
        name, data = "message", []
        for line in frame.split("\n"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
        return (name, "\n".join(data)) if data else None

    def _read_head(self) -> None:
        deadline = time.monotonic() + TIMEOUT
        while (end := self._raw.find(b"\r\n\r\n")) < 0:
            self._fill(deadline)
        self.status, self.headers = _head(bytes(self._raw[:end]))
        del self._raw[:end + 4]
        if self.status != 200:
            raise WireError(f"status {self.status}: {bytes(self._raw)!r}")
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        self._decode()

    def _receive(self, deadline: float) -> None:
        self._fill(deadline)
        self._decode()

    def _decode(self) -> None:
        if self._chunked:
            text = b"".join(_whole_chunks(self._raw))
        else:
            # A character may be torn between two reads; only whole lines are taken.
            end = self._raw.rfind(b"\n") + 1
            text = bytes(self._raw[:end])
            del self._raw[:end]
        self._text += text.decode().replace("\r\n", "\n")

    def _fill(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("nothing more on the stream")
        self._socket.settimeout(left)
        piece = self._socket.recv(65536)
        if not piece:
            raise WireError("the stream ended")
        self._raw += piece
