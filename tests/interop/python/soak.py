"""The soak: honest clients of all SDKs over all transports, and everybody else who misbehaves, on two servers at once.

Arguments: the two Nodes, the packages of `ts1` and `ts2`, the Pythons of `py1` and `py2`. `SOAK_SECONDS` is the length,
`SOAK_ONLY` words that choose kinds of misbehaviour, separated by commas.

One server is that of benches/soak, which tells its counters; the other one the binary, with a manifest, tokens, a log and metrics. It
bridges the former one, too, so that commands, bridged processes and tools of its own work at once.
"""

import collections
import contextlib
import fcntl
import http.client
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import wire
from report import check, finish, true

HERE = Path(__file__).resolve().parent.parent
SECONDS = float(os.environ.get("SOAK_SECONDS", 60))
ONLY = [word for word in os.environ.get("SOAK_ONLY", "").split(",") if word]
# How long the servers may take to be as at the start: sessions that were left have to end by their timeout.
CALM_SECONDS = 90
# How often in a row they have to be.
CALM_LOOKS = 5
# Of a long soak the least that was resident in the second and in the last quarter is compared: what is held at a time varies.
FLAT_FROM_SECONDS = 300
FLAT_KIB = 4096
# What is resident need not show a leak, for which there is room in what the allocator keeps. So what is in use is compared, too: afterwards
# it may be more than before by the buffers that are kept for reuse, 1.1 MiB, and by tables that have grown. In 20 minutes there are some
# 500,000 requests, so that a leak of 1 KiB of each hundred comes to more than this.
IN_USE_KIB = 3 * 1024

# Tight enough that the attacks are at the limits all the time. An honest client that gets no time for a second or two, as on a machine
# that is busy otherwise, has not yet lost its place.
LIMITS = {"sessions_max": "128", "connections_max": "640", "buffered_bytes_max": "16MiB", "listens_max": "64",
          "worker_queue_max": "300", "session_idle_timeout": "15s", "initialize_timeout": "15s", "head_timeout": "15s",
          "body_timeout": "15s", "write_timeout": "10s", "new_connection_grace": "5s", "connections_reserve_percent": "50",
          "question_timeout": "120s", "replay_timeout": "10s", "keep_alive": "2s"}
# What docs/memory.md states for these limits, in the order of its table: peers' data, entries of connections and sessions, what clients
# say of themselves, buffers for reuse, half of these, and results that another thread has handed over.
PEERS_KIB, MESSAGE_KIB = 16 * 1024, 4 * 1024
COUNTED_KIB = PEERS_KIB + (640 * 0.3 + 128 * 0.4) + 128 * 0.4 + 1127
# A message in work has here a result of 1 MB at most, as text and as JSON. The program itself comes on top.
IN_WORK_KIB = 3 * 1024
STATED_KIB = COUNTED_KIB + COUNTED_KIB / 2 + max(PEERS_KIB / 4, 2 * MESSAGE_KIB) + IN_WORK_KIB

SDKS = ["ts1", "ts2", "py1", "py2"]
EVERYWHERE = ["echo"] * 6 + ["read"] * 2 + ["prompt"] * 2 + ["list", "big", "slow", "ask", "sample", "cancel", "subscribe"]
COMMANDS = ["say"] * 4 + ["prompt"] * 3 + ["list", "sleep"]
# All that a process does which all clients share: it can ask nobody, because its questions do not say for which call they are.
SHARED = ["echo"] * 4 + ["read", "prompt", "list", "big", "slow", "cancel"]
PAUSE_MS = 120
LANES = 2
# Of all turns of the loop one in a hundred may be longer.
TURN_SECONDS = 0.002
# Clients and attackers would be on other machines. Here they have the processors of the servers, and stand back for those: a turn that
# waits for a processor says nothing of the server.
CLIENTS_NICE = 10


