"""Three processes behind HAProxy and nginx, as `docs/proxies.md` says, with 50 clients, one of the three replaced meanwhile.

The configurations are those of that page; only addresses, and how often servers are checked, are put in. A client calls one tool after
the other, each with a nonce that its reply has to bring back. A reply is lost if its request was accepted, and the reply never comes.
"""

import collections
import contextlib
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from report import check, equal, finish, true

BINARY = os.environ["INTEROP_BINARY"]
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "proxies.md").read_text()
NAMES = ["n1", "n2", "n3"]
CLIENTS = 50
REPLY_TIME_MAX = 15
# How many clients come one after the other before the load, to see whether the proxy spreads them evenly.
SPREAD_CLIENTS = 12
# How many sessions and requests are counted before the first process is replaced, and how long that may take.
WARM_COUNT = 2 * CLIENTS
WARM_TIME_MAX = 30
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


def free_port() -> int:
    for port in range(21000 + os.getpid() % 9000, 32768):
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise RuntimeError("no free port below 32768")


def manifest(name: str) -> dict:
    text = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "pattern": "^[0-9a-f]{1,40}$"}}}
    slow = ["/bin/sh", "-c", 'sleep 0.05; printf %s "$1"', "slow", "{text}"]
    return {"manifest": 1, "server": {"name": name, "version": "1"}, "tools": [
        {"name": "node", "description": "Which process this is", "argv": ["/usr/bin/printf", name], "concurrency": 32},
        {"name": "slow", "description": "Say it after a while", "inputSchema": text, "argv": slow, "concurrency": 32}]}


class Node:
    def __init__(self, folder: Path, name: str, options: list[str]):
        self.name, self.port, self.options = name, free_port(), options
        self.manifest = folder / f"{name}.json"
        self.manifest.write_text(json.dumps(manifest(name)))
        self.start()

    def start(self) -> None:
        command = [BINARY, "serve", str(self.manifest), "--listen", f"127.0.0.1:{self.port}", "--health", *self.options,
                   "--limit", "shutdown_grace=10s"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.port, self.process)

    def replace(self) -> tuple[int, float]:
        """Ends it as a service manager does, and starts it again. Returns its exit code and the seconds that it took to end."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        took = time.monotonic() - started
        self.start()
        return code, took


def wait_for(port: int, process: subprocess.Popen) -> None:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args[0]} does not listen")


class Lost(Exception):
    """A request was accepted and its reply did not come."""


class Refused(Exception):
    """The server, or the proxy, said no, before anything was accepted; or a session is over."""


class Client:
    """One client: `opened` says which process its session is in, `call` returns the text of a tool's result."""

    def __init__(self, port: int):
        self.port, self.number, self.connection = port, 0, None

    def post(self, path: str, message: dict, fields: dict) -> tuple[int, http.client.HTTPMessage, bytes]:
        accept = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Host": "localhost"}
        for attempt in (1, 2):
            kept = self.connection is not None
            if not kept:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REPLY_TIME_MAX)
            sent = False
            try:
                self.connection.request("POST", path, json.dumps(message), accept | fields)
                sent = True
                response = self.connection.getresponse()
                return response.status, response.headers, response.read()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # A kept connection that was closed between two requests: nothing of this one was read (RFC 9112 §9.3.1).
                if kept and attempt == 1 and isinstance(error, (http.client.RemoteDisconnected, ConnectionError)):
                    continue
                raise (Lost if sent else Refused)(repr(error)) from error
        raise AssertionError

    def request(self, method: str, parameters: dict) -> dict:
        self.number += 1
        return {"jsonrpc": "2.0", "id": self.number, "method": method, "params": parameters}

    def close(self) -> None:
        if self.connection:
            self.connection.close()
        self.connection = None

    def leave(self) -> None:
        """Closes all that is open."""
        self.close()


def reply_in(status: int, body: bytes) -> dict:
    if status != 200:
        raise Refused(f"{status}: {body[:200]!r}")
    data = [line[5:] for line in body.splitlines() if line.startswith(b"data:") and line[5:].strip()]
    reply = json.loads(data[-1] if data else body)
    if "result" not in reply:
        raise Refused(f"{reply.get('error')}")
    return reply["result"]


INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "cluster", "version": "1"}}


class Session(Client):
    """Streamable HTTP with sessions, or without one if the servers keep none."""

    def open(self) -> None:
        self.fields = {}
        status, fields, body = self.post("/mcp", self.request("initialize", INITIALIZE), {})
        reply_in(status, body)
        self.fields = {"MCP-Protocol-Version": "2025-06-18"}
        if fields["Mcp-Session-Id"]:
            self.fields["Mcp-Session-Id"] = fields["Mcp-Session-Id"]
        status, _, body = self.post("/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"}, self.fields)
        if status != 202:
            raise Refused(f"{status}: {body[:200]!r}")

    def call(self, tool: str, arguments: dict) -> str:
        message = self.request("tools/call", {"name": tool, "arguments": arguments})
        status, _, body = self.post("/mcp", message, self.fields)
        return reply_in(status, body)["content"][0]["text"]


class Stateless(Client):
    """Revision 2026-07-28."""

    def open(self) -> None:
        pass

    def call(self, tool: str, arguments: dict) -> str:
        message = self.request("tools/call", {"name": tool, "arguments": arguments, "_meta": META})
        fields = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": tool}
        status, _, body = self.post("/mcp", message, fields)
        return reply_in(status, body)["content"][0]["text"]


class Events(Client):
    """HTTP+SSE: replies come on the stream."""

    stream = response = None

    def open(self) -> None:
        if self.stream:
            self.stream.close()
        self.stream = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REPLY_TIME_MAX)
        try:
            self.stream.request("GET", "/sse", headers={"Accept": "text/event-stream", "Host": "localhost"})
            self.response = self.stream.getresponse()
            if self.response.status != 200:
                raise Refused(f"{self.response.status}")
            self.endpoint = self.event()
        except (OSError, http.client.HTTPException, Lost) as error:
            raise Refused(repr(error)) from error
        self.say("initialize", INITIALIZE)
        status, _, _ = self.post(self.endpoint, {"jsonrpc": "2.0", "method": "notifications/initialized"}, {})
        if status != 202:
            raise Refused(f"{status}")

    def event(self) -> str:
        while True:
            line = self.response.readline().decode().rstrip("\r\n")
            if line.startswith("data: "):
                return line[6:]
            if not line and self.response.isclosed():
                raise Lost("the stream ended")

    def say(self, method: str, parameters: dict) -> dict:
        message = self.request(method, parameters)
        status, _, body = self.post(self.endpoint, message, {})
        if status != 202:
            raise Refused(f"{status}: {body[:200]!r}")
        try:
            while (reply := json.loads(self.event())).get("id") != message["id"]:
                pass
        except (OSError, http.client.HTTPException) as error:
            raise Lost(repr(error)) from error
        if "result" not in reply:
            raise Refused(f"{reply}")
        return reply["result"]

    def call(self, tool: str, arguments: dict) -> str:
        return self.say("tools/call", {"name": tool, "arguments": arguments})["content"][0]["text"]

    def leave(self) -> None:
        super().leave()
        if self.response:
            self.response.close()
        if self.stream:
            self.stream.close()


class Tally:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.nodes = collections.Counter()
        self.problems = []

    def add(self, what: str, problem: str = "") -> None:
        with self.lock:
            self.counts[what] += 1
            if problem and len(self.problems) < 10:
                self.problems.append(problem)

    def __str__(self) -> str:
        counted = ", ".join(f"{self.counts[what]} {what}" for what in ["calls", "wrong", "lost", "refused", "sessions"])
        return f"{counted}; sessions and requests by process: {dict(sorted(self.nodes.items()))}"


