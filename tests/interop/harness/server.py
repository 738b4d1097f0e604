"""Builds the server under test, starts it on a free loopback port, and checks that it ends well."""

import collections
import functools
import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import wire

REPOSITORY = Path(__file__).resolve().parents[3]
BUILD_TIMEOUT = 1200
START_TIMEOUT = 10
SHUTDOWN_GRACE = 3


def build(kind: str, name: str, *options: str, package: Path = REPOSITORY) -> Path:
    """The executable of that target, where cargo says it is, so that every way to move the target directory works. The kind is
    `bin`, `example` or `bench`. With a bench cargo builds the package's binaries, too."""
    command = ["cargo", "build", "--locked", "--message-format=json-render-diagnostics", f"--{kind}", name, *options]
    done = subprocess.run(command, cwd=package, check=True, stdout=subprocess.PIPE, text=True, timeout=BUILD_TIMEOUT)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    [made] = [message["executable"] for message in messages if message.get("executable")
              and message["target"]["kind"] == [kind] and message["target"]["name"] == name]
    return Path(made)


class Server:
    """One server process. Its standard error is kept, so that a failure can show the end of it."""

    def __init__(self, binary: Path, limits: dict[str, str] | None, options: list[str], manifest: Path | None = None,
                 token: str | None = None, child: list[str | Path] | None = None, before: list[str | Path] = ()):
        """Without `limits`, `binary` is an example: it takes the address first, or after the arguments `before`, and promises
        nothing about signals. The server of a manifest may want a token. With `child` the binary is a bridge in front of that
        command."""
        self.is_binary = limits is not None
        self.port = wire.free_port()
        self._fields = {"Authorization": f"Bearer {token}"} if token else {}
        served = ["serve", str(manifest)] if manifest else ["bridge"] if child else []
        command = [str(binary), *map(str, before), *served, *(["--listen"] if self.is_binary else []), self.address, *options]
        for name, value in (limits or {}).items():
            command += ["--limit", f"{name}={value}"]
        command += ["--", *map(str, child)] if child else []
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.tail = collections.deque(maxlen=40)
        threading.Thread(target=self._read_stderr, daemon=True).start()
        try:
            self._wait_until_ready()
        except BaseException:
            self.process.kill()
            raise

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}/sse"

    def stop(self) -> str | None:
        """Ends the server; the complaint if it does not end as it should, with a stream still open."""
        if self.process.poll() is not None:
            return f"the server ended by itself, exit code {self.process.returncode}"
        if not self.is_binary:
            self.process.terminate()
            self._reap()
            return None
        try:
            stream = wire.Stream(self.url, self._fields)
        except (OSError, wire.WireError) as error:
            self.process.terminate()
            self._reap()
            return f"no stream just before the shutdown: {error}"
        with stream:
            self.process.terminate()
            if not self._reap():
                return f"still running {SHUTDOWN_GRACE + 2} s after SIGTERM"
        if self.process.returncode != 0:
            return f"exit code {self.process.returncode} after SIGTERM"
        return None

    def _reap(self) -> bool:
        try:
            self.process.wait(SHUTDOWN_GRACE + 2)
            return True
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
            return False

    def _read_stderr(self) -> None:
        for line in self.process.stderr:
            self.tail.append(line.decode(errors="replace").rstrip())

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                time.sleep(0.1)
                raise RuntimeError("the server did not start:\n" + "\n".join(self.tail))
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("the server does not listen")


def binary() -> Path:
    given = os.environ.get("MCP_RILL_BIN")
    return Path(given) if given else build("bin", "mcp-rill", "--release")


@functools.cache
def example(name: str) -> Path:
    given = os.environ.get("MCP_RILL_EXAMPLES")
    return Path(given) / name if given else build("example", name, "--release")


@functools.cache
def fixture() -> Path:
    """The server that the official suite expects: an example, too."""
    given = os.environ.get("MCP_RILL_FIXTURE")
    return Path(given) if given else example("conformance")


@functools.cache
def soak() -> Path:
    """The bench, which has the server that tells its counters."""
    given = os.environ.get("MCP_RILL_SOAK")
    return Path(given) if given else build("bench", "soak", "--release")