@dataclass
class Watched:
    """A server process, and what it takes of the system."""
    name: str
    process: subprocess.Popen
    port: int
    resident: list[tuple[float, int]] = field(default_factory=list)

    def look(self) -> tuple[int, int, int]:
        """Descriptors, threads, KiB resident."""
        proc = Path(f"/proc/{self.process.pid}")
        status = (proc / "status").read_text()
        number = lambda name: int(re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)[1])
        return len(list((proc / "fd").iterdir())), number("Threads"), number("VmRSS")

    def peak_kib(self) -> int:
        return int(re.search(r"^VmHWM:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text(), re.MULTILINE)[1])

    def in_use_kib(self) -> int:
        """What is in use in the heap of the first thread."""
        for _ in range(10):
            in_use = self.look_into_heap()
            if in_use is not None:
                return in_use >> 10
            # The server has changed it meanwhile.
            time.sleep(0.2)
        raise AssertionError(f"{self.name}: the heap of process {self.process.pid} cannot be read as one of glibc")

    def look_into_heap(self) -> int | None:
        """The bytes in use, by the marks of glibc: a chunk has its size before it, and the lowest bit of that says whether the chunk
        before is in use. The last chunk is free. `None` if the marks do not lead to the end."""
        proc = Path(f"/proc/{self.process.pid}")
        found = re.search(r"^(\w+)-(\w+) rw-p .*\[heap\]$", (proc / "maps").read_text(), re.MULTILINE)
        if not found:
            return None
        start, end = (int(address, 16) for address in found.groups())
        with (proc / "mem").open("rb", buffering=0) as memory:
            memory.seek(start)
            heap = memory.read(end - start)
        at, before, used = 0, 0, 0
        while at < len(heap):
            word = int.from_bytes(heap[at + 8:at + 16], "little")
            used += before if word & 1 else 0
            before = word & ~7
            if before < 32:
                return None
            at += before
        return used if at == len(heap) else None

    def children(self) -> list[str]:
        """Those that each of its threads has started."""
        found = []
        for file in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            # A thread may end meanwhile.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += file.read_text().split()
        return found


class Counting(Watched):
    """The server of benches/soak."""

    def stats(self) -> dict:
        self.process.stdin.write("stats\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def gauges(stats: dict) -> dict:
    """What has to be nothing once nobody is left."""
    return {name: count for name, count in stats.items() if name in GAUGES or name.startswith("mcp_rill_sessions{")}


GAUGES = ["connections", "sessions", "calls", "workers_busy", "workers_queued", "workers_stuck", "buffered_bytes", "remembered_bytes"]


class Measured(Watched):
    """The binary, whose counters are those of /metrics."""
    health: int = 0

    def samples(self) -> dict[str, float]:
        """All samples of the page, by name and labels."""
        connection = http.client.HTTPConnection("127.0.0.1", self.health, timeout=30)
        connection.request("GET", "/metrics", headers={"Connection": "close"})
        lines = connection.getresponse().read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def stats(self) -> dict:
        """The gauges, without the connection that asks for them."""
        samples = self.samples()
        gauges = {name: samples[f"mcp_rill_{name}"] for name in GAUGES if name != "sessions"}
        sessions = {name: value for name, value in samples.items() if name.startswith("mcp_rill_sessions{")}
        return gauges | sessions | {"connections": gauges["connections"] - 1}


def start_counting(executable: str, tokens: Path) -> Counting:
    port = wire.free_port()
    limits = [f"{name}={value}" for name, value in LIMITS.items()]
    command = [executable, "--sdks", f"127.0.0.1:{port}", "--tokens", str(tokens), *limits]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    true(process.stdout.readline().startswith("listening"), "the server of benches/soak did not start")
    return Counting("soak", process, port)


MANIFEST = {
    "manifest": 1,
    "server": {"name": "soak", "version": "1"},
    "defaults": {"env": {"LC_ALL": "C.UTF-8"}},
    "tools": [
        {"name": "say", "description": "Send a text back", "argv": ["/bin/cat"], "stdin": "{text}",
         "inputSchema": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}},
        {"name": "sleep", "description": "Sleep", "argv": ["/bin/sleep", "{seconds}"], "concurrency": 8,
         "inputSchema": {"type": "object", "required": ["seconds"],
                         "properties": {"seconds": {"type": "integer", "minimum": 0, "maximum": 60}}}},
    ],
    "prompts": [{"name": "repeat", "description": "Repeat a text", "text": "{text}",
                 "arguments": [{"name": "text", "required": True}]}],
}


def manifest_of(soak: str) -> dict:
    """Bridged: a process for each session, one for all, and so few that floods use them up."""
    bridged = {"command": soak, "args": ["--sdks", "stdio"], "childIdleSeconds": 5}
    servers = {"child": bridged, "shared": bridged | {"isolate": "shared"}, "crowded": bridged | {"childrenMax": 8}}
    return MANIFEST | {"mcpServers": servers}


def start_binary(executable: str, manifest: Path, tokens: Path) -> Measured:
    port, health = wire.free_port(), wire.free_port()
    limits = [f"--limit={name}={value}" for name, value in LIMITS.items()]
    command = [executable, "serve", str(manifest), "--listen", f"127.0.0.1:{port}", "--token-file", str(tokens), "--log", "--metrics",
               "--health-listen", f"127.0.0.1:{health}", *limits]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "Ctrl-C" not in (line := process.stdout.readline()):
        true(line, "the binary did not start")
    fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
    server = Measured("manifest", process, port)
    server.health = health
    return server


def slow_collector(server: Watched, over: threading.Event, taken: collections.Counter) -> None:
    """Reads the log only now and then: between, standard error is stuck. Once all is over it reads what has waited."""
    error = server.process.stderr.fileno()
    os.set_blocking(error, False)
    while not over.wait(10):
        taken["times that it was stuck"] += 1
        with contextlib.suppress(BlockingIOError):
            for _ in range(20):
                taken["bytes read"] += len(os.read(error, 4096))
                over.wait(0.02)
    os.set_blocking(error, True)
    while piece := os.read(error, 65536):
        taken["bytes read"] += len(piece)


def jobs_of(sdk: str, servers: list[Watched], tokens: dict[str, str], commands: list[list[str]]) -> list[dict]:
    common = {"lanes": LANES, "pause_ms": PAUSE_MS, "sessions": 2}
    jobs = []
    for server in servers:
        url, more = f"http://127.0.0.1:{server.port}", "" if server.name == "soak" else " (manifest)"
        operations = EVERYWHERE if server.name == "soak" else COMMANDS
        one = common | {"token": tokens[sdk], "operations": operations, "sessions": 2 if server.name == "soak" else 1}
        jobs.append(one | {"name": f"HTTP+SSE{more}", "carrier": "sse", "url": f"{url}/sse"})
        jobs.append(one | {"name": f"Streamable HTTP{more}", "carrier": "http", "url": f"{url}/mcp",
                           "operations": operations + (["away"] if server.name == "soak" else [])})
        if sdk in ("ts2", "py2"):
            jobs.append(one | {"name": f"2026-07-28{more}", "carrier": "stateless", "url": f"{url}/mcp", "era": "2026-07-28"})
    # The bridged ones.
    url, one = f"http://127.0.0.1:{servers[1].port}", common | {"token": tokens[sdk], "sessions": 1, "lanes": 1}
    for carrier, path in [("sse", "sse"), ("http", "mcp"), ("stateless", "mcp")]:
        job = one | {"name": f"bridge, {carrier}", "carrier": carrier, "url": f"{url}/child/{path}", "operations": EVERYWHERE}
        if carrier != "stateless":
            jobs.append(job)
        elif sdk in ("ts2", "py2"):
            jobs.append(job | {"era": "2026-07-28"})
    jobs.append(one | {"name": "bridge, shared", "carrier": "http", "url": f"{url}/shared/mcp", "operations": SHARED})
    for command, operations, more in zip(commands, (EVERYWHERE, COMMANDS), ("", " (manifest)"), strict=True):
        one = common | {"name": f"stdio{more}", "carrier": "stdio", "command": command, "operations": operations, "sessions": 1}
        jobs.append(one | ({"era": "auto"} if sdk in ("ts2", "py2") else {}))
    return jobs


def start_clients(sdk: str, jobs: list[dict], tools: dict[str, str]) -> subprocess.Popen:
    script = [HERE / "node" / "soak.mjs", sdk] if sdk.startswith("ts") else [HERE / "python" / "soak_clients.py"]
    variables = {"INTEROP_JOBS": json.dumps({"seconds": SECONDS, "jobs": jobs}), "INTEROP_PACKAGES": tools.get(f"{sdk}-packages", "")}
    return subprocess.Popen([tools[sdk], *script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            env=os.environ | variables)


def warm_up(server: Watched, token: str) -> None:
    """What is made once, such as threads, is made before it is counted."""
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    tool, arguments = ("slow", {"text": "warm"}) if server.name == "soak" else ("say", {"text": "warm"})
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    fields = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28",
              "Mcp-Method": "tools/call", "Mcp-Name": tool}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}

    def one() -> None:
        true(wire.post(f"http://127.0.0.1:{server.port}/mcp", message, fields).status == 200, "the server does not answer")

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def calm(server: Watched, wanted: tuple[int, int] | None) -> tuple[dict, tuple[int, int, int], float]:
    """Waits until nobody is left, for a second; returns the counters, what the process takes, and the seconds that it took."""
    begun, same, last = time.monotonic(), 0, wanted
    while True:
        stats = server.stats()
        looked = server.look()
        held = {name: count for name, count in gauges(stats).items() if count}
        is_calm = not held and not server.children() and looked[:2] == (wanted or last)
        same, last = same + 1 if is_calm else 0, looked[:2]
        if same == CALM_LOOKS:
            return stats, looked, time.monotonic() - begun
        true(time.monotonic() < begun + CALM_SECONDS,
             f"{CALM_SECONDS} s after the end {server.name} holds {held}, commands {server.children()}, "
             f"{looked[0]} descriptors and {looked[1]} threads where it began with {wanted}")
        time.sleep(0.2)


def watch(servers: list[Watched], stop: threading.Event) -> None:
    begun = time.monotonic()
    while not stop.wait(1):
        for server in servers:
            server.resident.append((time.monotonic() - begun, server.look()[2]))


def judge_turns(server: Measured, before: dict[str, float]) -> None:
    """By the histogram of /metrics: in a turn of the loop nobody else is served."""
    after, name = server.samples(), "mcp_rill_loop_turn_seconds"
    with check(f"{server.name}: a turn of the loop takes less than {TURN_SECONDS * 1000:.0f} ms in 99 of 100 cases") as notes:
        buckets = {re.search(r'le="([^"]+)"', sample)[1]: int(count - before[sample]) for sample, count in after.items()
                   if sample.startswith(f"{name}_bucket")}
        turns = buckets["+Inf"]
        most = next(bound for bound, count in buckets.items() if count >= turns * 99 / 100)
        slow = turns - buckets[str(TURN_SECONDS)]
        mean = (after[f"{name}_sum"] - before[f"{name}_sum"]) / turns
        notes.append(f"{turns} turns of {mean * 1e6:.0f} µs, 99 of 100 within {most} s; {slow} took longer")
        true(slow <= turns / 100, notes[0])


def percentile(times: list[int], percent: int) -> str:
    return f"{sorted(times)[min(len(times) * percent // 100, len(times) - 1)] / 10:.1f} ms" if times else "-"


def told(counts: dict) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: -one[1])) or "none"


