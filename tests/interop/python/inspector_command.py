"""The MCP Inspector's command line: each method in a process of its own, its output read as JSON."""

import json
import os
import subprocess
import sys

from report import true

ERA = os.environ.get("INTEROP_ERA")
LAUNCHER = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
NODE = sys.argv[1]


def inspect(method: str, *arguments: str, url: str | None = None) -> dict:
    done = invoke(method, *arguments, url=url)
    true(done.returncode == 0, f"exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)["result"]


def invoke(method: str, *arguments: str, url: str | None = None) -> subprocess.CompletedProcess:
    command = [NODE, os.path.join(os.environ["INTEROP_PACKAGES"], LAUNCHER), "--cli", *_server(url), "--format", "json",
               "--method", method, *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)


def _server(url: str | None) -> list[str]:
    """The server of the stage, or the one at a URL."""
    url = url or os.environ.get("INTEROP_URL")
    if url is None:
        return [os.environ["INTEROP_BINARY"], "serve", os.environ["INTEROP_MANIFEST"], "--stdio"]
    if ERA:
        return ["--server-url", url.removesuffix("/sse") + "/mcp", "--transport", "http", "--protocol-era", ERA]
    return ["--server-url", url, "--transport", "sse"]
