"""The stages: which client each one is, how it is started, and how its lines are counted."""

import contextlib
import functools
import json
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

from harness import cache, manifest, server

HERE = Path(__file__).resolve().parent.parent
STAGE_TIMEOUT = 180
# Of the soak: besides its length, which `SOAK_SECONDS` says, until all sessions have ended.
SOAK_SECONDS = float(os.environ.get("SOAK_SECONDS", 60))
SOAK_TIMEOUT = SOAK_SECONDS + 400
# The examples that some stages are about.
EXAMPLES = ("tutorial", "awkward", "tls", "notes", "tokio", "own_loop", "paths")
# Those that can run in two ways, with the option of the second one.
TWO_WAYS = {"tokio": "--task", "own_loop": "--epoll"}
# Servers of other makers, behind a bridge.
FOREIGN = ("everything", "filesystem", "python")
NEWEST = "2026-07-28"
# Of the users of the example `notes`.
NOTES_TOKENS = {"ada": "a-token-that-nobody-can-guess-of-ada", "bob": "a-token-that-nobody-can-guess-of-bob"}
SHARED = ("--isolate", "shared")
PAGE_ITEMS = 2
KEEP_ALIVE_MS = 1000

# Small pages make every list span several; the short keep-alive lets a check wait for a comment.
LIMITS = {"page_items_max": str(PAGE_ITEMS), "keep_alive": f"{KEEP_ALIVE_MS}ms",
          "shutdown_grace": f"{server.SHUTDOWN_GRACE}s"}
GRACE = {"shutdown_grace": LIMITS["shutdown_grace"]}


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
    # the first two, which the client starts itself; "suite" is the official suite, whose servers the binary talks to; "manifest"
    # is a manifest that the binary serves; "soak" is the binary and the server of benches/soak; "everything", "filesystem" and
    # "python" are servers of other makers, behind a bridge.
    on: str = "demo"
    # Limits of the demo besides those that all stages have.
    limits: dict[str, str] = field(default_factory=dict)
    # Options of the demo.
    options: tuple[str, ...] = ()
    # The client starts the manifest's server itself.
    stdio: bool = False
    # `mcp-rill connect` stands between the client, which starts it, and both servers.
    connect: bool = False
    # The example `gateway` stands before the fixture.
    gateway: bool = False
    # The binary is a bridge in front of the demo or the fixture, which speak lines; its options.
    bridge: tuple[str, ...] | None = None
    # Over Streamable HTTP instead of HTTP+SSE.
    http: bool = False
    # The demo keeps no sessions for clients before 2026-07-28.
    sessionless: bool = False
    # What clients that know the stateless era negotiate: "auto", or its revision and no other.
    era: str | None = None
    # A second server with default limits, to compare the paged lists with whole ones.
    wants_unpaged: bool = False
    timeout: float = STAGE_TIMEOUT
    # It needs the machine for itself.
    alone: bool = False


def _schema() -> Client:
    schemas = Path(os.environ.get("MCP_RILL_SCHEMAS", server.REPOSITORY.parent / "shared" / "schema"))
    if not schemas.is_dir():
        return Client(["echo", f"skip no official schemas at {os.path.relpath(schemas, server.REPOSITORY)}"])
    return Client([sys.executable, HERE / "transcript.py", "--check", _schema_check(), schemas])


def _schema_cases() -> Client:
    cases = cache.root() / "schema-cases"
    cases.unlink(missing_ok=True)
    for tests in (["--lib", "json_schema::cases"], ["--test", "cli", "schema::"]):
        _test(tests, {"SCHEMA_CASES": str(cases)})
    return Client([_schema_check(), "cases", cases])


def _schema_check() -> Path:
    return server.build("bin", "schema-check", "--target-dir", str(cache.root() / "schema-check"), package=HERE / "schema-check")


def _test(arguments: list[str], variables: dict[str, str]) -> None:
    """Tests of the library, which write down what they judge where a variable says so."""
    subprocess.run(["cargo", "test", "--quiet", "--locked", *arguments], check=True, cwd=server.REPOSITORY,
                   env={**os.environ, **variables}, stdout=subprocess.DEVNULL)


