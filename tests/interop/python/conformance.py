"""The official conformance suite. It speaks Streamable HTTP only. For HTTP+SSE a bridge of two packages stands in front of
the server:

    suite ── Streamable HTTP ──▶ supergateway ── stdio ──▶ mcp-remote ── HTTP+SSE ──▶ server

Or the binary stands there twice, to be tested itself:

    suite ── Streamable HTTP ──▶ mcp-rill bridge ── stdio ──▶ mcp-rill connect ── either transport ──▶ server
"""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator

import wire
from report import check, fail, finish, ok, true

URL = os.environ["INTEROP_URL"]
PACKAGES = os.path.join(os.environ["INTEROP_PACKAGES"], "node_modules")
HTTP, OWN = "INTEROP_HTTP" in os.environ, "INTEROP_CONNECT" in os.environ
NODE, RUNS = sys.argv[1], [sys.argv[at:at + 3] for at in range(2, len(sys.argv), 3)]

# It asks whoever answers HTTP whether he looks at the Host header: that is the bridge, and the bridge does not.
OF_THE_BRIDGE = {} if HTTP or OWN else {"dns-rebinding-protection": 1}
SUITE_TIMEOUT, START_TIMEOUT = 150, 20


def script(package: str, path: str) -> str:
    return os.path.join(PACKAGES, package, path)


@contextlib.contextmanager
def bridge() -> Iterator[str]:
    """The URL of a bridge to the server. Each of its sessions is a process of mcp-remote, or of the binary."""
    direct = URL.removesuffix("/sse") + "/mcp"
    if HTTP and not OWN:
        yield direct
        return
    port = wire.free_port()
    if OWN:
        binary = os.environ["INTEROP_BINARY"]
        child = [binary, "connect", direct if HTTP else URL]
        with subprocess.Popen([binary, "bridge", "--listen", f"127.0.0.1:{port}", "--", *child], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                yield f"http://127.0.0.1:{port}/mcp"
            finally:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
        return
    far = [NODE, script("mcp-remote", "dist/proxy.js"), URL, "--transport", "sse-only", "--allow-http"]
    command = [NODE, script("supergateway", "dist/index.js"), "--stdio", shlex.join(far), "--outputTransport", "streamableHttp",
               "--stateful", "--port", str(port), "--logLevel", "none"]
    # Its children end with its pipe to them.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def server_name(url: str) -> str:
    """Who answers `initialize` at the far end of the bridge."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "probe", "version": "0"}}}
    response = wire.post(url, message, {"Accept": "application/json, text/event-stream"})
    true(response.status == 200, f"status {response.status}: {response.text}")
    [data] = re.findall(r"^(?:data: ?)?(\{.*\})\r?$", response.text, re.MULTILINE)
    return json.loads(data)["result"]["serverInfo"]["name"]


def check_is_up(url: str, when: str) -> bool:
    """The suite reports many a pass when nobody answers, so that has to be asked apart."""
    with check(f"the server answers {when}") as notes:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                notes.append(server_name(url))
                return True
            except (OSError, AssertionError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
    return False


def run_suite(url: str, options: str) -> subprocess.CompletedProcess:
    command = [NODE, script("@modelcontextprotocol/conformance", "dist/index.js"), "server", "--url", url, *options.split()]
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=SUITE_TIMEOUT)


def judge(done: subprocess.CompletedProcess, options: str, scenarios: int, checks: int) -> None:
    """A line for each scenario of the summary, then the figures. With fewer than those of the pinned version it gave up."""
    output = done.stdout
    # A scenario that is run by its name has a summary of its own.
    summary = (re.findall(r"^[✓✗] ([\w-]+): (\d+) passed, (\d+) failed", output, re.MULTILINE)
               or [(options.split()[-1], *figures) for figures in re.findall(r"^Passed: (\d+)/\d+, (\d+) failed", output, re.MULTILINE)])
    # The extensions are run, but they are no part of a revision, and the suite's exit code leaves them out.
    extensions = set(re.findall(r"^ +[✓✗] ([\w-]+) \(extension\)", output, re.MULTILINE))
    for name in sorted(extensions):
        print(f"skip {name}: an extension", flush=True)
    summary = [(name, int(good), int(bad)) for name, good, bad in summary if name not in extensions]
    for name, good, bad in summary:
        figures = f"{good} passed, {bad} failed"
        # A pending scenario may have nothing to check.
        if bad == 0 and (good > 0 or HTTP):
            ok(name, figures)
        elif bad <= OF_THE_BRIDGE.get(name, 0):
            ok(name, f"{figures}: tests the bridge, not the server")
        else:
            fail(name, f"{figures}: {complaints(output, name)}")
    with check(f"the suite ran whole, {options}") as notes:
        true(done.returncode == 0 or OF_THE_BRIDGE, f"exit code {done.returncode}")
        passed, failed = (sum(row[at] for row in summary) for at in (1, 2))
        true(len(summary) >= scenarios and passed + failed >= checks,
             f"{passed + failed} checks in {len(summary)} scenarios, not {checks} in {scenarios}")
        notes.append(f"{passed} of {passed + failed} checks passed in {len(summary)} scenarios")


def complaints(output: str, name: str) -> str:
    _, _, rest = output.partition(f"=== Running scenario: {name} ===")
    return rest.partition("=== ")[0]


with bridge() as url:
    if check_is_up(url, "before the suite"):
        for options, scenarios, checks in RUNS:
            judge(run_suite(url, options), options, int(scenarios), int(checks))
        check_is_up(url, "after the suite")
finish()