def judge_clients(results: dict[str, dict]) -> None:
    by_transport = collections.defaultdict(list)
    for sdk, tallies in results.items():
        for name, tally in tallies.items():
            by_transport[name].append((sdk, tally))
    for name, tallies in sorted(by_transport.items()):
        times = [time for _, tally in tallies for time in tally["times"]]
        refusals, notes, operations = (sum((collections.Counter(tally[table]) for _, tally in tallies), collections.Counter())
                                       for table in ("refusals", "notes", "operations"))
        losses, wrong = ([f"{sdk} {one}" for sdk, tally in tallies for one in tally[table]] for table in ("losses", "wrong"))
        with check(f"{name}: no reply is wrong, none is lost") as report:
            report.append(f"{sum(tally['calls'] for _, tally in tallies)} calls of {' '.join(sorted(sdk for sdk, _ in tallies))}")
            report.append(f"refusals: {told(refusals)}")
            report.append(f"lost {len(losses)}, wrong {len(wrong)}; p50 {percentile(times, 50)}, p99 {percentile(times, 99)}")
            report.append(f"calls: {told(operations)}")
            if notes:
                report.append(f"besides: {told(notes)}")
            for one in (wrong + losses)[:10]:
                print(f"  {name}: {one}")
            true(not wrong and not losses, f"{len(wrong)} wrong, {len(losses)} lost: {'; '.join(report)}")
            true(len(operations) > 0, "no client made a call")