def _foreign() -> Client:
    cases = cache.root() / "http-cases"
    shutil.rmtree(cases, ignore_errors=True)
    cases.mkdir(parents=True)
    _test(["--no-default-features", "--test", "http", "cases"], {"HTTP_CASES": str(cases)})
    verdicts = server.build("bin", "verdicts", "--target-dir", str(cache.root() / "verdicts"), package=HERE / "verdicts")
    return Client([cache.python("h11"), HERE / "python" / "foreign.py", verdicts, shutil.which("node") or "node", cases])


def _suite(package: str, *runs: str | int) -> Client:
    """Runs of the official suite: for each one its options, the scenarios and the checks that it has."""
    return Client([sys.executable, HERE / "python" / "conformance.py", cache.node24(), *map(str, runs)], cache.piece(package))


def _soak() -> Client:
    return Client([sys.executable, HERE / "python" / "soak.py", "node", cache.node24(), cache.piece("ts1"), cache.piece("ts2"),
                   cache.python("py1"), cache.python("py2")])


def _console() -> Client:
    if not shutil.which("chromium"):
        return Client(["echo", "skip no chromium is installed"])
    return Client([cache.node24(), HERE / "node" / "console.mjs"])


def _rmcp(*arguments: str) -> Client:
    return Client([server.build("bin", "rmcp-client", "--target-dir", str(cache.root() / "rmcp"), package=HERE / "rmcp"), *arguments])


def _ts1(*arguments: str) -> Client:
    return Client(["node", HERE / "node" / "ts1.mjs", *arguments], cache.piece("ts1"))


def _ts2(*arguments: str) -> Client:
    return Client([cache.node24(), HERE / "node" / "ts2.mjs", *arguments], cache.piece("ts2"))


def _py(name: str, *arguments: str) -> Client:
    return Client([cache.python(name), HERE / "python" / f"{name}.py", *arguments])


def _inspector(script: str) -> Client:
    return Client([sys.executable, HERE / "python" / script, cache.node24()], cache.piece("inspector"))


def _connect_stages() -> dict[str, Stage]:
    """Clients that only start programs, with `mcp-rill connect` as that program, by each transport that the servers have."""
    clients = {"ts1": lambda: Client(["node", HERE / "node" / "stdio.mjs", "ts1"], cache.piece("ts1")),
               "ts2": lambda: Client([cache.node24(), HERE / "node" / "stdio.mjs", "ts2"], cache.piece("ts2")),
               "py1": lambda: Client([cache.python("py1"), HERE / "python" / "stdio.py"]),
               "py2": lambda: Client([cache.python("py2"), HERE / "python" / "stdio.py"])}
    stages = {}
    for name, client in clients.items():
        stages[f"connect-{name}"] = Stage(client, on="both", connect=True)
        stages[f"http-connect-{name}"] = Stage(client, on="both", connect=True, http=True)
        if name.endswith("2"):
            stages[f"http-connect-{name}-auto"] = Stage(client, on="both", connect=True, http=True, era="auto")
    return stages


def _manifest_stages() -> dict[str, Stage]:
    """A server made of a manifest, with each client by each transport that it has."""
    kinds = {"": {}, "http-": {"http": True}, "stdio-": {"stdio": True}}
    stages = {}
    clients = {"ts1": _ts1, "ts2": _ts2, "py1": functools.partial(_py, "py1"), "py2": functools.partial(_py, "py2")}
    for name, client in clients.items():
        one = functools.partial(client, "manifest")
        stages |= {f"{prefix}manifest-{name}": Stage(one, on="manifest", **kind) for prefix, kind in kinds.items()}
        if name.endswith("2"):
            for prefix in ["http-", "stdio-"]:
                stages[f"{prefix}manifest-{name}-auto"] = Stage(one, on="manifest", era="auto", **kinds[prefix])
    for prefix, kind in kinds.items():
        era = "modern" if prefix == "http-" else None
        stages[f"{prefix}manifest-inspector"] = Stage(lambda: _inspector("manifest_inspector.py"), on="manifest", era=era, **kind)
    stages["http-manifest-rmcp"] = Stage(lambda: _rmcp("manifest"), on="manifest", http=True)
    stages["manifest-curl"] = Stage(lambda: Client([sys.executable, HERE / "python" / "manifest_curl.py"]), on="manifest")
    return stages


