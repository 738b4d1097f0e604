"""The stages: which client each one is, how it is started, and how its lines are counted."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness import cache, server

HERE = Path(__file__).resolve().parent.parent
STAGE_TIMEOUT = 180
# The examples that some stages are about.
EXAMPLES = ("tutorial", "awkward")
PAGE_ITEMS = 2
KEEP_ALIVE_MS = 1000

# Small pages make every list span several; the short keep-alive lets a check wait for a comment.
LIMITS = {"page_items_max": str(PAGE_ITEMS), "keep_alive": f"{KEEP_ALIVE_MS}ms",
          "shutdown_grace": f"{server.SHUTDOWN_GRACE}s"}


@dataclass(frozen=True)
class Client:
    command: list[str | Path]
    # The npm packages that the client's scripts load.
    packages: Path | None = None


@dataclass(frozen=True)
class Stage:
    # Called when the stage runs, so that nothing is installed for stages that were not asked for.
    client: Callable[[], Client]
    # Which server it talks to: the demo of the binary, the fixture of the official suite, both, none, or an example; "stdio" is
    # the first two, which the client starts itself.
    on: str = "demo"
    # Limits of the demo besides those that all stages have.
    limits: dict[str, str] = field(default_factory=dict)
    # The example `gateway` stands before the fixture.
    gateway: bool = False
    # Over Streamable HTTP instead of HTTP+SSE.
    http: bool = False
    # The demo keeps no sessions for clients before 2026-07-28.
    sessionless: bool = False
    # What clients that know the stateless era negotiate: "auto", or its revision and no other.
    era: str | None = None
    # A second server with default limits, to compare the paged lists with whole ones.
    wants_unpaged: bool = False


def _schema() -> Client:
    schemas = Path(os.environ.get("MCP_RILL_SCHEMAS", server.REPOSITORY.parent / "shared" / "schema"))
    if not schemas.is_dir():
        return Client(["echo", f"skip no official schemas at {os.path.relpath(schemas, server.REPOSITORY)}"])
    checker = server.build(["--target-dir", str(cache.root() / "schema-check")], HERE / "schema-check")
    return Client([sys.executable, HERE / "transcript.py", "--check", checker, schemas])


def _foreign() -> Client:
    cases = cache.root() / "http-cases"
    shutil.rmtree(cases, ignore_errors=True)
    cases.mkdir(parents=True)
    subprocess.run(["cargo", "test", "--quiet", "--locked", "--no-default-features", "--test", "http", "cases"], check=True,
                   cwd=server.REPOSITORY, env={**os.environ, "HTTP_CASES": str(cases)}, stdout=subprocess.DEVNULL)
    verdicts = server.build(["--target-dir", str(cache.root() / "verdicts")], HERE / "verdicts")
    return Client([cache.python("h11"), HERE / "python" / "foreign.py", verdicts, shutil.which("node") or "node", cases])


def _suite(package: str, *runs: str | int) -> Client:
    """Runs of the official suite: for each one its options, the scenarios and the checks that it has."""
    return Client([sys.executable, HERE / "python" / "conformance.py", cache.node24(), *map(str, runs)], cache.piece(package))


def _rmcp() -> Client:
    return Client([server.build(["--target-dir", str(cache.root() / "rmcp")], HERE / "rmcp")])


STAGES = {
    "curl": Stage(lambda: Client([sys.executable, HERE / "python" / "curl.py"])),
    "fetch": Stage(lambda: Client([cache.node24(), HERE / "node" / "fetch.mjs"])),
    # On the installed Node, which is older than the pinned one: two generations of its HTTP client get tested.
    "ts1": Stage(lambda: Client(["node", HERE / "node" / "ts1.mjs"], cache.piece("ts1")), wants_unpaged=True),
    "ts2": Stage(lambda: Client([cache.node24(), HERE / "node" / "ts2.mjs"], cache.piece("ts2")), wants_unpaged=True),
    "py1": Stage(lambda: Client([cache.python("py1"), HERE / "python" / "py1.py"]), wants_unpaged=True),
    "py2": Stage(lambda: Client([cache.python("py2"), HERE / "python" / "py2.py"]), wants_unpaged=True),
    "questions-ts1": Stage(lambda: Client(["node", HERE / "node" / "ts1.mjs", "questions"], cache.piece("ts1")), on="fixture"),
    "questions-ts2": Stage(lambda: Client([cache.node24(), HERE / "node" / "ts2.mjs", "questions"], cache.piece("ts2")),
                           on="fixture"),
    "questions-py1": Stage(lambda: Client([cache.python("py1"), HERE / "python" / "py1.py", "questions"]), on="fixture"),
    "questions-py2": Stage(lambda: Client([cache.python("py2"), HERE / "python" / "py2.py", "questions"]), on="fixture"),
    "http-ts1": Stage(lambda: Client(["node", HERE / "node" / "ts1.mjs"], cache.piece("ts1")), wants_unpaged=True, http=True),
    "http-ts2": Stage(lambda: Client([cache.node24(), HERE / "node" / "ts2.mjs"], cache.piece("ts2")), wants_unpaged=True,
                      http=True),
    "http-ts2-auto": Stage(lambda: Client([cache.node24(), HERE / "node" / "ts2.mjs"], cache.piece("ts2")), wants_unpaged=True,
                           http=True, era="auto"),
    "http-py1": Stage(lambda: Client([cache.python("py1"), HERE / "python" / "py1.py"]), wants_unpaged=True, http=True),
    "http-py2": Stage(lambda: Client([cache.python("py2"), HERE / "python" / "py2.py"]), wants_unpaged=True, http=True),
    "http-py2-auto": Stage(lambda: Client([cache.python("py2"), HERE / "python" / "py2.py"]), wants_unpaged=True, http=True,
                           era="auto"),
    "sessionless-ts1": Stage(lambda: Client(["node", HERE / "node" / "ts1.mjs"], cache.piece("ts1")), wants_unpaged=True,
                             http=True, sessionless=True),
    "sessionless-ts2": Stage(lambda: Client([cache.node24(), HERE / "node" / "ts2.mjs"], cache.piece("ts2")), wants_unpaged=True,
                             http=True, sessionless=True),
    "sessionless-py1": Stage(lambda: Client([cache.python("py1"), HERE / "python" / "py1.py"]), wants_unpaged=True, http=True,
                             sessionless=True),
    "sessionless-py2": Stage(lambda: Client([cache.python("py2"), HERE / "python" / "py2.py"]), wants_unpaged=True, http=True,
                             sessionless=True),
    "stateless-ts2": Stage(lambda: Client([cache.node24(), HERE / "node" / "ts2.mjs", "stateless"], cache.piece("ts2")),
                           on="fixture", http=True, era="2026-07-28"),
    "stateless-py2": Stage(lambda: Client([cache.python("py2"), HERE / "python" / "py2.py", "stateless"]), on="fixture",
                           http=True, era="2026-07-28"),
    "http-questions-ts1": Stage(lambda: Client(["node", HERE / "node" / "ts1.mjs", "questions"], cache.piece("ts1")),
                                on="fixture", http=True),
    "http-questions-ts2": Stage(lambda: Client([cache.node24(), HERE / "node" / "ts2.mjs", "questions"], cache.piece("ts2")),
                                on="fixture", http=True),
    "http-questions-py1": Stage(lambda: Client([cache.python("py1"), HERE / "python" / "py1.py", "questions"]), on="fixture",
                                http=True),
    "http-questions-py2": Stage(lambda: Client([cache.python("py2"), HERE / "python" / "py2.py", "questions"]), on="fixture",
                                http=True),
    # A service of another crate, which passes on what the fixture says.
    "gateway-ts1": Stage(lambda: Client(["node", HERE / "node" / "ts1.mjs", "questions"], cache.piece("ts1")), on="fixture",
                         gateway=True),
    "http-gateway-py1": Stage(lambda: Client([cache.python("py1"), HERE / "python" / "py1.py", "questions"]), on="fixture",
                              gateway=True, http=True),
    "stateless-gateway-ts2": Stage(lambda: Client([cache.node24(), HERE / "node" / "ts2.mjs", "stateless"], cache.piece("ts2")),
                                   on="fixture", gateway=True, http=True, era="2026-07-28"),
    # With the last httpx-sse that breaks lines wherever Unicode may.
    "awkward-py1": Stage(lambda: Client([cache.python("py1-old-sse"), HERE / "python" / "py1.py", "awkward"]), on="awkward"),
    "http-awkward-py1": Stage(lambda: Client([cache.python("py1-old-sse"), HERE / "python" / "py1.py", "awkward"]), on="awkward",
                              http=True),
    "awkward-ts1": Stage(lambda: Client(["node", HERE / "node" / "ts1.mjs", "awkward"], cache.piece("ts1")), on="awkward"),
    "http-awkward-ts1": Stage(lambda: Client(["node", HERE / "node" / "ts1.mjs", "awkward"], cache.piece("ts1")), on="awkward",
                              http=True),
    "awkward-ts2": Stage(lambda: Client([cache.node24(), HERE / "node" / "ts2.mjs", "awkward"], cache.piece("ts2")), on="awkward"),
    "http-awkward-ts2": Stage(lambda: Client([cache.node24(), HERE / "node" / "ts2.mjs", "awkward"], cache.piece("ts2")),
                              on="awkward", http=True),
    "stateless-awkward-ts2": Stage(lambda: Client([cache.node24(), HERE / "node" / "ts2.mjs", "awkward"], cache.piece("ts2")),
                                   on="awkward", http=True, era="2026-07-28"),
    "awkward-fetch": Stage(lambda: Client([cache.node24(), HERE / "node" / "raw.mjs"]), on="awkward"),
    "awkward-inspector": Stage(lambda: Client([cache.python("py1"), HERE / "python" / "crowd.py", cache.node24()],
                                              cache.piece("inspector")), limits={"sessions_max": "4"}),
    "eras": Stage(lambda: Client([cache.node24(), HERE / "node" / "eras.mjs"], cache.piece("ts2"))),
    "tutorial": Stage(lambda: Client([cache.node24(), HERE / "node" / "tutorial.mjs", cache.piece("ts1"), cache.piece("ts2")]),
                      on="tutorial"),
    "mcp-remote": Stage(lambda: Client(["node", HERE / "node" / "remote.mjs", cache.node24(), cache.piece("conformance")
                                        / "node_modules" / "mcp-remote" / "dist" / "proxy.js"], cache.piece("ts1")), on="fixture"),
    # Clients that start the server themselves, and speak lines with it.
    "stdio-ts1": Stage(lambda: Client(["node", HERE / "node" / "stdio.mjs", "ts1"], cache.piece("ts1")), on="stdio"),
    "stdio-ts2": Stage(lambda: Client([cache.node24(), HERE / "node" / "stdio.mjs", "ts2"], cache.piece("ts2")), on="stdio"),
    "stdio-ts2-auto": Stage(lambda: Client([cache.node24(), HERE / "node" / "stdio.mjs", "ts2"], cache.piece("ts2")), on="stdio",
                            era="auto"),
    "stdio-py1": Stage(lambda: Client([cache.python("py1"), HERE / "python" / "stdio.py"]), on="stdio"),
    "stdio-py2": Stage(lambda: Client([cache.python("py2"), HERE / "python" / "stdio.py"]), on="stdio"),
    "stdio-py2-auto": Stage(lambda: Client([cache.python("py2"), HERE / "python" / "stdio.py"]), on="stdio", era="auto"),
    "http-rmcp": Stage(_rmcp, on="fixture", http=True),
    "inspector": Stage(lambda: Client([sys.executable, HERE / "python" / "inspector.py", cache.node24()],
                                      cache.piece("inspector"))),
    "http-inspector": Stage(lambda: Client([sys.executable, HERE / "python" / "inspector.py", cache.node24()],
                                           cache.piece("inspector")), http=True, era="modern"),
    # Each run of the suite with the figures of a whole one.
    "conformance": Stage(lambda: _suite("conformance", "--suite active", 30, 40), on="fixture"),
    "http-conformance": Stage(lambda: _suite("conformance", "--suite all", 32, 46), on="fixture", http=True),
    "http-conformance-next": Stage(lambda: _suite("conformance-next", "--requirements 2025-11-25", 33, 83), on="fixture", http=True),
    "http-conformance-2026": Stage(lambda: _suite("conformance-next", "--requirements 2026-07-28", 40, 151), on="fixture", http=True),
    "http-conformance-older": Stage(lambda: _suite("conformance-next", "--suite all --spec-version 2025-06-18", 27, 56,
                                                   "--suite all --spec-version 2025-03-26", 1, 3), on="fixture", http=True),
    "http-conformance-pending": Stage(lambda: _suite("conformance-next", "--scenario json-schema-2020-12", 1, 8,
                                                     "--scenario server-sse-polling", 1, 3,
                                                     "--scenario http-header-validation", 1, 14,
                                                     "--scenario http-custom-header-server-validation", 1, 10),
                                      on="fixture", http=True),
    "schema": Stage(_schema, on="both"),
    "foreign": Stage(_foreign, on="none"),
}


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other: "Tally") -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def run_against(name: str, client: Client, urls: dict[str, str]) -> Tally:
    """Runs one stage's client; its `ok`, `FAIL` and `skip` lines are passed on under the stage's name."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="mcp-rill-interop-") as home:
        process = subprocess.Popen(client.command, env=_environment(urls | _packages(client), home), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        late = threading.Timer(STAGE_TIMEOUT, _kill, [process])
        late.start()
        try:
            for line in process.stdout:
                _pass_on(line.rstrip(), name, tally)
            code = process.wait()
        finally:
            late.cancel()
            _kill(process)
    if code == -signal.SIGKILL:
        _fail(tally, name, f"not finished after {STAGE_TIMEOUT} s")
    elif code != (1 if tally.failed else 0):
        _fail(tally, name, f"the client ended with exit code {code}")
    elif tally == Tally():
        _fail(tally, name, "the client checked nothing")
    return tally


def run_started(name: str, client: Client, demo: Callable[[], Path], own: bool) -> Tally:
    """Runs one stage against servers of its own and checks that these end well. An example takes no limits."""
    stage, servers, urls = STAGES[name], [], {}

    def start(executable: Path, limits: dict[str, str] | None, *options: str) -> str:
        servers.append(server.Server(executable, limits, ["--sessionless"] if stage.sessionless else list(options)))
        return servers[-1].url

    try:
        if stage.on in EXAMPLES:
            urls["INTEROP_URL"] = start(server.example(stage.on), None)
        if stage.on in ("demo", "both"):
            urls["INTEROP_URL"] = start(demo(), LIMITS | stage.limits if own else None)
        if stage.on in ("fixture", "both"):
            urls["INTEROP_FIXTURE_URL"] = start(server.fixture(), None)
            if stage.gateway:
                urls["INTEROP_FIXTURE_URL"] = start(server.example("gateway"), None, servers[-1].address)
            urls.setdefault("INTEROP_URL", urls["INTEROP_FIXTURE_URL"])
        if own and stage.on in ("demo", "both"):
            urls |= {"INTEROP_OWN": "1", "INTEROP_PAGE_ITEMS": str(PAGE_ITEMS), "INTEROP_KEEP_ALIVE_MS": str(KEEP_ALIVE_MS)}
            if stage.wants_unpaged:
                urls["INTEROP_UNPAGED_URL"] = start(demo(), {"shutdown_grace": LIMITS["shutdown_grace"]})
        if stage.on == "stdio":
            urls |= {"INTEROP_BINARY": str(demo()), "INTEROP_FIXTURE": str(server.fixture())}
        if stage.http:
            urls["INTEROP_HTTP"] = "1"
        if stage.sessionless:
            urls["INTEROP_SESSIONLESS"] = "1"
        if stage.era:
            urls["INTEROP_ERA"] = stage.era
        tally = run_against(name, client, urls)
    finally:
        complaints = [complaint for one in servers if (complaint := one.stop())]
    for complaint in complaints:
        _fail(tally, name, f"shutdown: {complaint}")
    if servers and not complaints:
        tally.passed += 1
        print(f"ok {name}: the server ends well", flush=True)
    if tally.failed:
        print("     the end of the server's standard error:")
        for line in [line for one in servers for line in one.tail]:
            print(f"     | {line}", flush=True)
    return tally


def _pass_on(line: str, name: str, tally: Tally) -> None:
    word, _, rest = line.partition(" ")
    match word:
        case "ok":
            tally.passed += 1
        case "FAIL":
            tally.failed += 1
        case "skip":
            tally.skipped += 1
        case _:
            print(f"     {line}", flush=True)
            return
    print(f"{word} {name}: {rest}", flush=True)


def _kill(process: subprocess.Popen) -> None:
    """Ends a client with whatever it started. Once it was waited for, its id may be another process's."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)


def _packages(client: Client) -> dict[str, str]:
    return {"INTEROP_PACKAGES": str(client.packages)} if client.packages else {}


def _environment(urls: dict[str, str], home: str) -> dict[str, str]:
    return {
        **os.environ,
        **urls,
        # Clients keep settings and secrets in the home directory; they get an empty one.
        "HOME": home,
        "NO_PROXY": "127.0.0.1",
        "NODE_OPTIONS": f"--require={HERE / 'loopback.cjs'}",
        "PYTHONPATH": str(HERE / "python"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _fail(tally: Tally, name: str, why: str) -> None:
    tally.failed += 1
    print(f"FAIL {name}: {why}", flush=True)