def judge_hostile(reports: dict[str, dict]) -> None:
    for name, report in reports.items():
        with check(f"misbehaviour: {name}") as notes:
            notes.append(f"{report['attempts']} times, answered: {told(report['answers'])}")
            for fault, count in collections.Counter(report["faults"]).most_common(5):
                print(f"  {name}: {count} × {fault}")
            true(not report["faults"], f"{len(report['faults'])} of {report['attempts']} times wrongly; {told(report['answers'])}")
            true(report["attempts"] > 0, "never tried")


def judge_memory(server: Watched, resident_before: int, in_use_before: int) -> None:
    with check(f"{server.name}: resident memory is within the statement, and flat") as notes:
        resident = [kib for _, kib in server.resident]
        quarters = [min(resident[at * len(resident) // 4:(at + 1) * len(resident) // 4], default=0) for at in range(4)]
        stated = resident_before + round(STATED_KIB)
        notes.append(f"before {resident_before} KiB, at most {server.peak_kib()} KiB of {stated} KiB stated, "
                     f"afterwards {server.look()[2]} KiB; "
                     f"at least, in the quarters, {' '.join(map(str, quarters))} KiB")
        true(server.peak_kib() <= stated, f"more than is stated: {notes[0]}")
        true(SECONDS < FLAT_FROM_SECONDS or quarters[3] <= quarters[1] + FLAT_KIB, f"it grows: {notes[0]}")
    with check(f"{server.name}: nothing leaks") as notes:
        in_use = server.in_use_kib()
        notes.append(f"in use before {in_use_before} KiB, afterwards {in_use} KiB")
        true(in_use <= in_use_before + IN_USE_KIB, notes[0])


def main() -> None:
    node, node24, ts1, ts2, py1, py2 = sys.argv[1:]
    tools = {"ts1": node, "ts2": node24, "py1": py1, "py2": py2, "ts1-packages": ts1, "ts2-packages": ts2}
    soak, binary = os.environ["INTEROP_SOAK"], os.environ["INTEROP_BINARY"]
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("HOME")))
    tokens = {name: secrets.token_hex(16) for name in [*SDKS, "mallory", "trudy", "eve", "victim"]}
    token_file, manifest = folder / "tokens", folder / "manifest.json"
    token_file.touch(0o600)
    token_file.write_text("".join(f"{name}:{token}\n" for name, token in tokens.items()))
    manifest.write_text(json.dumps(manifest_of(soak)))
    commands = [[soak, "--sdks", "stdio"], [binary, "serve", str(manifest), "--stdio"]]

    counting, of_binary = start_counting(soak, token_file), start_binary(binary, manifest, token_file)
    servers, stop, taken, processes = [counting, of_binary], threading.Event(), collections.Counter(), []
    over = threading.Event()
    collector = threading.Thread(target=slow_collector, args=(of_binary, over, taken))
    try:
        collector.start()
        before, in_use = {}, {}
        for server in servers:
            warm_up(server, tokens["victim"])
            before[server.name] = calm(server, None)[1]
            in_use[server.name] = server.in_use_kib()
        os.nice(CLIENTS_NICE)
        clients = {sdk: start_clients(sdk, jobs_of(sdk, servers, tokens, commands), tools) for sdk in SDKS}
        targets = [{"name": server.name, "port": server.port, "pid": server.process.pid, "tokens": tokens} for server in servers]
        targets[1]["token_file"] = str(token_file)
        targets += [targets[1] | {"name": name, "base": f"/{name}"} for name in ("child", "shared", "crowded")]
        turns = of_binary.samples()
        wanted = {"seconds": SECONDS, "targets": targets, "commands": commands, "only": ONLY}
        hostile = subprocess.Popen([sys.executable, HERE / "python" / "hostile.py"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   text=True, env=os.environ | {"INTEROP_HOSTILE": json.dumps(wanted)})
        processes = [*clients.values(), hostile]
        watcher = threading.Thread(target=watch, args=(servers, stop))
        watcher.start()
        # All are read at once, or one would be stuck with what it says.
        said: dict = {}
        readers = [threading.Thread(target=lambda name, process: said.update({name: process.communicate()[0]}), args=one)
                   for one in [*clients.items(), ("hostile", hostile)]]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        over.set()
        results = {}
        for sdk in SDKS:
            with check(f"{sdk}: its clients came to their end"):
                results[sdk] = json.loads(said[sdk].splitlines()[-1])
        judge_clients(results)
        judge_hostile(json.loads(said["hostile"]))
        with check("misbehaviour: a collector of the log that is stuck") as notes:
            notes.append(told(taken))
            true(taken["bytes read"] > 0, "the binary logged nothing")
        judge_turns(of_binary, turns)
        for server in servers:
            with check(f"{server.name}: afterwards all is as at the start") as notes:
                stats, looked, took = calm(server, before[server.name][:2])
                notes.append(f"after {took:.0f} s {looked[0]} descriptors, {looked[1]} threads, no command")
                notes.append(told(gauges(stats)))
                if isinstance(server, Counting):
                    others = {name: count for name, count in stats.items() if name not in (*GAUGES, "max", "gave_way") and count}
                    notes.append("counted: " + told(others))
                    notes.append("gave way: " + told(stats["gave_way"]))
                    notes.append("at most: " + told({name: count for name, count in stats["max"].items() if count}))
            judge_memory(server, before[server.name][2], in_use[server.name])
        stop.set()
        watcher.join()
        for server in servers:
            with check(f"{server.name}: ends well"):
                if isinstance(server, Counting):
                    server.process.stdin.close()
                else:
                    server.process.terminate()
                true(server.process.wait(20) == 0, f"exit code {server.process.returncode}")
    finally:
        stop.set()
        over.set()
        for process in [*processes, *(server.process for server in servers)]:
            if process.poll() is None:
                process.kill()
        collector.join()
    finish()


main()