def _bridge_stages() -> dict[str, Stage]:
    """Bridges: clients of each era before our own servers, with the checks that these pass without a bridge, and before servers of
    other makers, with what these answer to the same client over standard input and output."""
    clients = {"ts1": _ts1, "ts2": _ts2, "py1": functools.partial(_py, "py1"), "py2": functools.partial(_py, "py2")}
    stages = {}
    for name, client in clients.items():
        own, asked = client, functools.partial(client, "questions")
        stages[f"bridge-{name}"] = Stage(own, bridge=())
        stages[f"http-bridge-{name}"] = Stage(own, bridge=(), http=True)
        stages[f"bridge-questions-{name}"] = Stage(asked, on="fixture", bridge=())
        stages[f"http-bridge-questions-{name}"] = Stage(asked, on="fixture", bridge=(), http=True)
        same = functools.partial(client, "same")
        for kind in FOREIGN:
            stages[f"bridge-{kind}-{name}"] = Stage(same, on=kind)
            stages[f"http-bridge-{kind}-{name}"] = Stage(same, on=kind, http=True)
            if name.endswith("2"):
                stages[f"stateless-bridge-{kind}-{name}"] = Stage(same, on=kind, http=True, era="auto")
        if name.endswith("2"):
            stages[f"http-bridge-{name}-auto"] = Stage(own, bridge=(), http=True, era="auto")
            for options in [(), SHARED]:
                stages[f"stateless-bridge-{'shared-' if options else ''}{name}"] = Stage(
                    functools.partial(client, "stateless"), on="fixture", bridge=options, http=True, era=NEWEST)
    stages["bridge-rmcp"] = Stage(_rmcp, on="fixture", bridge=(), http=True)
    return stages


def foreign(kind: str, folder: Path) -> list[str | Path]:
    """The command of a server of another maker. The one for files gets a folder."""
    package = cache.piece("servers") / "node_modules/@modelcontextprotocol" if kind != "python" else Path()
    match kind:
        case "everything":
            return [cache.node24(), package / "server-everything/dist/index.js", "stdio"]
        case "filesystem":
            return [cache.node24(), package / "server-filesystem/dist/index.js", folder]
        case _:
            return [cache.python("py2"), HERE / "python" / "bridged_server.py"]