def work(client: Client, stop: threading.Event, tally: Tally) -> None:
    opened = False
    while not stop.is_set():
        try:
            if not opened:
                client.open()
                tally.add("sessions")
                opened = True
                node = client.call("node", {})
                with tally.lock:
                    tally.nodes[node] += 1
            if isinstance(client, Stateless):
                node = client.call("node", {})
                with tally.lock:
                    tally.nodes[node] += 1
            nonce = secrets.token_hex(8)
            tally.add("calls")
            if (got := client.call("slow", {"text": nonce})) != nonce:
                tally.add("wrong", f"{nonce} became {got!r}")
        except Refused:
            # As a client does: it opens another session.
            tally.add("refused")
            opened = False
            time.sleep(0.05)
        except Lost as error:
            tally.add("lost", f"{type(client).__name__}: {error}")
            opened = False


def block(language: str, holds: str) -> str:
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if holds in text]
    equal(len(found), 1, f"the blocks of docs/proxies.md with {holds!r}")
    return found[0]


def haproxy(holds: str, nodes: list[Node], port: int) -> str:
    """The configuration of the page, for three servers."""
    text = block("haproxy", holds)
    lines = []
    for line in text.splitlines():
        if match := re.match(r"( +)server (\S+) 10\.0\.0\.1:3001 check", line):
            lines += [f"{match[1]}server {node.name} 127.0.0.1:{node.port} check inter 100ms fall 1 rise 1" for node in nodes]
        elif "10.0.0.2" in line or "use-server n2" in line:
            continue
        elif "use-server n1" in line:
            lines += [line.replace("n1", node.name) for node in nodes]
        else:
            lines.append(line)
    if "defaults" not in text:
        lines = ["defaults", "    mode http", "    timeout connect 5s", "    timeout client 1h", "    timeout server 1h", *lines]
    # A server that has just ended is noticed by the connection, too.
    lines += ["    option httpchk GET /readyz", "    http-check send hdr Host localhost", "    option redispatch", "    retries 3"]
    return "\n".join([*lines, "frontend all", f"    bind 127.0.0.1:{port}", "    default_backend mcp", ""])


def nginx(nodes: list[Node], port: int) -> str:
    text = block("nginx", "$arg_sessionId")
    servers = [f"server 127.0.0.1:{node.port} max_fails=1 fail_timeout=1s;" for node in nodes]
    text = re.sub(r" +~\^n2-.*\n", "".join(f"    ~^{node.name}- {node.name};\n" for node in nodes[1:]), text)
    text = re.sub(r"upstream n2 .*\n", "", text)
    text = re.sub(r"upstream n1 .*\n", "".join(f"upstream {node.name} {{ {server} }}\n" for node, server in zip(nodes, servers)), text)
    text = re.sub(r" +server 10\.0\.0\.1:3001;\n +server 10\.0\.0\.2:3001;\n", "".join(f"    {server}\n" for server in servers), text)
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    true("10.0.0" not in text, f"every address was put in: {text}")
    return text


@contextlib.contextmanager
def cluster(options: list[str], configure, named: bool):
    with tempfile.TemporaryDirectory(prefix="mcp-rill-cluster-") as home:
        folder, running = Path(home), []
        key = folder / "key"
        key.touch(mode=0o600)
        key.write_text(secrets.token_hex(16) + "\n")
        try:
            nodes = []
            for name in NAMES:
                own = ["--node-id", name] if named else []
                nodes.append(Node(folder, name, [*options, *own, "--state-key-file", str(key)]))
            port = free_port()
            command = configure(folder, nodes, port)
            log = (folder / "proxy.log").open("wb")
            proxy = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            running.append(proxy)
            try:
                wait_for(port, proxy)
            except RuntimeError as error:
                raise RuntimeError(f"{error}: {(folder / 'proxy.log').read_text()[-500:]}") from error
            time.sleep(0.5)
            yield nodes, port
        finally:
            for process in [*running, *(node.process for node in nodes)]:
                process.terminate()
            for process in [*running, *(node.process for node in nodes)]:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(12)
                process.kill()
                process.wait()


def by_haproxy(holds: str):
    def configure(folder: Path, nodes: list[Node], port: int) -> list[str]:
        (folder / "haproxy.cfg").write_text(haproxy(holds, nodes, port))
        return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]
    return configure


