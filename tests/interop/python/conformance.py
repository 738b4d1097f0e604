"""The official conformance suite. It speaks Streamable HTTP only. For HTTP+SSE a bridge of two packages stands in front of
the server:

    suite ── Streamable HTTP ──▶ supergateway ── stdio ──▶ mcp-remote ── HTTP+SSE ──▶ server
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
from report import check, equal, fail, finish, ok, true

URL = os.environ["INTEROP_URL"]
PACKAGES = os.path.join(os.environ["INTEROP_PACKAGES"], "node_modules")
HTTP = "INTEROP_HTTP" in os.environ
NODE, SELECTION = sys.argv[1], sys.argv[2:4]

# What the pinned version of the suite runs; fewer would mean that it gave up on the way.
SCENARIOS, CHECKS = (int(figure) for figure in sys.argv[4:6])
# It asks whoever answers HTTP whether he looks at the Host header: that is the bridge, and the bridge does not.
OF_THE_BRIDGE = {} if HTTP else {"dns-rebinding-protection": 1}
SUITE_TIMEOUT, START_TIMEOUT = 150, 20


def script(package: str, path: str) -> str:
    return os.path.join(PACKAGES, package, path)


@contextlib.contextmanager
def bridge() -> Iterator[str]:
    """The URL of a bridge to the server. Each of its sessions is a process of mcp-remote."""
    if HTTP:
        yield URL.removesuffix("/sse") + "/mcp"
        return
    port = wire.free_port()
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


def run_suite(url: str) -> str:
    command = [NODE, script("@modelcontextprotocol/conformance", "dist/index.js"), "server", "--url", url, *SELECTION]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=SUITE_TIMEOUT)
    return done.stdout


def judge(output: str) -> None:
    """A line for each scenario of the summary, then the figures."""
    summary = re.findall(r"^[✓✗] ([\w-]+): (\d+) passed, (\d+) failed", output, re.MULTILINE)
    passed = sum(int(count) for _, count, _ in summary)
    failed = sum(int(count) for _, _, count in summary)
    for name, good, bad in summary:
        excused = OF_THE_BRIDGE.get(name, 0)
        figures = f"{good} passed, {bad} failed"
        # A pending scenario may have nothing to check.
        if int(bad) == 0 and (int(good) > 0 or HTTP):
            ok(name, figures)
        elif int(bad) <= excused:
            ok(name, f"{figures}: tests the bridge, not the server")
        else:
            fail(name, f"{figures}: {complaints(output, name)}")
    with check("the suite ran whole") as notes:
        equal((len(summary), passed + failed), (SCENARIOS, CHECKS), "(scenarios, checks)")
        notes.append(f"{passed} of {CHECKS} checks passed in {SCENARIOS} scenarios")


def complaints(output: str, name: str) -> str:
    _, _, rest = output.partition(f"=== Running scenario: {name} ===")
    return rest.partition("=== ")[0]


with bridge() as url:
    if check_is_up(url, "before the suite"):
        judge(run_suite(url))
        check_is_up(url, "after the suite")
finish()