STAGES = {
    "curl": Stage(lambda: Client([sys.executable, HERE / "python" / "curl.py"])),
    "fetch": Stage(lambda: Client([cache.node24(), HERE / "node" / "fetch.mjs"])),
    # On the installed Node, which is older than the pinned one: two generations of its HTTP client get tested.
    "ts1": Stage(_ts1, wants_unpaged=True),
    "ts2": Stage(_ts2, wants_unpaged=True),
    "py1": Stage(lambda: _py("py1"), wants_unpaged=True),
    "py2": Stage(lambda: _py("py2"), wants_unpaged=True),
    "questions-ts1": Stage(lambda: _ts1("questions"), on="fixture"),
    "questions-ts2": Stage(lambda: _ts2("questions"), on="fixture"),
    "questions-py1": Stage(lambda: _py("py1", "questions"), on="fixture"),
    "questions-py2": Stage(lambda: _py("py2", "questions"), on="fixture"),
    "http-ts1": Stage(_ts1, wants_unpaged=True, http=True),
    "http-ts2": Stage(_ts2, wants_unpaged=True, http=True),
    "http-ts2-auto": Stage(_ts2, wants_unpaged=True, http=True, era="auto"),
    "http-py1": Stage(lambda: _py("py1"), wants_unpaged=True, http=True),
    "http-py2": Stage(lambda: _py("py2"), wants_unpaged=True, http=True),
    "http-py2-auto": Stage(lambda: _py("py2"), wants_unpaged=True, http=True, era="auto"),
    "sessionless-ts1": Stage(_ts1, wants_unpaged=True, http=True, sessionless=True),
    "sessionless-ts2": Stage(_ts2, wants_unpaged=True, http=True, sessionless=True),
    "sessionless-py1": Stage(lambda: _py("py1"), wants_unpaged=True, http=True, sessionless=True),
    "sessionless-py2": Stage(lambda: _py("py2"), wants_unpaged=True, http=True, sessionless=True),
    "stateless-ts2": Stage(lambda: _ts2("stateless"), on="fixture", http=True, era="2026-07-28"),
    "stateless-py2": Stage(lambda: _py("py2", "stateless"), on="fixture", http=True, era="2026-07-28"),
    "http-questions-ts1": Stage(lambda: _ts1("questions"), on="fixture", http=True),
    "http-questions-ts2": Stage(lambda: _ts2("questions"), on="fixture", http=True),
    "http-questions-py1": Stage(lambda: _py("py1", "questions"), on="fixture", http=True),
    "http-questions-py2": Stage(lambda: _py("py2", "questions"), on="fixture", http=True),
    # A service of another crate, which passes on what the fixture says.
    "gateway-ts1": Stage(lambda: _ts1("questions"), on="fixture", gateway=True),
    "http-gateway-py1": Stage(lambda: _py("py1", "questions"), on="fixture", gateway=True, http=True),
    "stateless-gateway-ts2": Stage(lambda: _ts2("stateless"), on="fixture", gateway=True, http=True, era="2026-07-28"),
    # With the last httpx-sse that breaks lines wherever Unicode may.
    "awkward-py1": Stage(lambda: Client([cache.python("py1-old-sse"), HERE / "python" / "py1.py", "awkward"]), on="awkward"),
    "http-awkward-py1": Stage(lambda: Client([cache.python("py1-old-sse"), HERE / "python" / "py1.py", "awkward"]), on="awkward",
                              http=True),
    "awkward-ts1": Stage(lambda: _ts1("awkward"), on="awkward"),
    "http-awkward-ts1": Stage(lambda: _ts1("awkward"), on="awkward", http=True),
    "awkward-ts2": Stage(lambda: _ts2("awkward"), on="awkward"),
    "http-awkward-ts2": Stage(lambda: _ts2("awkward"), on="awkward", http=True),
    "stateless-awkward-ts2": Stage(lambda: _ts2("awkward"), on="awkward", http=True, era="2026-07-28"),
    "awkward-fetch": Stage(lambda: Client([cache.node24(), HERE / "node" / "raw.mjs"]), on="awkward"),
    "awkward-inspector": Stage(lambda: Client([cache.python("py1"), HERE / "python" / "crowd.py", cache.node24()],
                                              cache.piece("inspector")), limits={"sessions_max": "4"}),
    "eras": Stage(lambda: Client([cache.node24(), HERE / "node" / "eras.mjs"], cache.piece("ts2")), alone=True),
    "tutorial": Stage(lambda: Client([cache.node24(), HERE / "node" / "tutorial.mjs", cache.piece("ts1"), cache.piece("ts2")]),
                      on="tutorial"),
    "notes": Stage(lambda: Client([cache.node24(), HERE / "node" / "notes.mjs", cache.piece("ts1"), cache.piece("ts2")]), on="notes"),
    "tokio": Stage(lambda: Client([cache.python("py1"), HERE / "python" / "long_work.py"]), on="tokio"),
    "own_loop": Stage(lambda: Client([cache.python("py2"), HERE / "python" / "own_loop.py"]), on="own_loop"),
    "paths": Stage(lambda: Client([cache.node24(), HERE / "node" / "paths.mjs", cache.piece("ts1"), cache.piece("ts2")]), on="paths"),
    "tls": Stage(lambda: Client([cache.python("py1"), HERE / "python" / "over_tls.py"]), on="tls"),
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
    **_connect_stages(),
    **_manifest_stages(),
    # A browser, in which somebody types.
    "console": Stage(_console, on="manifest"),
    # Its servers are its own.
    "cluster": Stage(lambda: Client([sys.executable, HERE / "python" / "cluster.py"]), on="none", alone=True),
    **_bridge_stages(),
    "http-rmcp": Stage(_rmcp, on="fixture", http=True),
    "inspector": Stage(lambda: _inspector("inspector.py")),
    "http-inspector": Stage(lambda: _inspector("inspector.py"), http=True, era="modern"),
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
    # Behind a bridge the same, but for three checks of a stream that the server ends: a child has none.
    "bridge-conformance": Stage(lambda: _suite("conformance", "--suite all", 32, 43), on="fixture", bridge=(), http=True),
    "bridge-conformance-next": Stage(lambda: _suite("conformance-next", "--requirements 2025-11-25", 33, 80), on="fixture", bridge=(),
                                     http=True),
    "bridge-conformance-2026": Stage(lambda: _suite("conformance-next", "--requirements 2026-07-28", 40, 151), on="fixture", bridge=(),
                                     http=True),
    "bridge-conformance-older": Stage(lambda: _suite("conformance-next", "--suite all --spec-version 2025-06-18", 27, 56,
                                                     "--suite all --spec-version 2025-03-26", 1, 3), on="fixture", bridge=(), http=True),
    # The binary in between twice: a bridge before `connect` to the fixture over each transport.
    "connect-conformance": Stage(lambda: _suite("conformance", "--suite active", 30, 39), on="fixture", connect=True),
    "http-connect-conformance": Stage(lambda: _suite("conformance", "--suite active", 30, 39), on="fixture", connect=True, http=True),
    # The other way round: the suite has the servers, and the client is the binary's.
    "client-conformance": Stage(lambda: Client([sys.executable, HERE / "python" / "suite_client.py", cache.node24()],
                                               cache.piece("conformance-next")), on="suite"),
    "metrics": Stage(lambda: Client([cache.python("metrics"), HERE / "python" / "metrics.py"]), options=("--metrics",)),
    # All SDKs over all transports, among peers that misbehave.
    "soak": Stage(_soak, on="soak", timeout=SOAK_TIMEOUT, alone=True),
    "schema": Stage(_schema, on="both"),
    "schema-cases": Stage(_schema_cases, on="none", alone=True),
    "foreign": Stage(_foreign, on="none", alone=True),
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

    def replace(self, first: "Tally", second: "Tally") -> None:
        """Counts the second run of a stage instead of the first."""
        self.passed += second.passed - first.passed
        self.failed += second.failed - first.failed
        self.skipped += second.skipped - first.skipped

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def run_against(name: str, client: Client, urls: dict[str, str]) -> Tally:
    """Runs one stage's client; its `ok`, `FAIL` and `skip` lines are passed on under the stage's name."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="mcp-rill-interop-") as home:
        process = subprocess.Popen(client.command, env=_environment(urls | _packages(client), home), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        late = threading.Timer(STAGES[name].timeout, _kill, [process])
        late.start()
        try:
            for line in process.stdout:
                _pass_on(line.rstrip(), name, tally)
            code = process.wait()
        finally:
            late.cancel()
            _kill(process)
    if code == -signal.SIGKILL:
        _fail(tally, name, f"not finished after {STAGES[name].timeout:.0f} s")
    elif code != (1 if tally.failed else 0):
        _fail(tally, name, f"the client ended with exit code {code}")
    elif tally == Tally():
        _fail(tally, name, "the client checked nothing")
    return tally


def run_started(name: str, client: Client, demo: Callable[[], Path], own: bool) -> Tally:
    """Runs one stage against servers of its own and checks that these end well. An example takes no limits."""
    stage, servers, urls = STAGES[name], [], {}
    stack = contextlib.ExitStack()

    def start(executable: Path, limits: dict[str, str] | None, *options: str, **more: object) -> str:
        given = ["--sessionless"] if stage.sessionless else list(options)
        servers.append(server.Server(executable, limits, given, **more))
        return servers[-1].url

    def start_bridge(child: list[str | Path], limits: dict[str, str]) -> str:
        return start(demo(), limits, *(stage.bridge or ()), child=child)

    def start_demo(limits: dict[str, str]) -> str:
        if stage.bridge is None:
            return start(demo(), limits if own else None, *stage.options)
        inner = [part for name, value in limits.items() for part in ["--limit", f"{name}={value}"]]
        return start_bridge([demo(), "serve", "--stdio", *inner], limits)

    try:
        if stage.on == "tls":
            certificate = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcp-rill-tls-"))) / "server.pem"
            url = start(server.example(stage.on), None, str(certificate))
            urls |= {"INTEROP_URL": url.replace("http:", "https:"), "INTEROP_CERTIFICATE": str(certificate)}
        elif stage.on == "notes":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcp-rill-notes-")))
            tokens, kept = folder / "tokens", folder / "notes.jsonl"
            tokens.write_text("".join(f"{name}:{token}\n" for name, token in NOTES_TOKENS.items()))
            url = start(server.example(stage.on), None, before=[tokens, kept])
            urls |= {"INTEROP_URL": url, "INTEROP_TOKENS": json.dumps(NOTES_TOKENS)}
        elif stage.on in EXAMPLES:
            urls["INTEROP_URL"] = start(server.example(stage.on), None)
            if stage.on in TWO_WAYS:
                urls["INTEROP_SECOND_URL"] = start(server.example(stage.on), None, TWO_WAYS[stage.on])
        if stage.on in ("demo", "both"):
            urls["INTEROP_URL"] = start_demo(LIMITS | stage.limits)
        if stage.on in FOREIGN:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcp-rill-files-")))
            (folder / "a.txt").write_text("one\ntwo\n")
            child = foreign(stage.on, folder)
            urls |= {"INTEROP_URL": start_bridge(child, GRACE), "INTEROP_CHILD": json.dumps([str(part) for part in child])}
        if stage.on in ("fixture", "both"):
            if stage.bridge is not None:
                urls["INTEROP_FIXTURE_URL"] = start_bridge([server.fixture(), "--stdio"], GRACE)
            else:
                urls["INTEROP_FIXTURE_URL"] = start(server.fixture(), None, *["--lines"] * stage.gateway)
            if stage.gateway:
                urls["INTEROP_FIXTURE_URL"] = start(server.example("gateway"), None, servers[-1].address)
            urls.setdefault("INTEROP_URL", urls["INTEROP_FIXTURE_URL"])
        if own and stage.on in ("demo", "both"):
            urls |= {"INTEROP_OWN": "1", "INTEROP_PAGE_ITEMS": str(PAGE_ITEMS), "INTEROP_KEEP_ALIVE_MS": str(KEEP_ALIVE_MS)}
            if stage.wants_unpaged:
                urls["INTEROP_UNPAGED_URL"] = start_demo(GRACE)
        if stage.on in ("suite", "none"):
            urls["INTEROP_BINARY"] = str(demo())
        if stage.on == "manifest":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcp-rill-manifest-")))
            tokens, served = manifest.write(folder), folder / "manifest.json"
            urls |= {"INTEROP_TOKENS": json.dumps(tokens), "INTEROP_MANIFEST": str(served)}
            urls["INTEROP_BINARY"] = str(demo())
            if not stage.stdio:
                urls["INTEROP_URL"] = start(demo(), GRACE, "--health", "--console", manifest=served)
                guarded = ["--health", "--console", "--token-file", str(folder / "tokens")]
                urls["INTEROP_GUARDED_URL"] = start(demo(), GRACE, *guarded, manifest=served, token=tokens["ada"])
        if stage.on == "soak":
            urls |= {"INTEROP_BINARY": str(demo()), "INTEROP_SOAK": str(server.soak())}
        if stage.on == "stdio":
            urls |= {"INTEROP_BINARY": str(demo()), "INTEROP_FIXTURE": str(server.fixture())}
        if stage.connect:
            urls |= {"INTEROP_BINARY": str(demo()), "INTEROP_CONNECT": "1"}
        if stage.http:
            urls["INTEROP_HTTP"] = "1"
        if stage.bridge == ():
            urls["INTEROP_ISOLATED"] = "1"
        if stage.sessionless:
            urls["INTEROP_SESSIONLESS"] = "1"
        if stage.era:
            urls["INTEROP_ERA"] = stage.era
        tally = run_against(name, client, urls)
    finally:
        complaints = [complaint for one in servers if (complaint := one.stop())]
        stack.close()
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