def by_nginx(folder: Path, nodes: list[Node], port: int) -> list[str]:
    text = f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\n"
    paths = "".join(f"{name}_temp_path {folder}/{name};\n" for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    (folder / "nginx.conf").write_text(f"{text}http {{ access_log off; {paths}{nginx(nodes, port)} }}\n")
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def roll(nodes: list[Node], port: int, kinds: list[type[Client]]) -> Tally:
    """50 clients work; each process is ended and started again, one after the other."""
    tally, stop = Tally(), threading.Event()
    clients = [kinds[at % len(kinds)](port) for at in range(CLIENTS)]
    threads = [threading.Thread(target=work, args=(client, stop, tally)) for client in clients]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + WARM_TIME_MAX
    while tally.nodes.total() < WARM_COUNT and time.monotonic() < deadline:
        time.sleep(0.1)
    tally.ended = []
    for node in nodes:
        tally.ended.append(node.replace())
        time.sleep(1)
    time.sleep(1)
    stop.set()
    for thread in threads:
        thread.join(60)
    for client in clients:
        client.leave()
    return tally


def even(port: int, kind: type[Client]) -> collections.Counter:
    """Clients come one after the other and stay. Nothing else happens, so the proxy gives each process as many of them.

    Under load the proxy balances requests in progress, those of sessions with a process of their own included. How many new ones
    go to which process is then a matter of chance, and says nothing.
    """
    nodes = collections.Counter()
    with contextlib.ExitStack() as opened:
        for _ in range(SPREAD_CLIENTS):
            client = kind(port)
            opened.callback(client.leave)
            client.open()
            nodes[client.call("node", {})] += 1
    return nodes


def judge(name: str, options: list[str], configure, kinds: list[type[Client]], named: bool = True) -> None:
    with check(f"{name}: three processes are replaced while {CLIENTS} clients work") as notes:
        with cluster(options, configure, named) as (nodes, port):
            spread = even(port, Events if Events in kinds else Stateless)
            equal(sorted(spread.values()), [SPREAD_CLIENTS // len(NAMES)] * len(NAMES), f"as many clients at each process: {spread}")
            tally = roll(nodes, port, kinds)
            notes.append(str(tally))
            equal([code for code, _ in tally.ended], [0, 0, 0], "the exit codes")
            true(max(took for _, took in tally.ended) < 10, f"each ended within its grace: {tally.ended}")
            equal(tally.counts["wrong"], 0, f"wrong replies ({tally.problems}); {tally}")
            equal(tally.counts["lost"], 0, f"lost replies ({tally.problems}); {tally}")
            true(tally.counts["calls"] > 10 * CLIENTS, f"the clients work: {tally}")
            equal(sorted(tally.nodes), NAMES, f"the processes that worked: {tally}")
            if named:
                wrong_node(nodes)


def wrong_node(nodes: list[Node]) -> None:
    """A process that gets the session of another one says whose it is."""
    one, other = Session(nodes[0].port), Session(nodes[1].port)
    with contextlib.closing(one), contextlib.closing(other):
        one.open()
        other.open()
        other.fields = one.fields
        if "Mcp-Session-Id" not in one.fields:
            return
        status, _, body = other.post("/mcp", other.request("ping", {}), other.fields)
        equal(status, 404, "the status at the wrong process")
        true(b"n1" in body, f"it names the owner: {body!r}")
        status, _, body = other.post(f"/messages?sessionId={one.fields['Mcp-Session-Id']}", other.request("ping", {}), {})
        equal(status, 400, "the status of a message at the wrong process")
        true(b"n1" in body, f"it names the owner: {body!r}")


if not (shutil.which("haproxy") and shutil.which("nginx")):
    print("skip haproxy or nginx is not installed")
else:
    judge("HAProxy by names", [], by_haproxy("use-server n1"), [Session, Stateless, Events])
    judge("HAProxy by its table", [], by_haproxy("stick-table"), [Session, Stateless, Events], named=False)
    judge("HAProxy without sessions", ["--sessionless"], by_haproxy("balance roundrobin"), [Session, Stateless])
    judge("nginx by names", [], by_nginx, [Session, Stateless, Events])
finish()
