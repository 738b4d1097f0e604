"""The official conformance suite against our client. For each scenario it starts a server, and this script as the client, with the
server's URL as its argument and the scenario's name in the environment.

    this script, with Node ──▶ suite ──▶ this script, with a URL ──▶ mcp-rill call URL …
"""

import json
import os
import re
import shlex
import subprocess
import sys

from report import check, equal, fail, finish, ok

TIMEOUT = 60


class Program:
    """The verbs of the program, in the era that the suite asks for."""

    def __init__(self, url: str):
        self.binary, self.url = os.environ["INTEROP_BINARY"], url
        self.era = "2026" if os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "").startswith("2026") else "2025"

    def run(self, verb: str, *words: str) -> str:
        command = [self.binary, verb, self.url, *words, "--era", self.era]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT)
        if done.returncode:
            sys.exit(f"{shlex.join(command)}: exit code {done.returncode}")
        return done.stdout

    def listed(self, kind: str) -> list[dict]:
        return json.loads(self.run("list", "--json"))[kind]


def everything(program: Program) -> None:
    """Calls, reads and gets all that is listed and needs nothing but text."""
    for tool in program.listed("tools"):
        needed = [f"{name}=x" for name in tool["inputSchema"].get("required", [])]
        program.run("call", tool["name"], *needed)
    for resource in program.listed("resources"):
        program.run("read", resource["uri"])
    for prompt in program.listed("prompts"):
        needed = [f"{one['name']}=x" for one in prompt.get("arguments", []) if one.get("required")]
        program.run("prompt", prompt["name"], *needed)


def retries(program: Program) -> None:
    for tool in program.listed("tools"):
        program.run("call", tool["name"], "--answer", "confirmed=true")


def custom_headers(program: Program) -> None:
    for call in json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])["toolCalls"]:
        program.run("call", call["name"], "--json-args", json.dumps(call["arguments"]))


def valid_tools(program: Program) -> None:
    for tool in program.listed("tools"):
        program.run("call", tool["name"], *(f"{name}=x" for name in tool["inputSchema"]["required"]))


def schemas(program: Program) -> None:
    [schema] = [tool["inputSchema"] for tool in program.listed("tools") if tool["name"] == "json_schema_2020_12_tool"]
    program.run("call", "json_schema_echo", f"schema:={json.dumps(schema)}")


# What the client does in each scenario.
SCENARIOS = {
    "initialize": lambda program: program.run("list"),
    "tools_call": lambda program: program.run("call", "add_numbers", "a=5", "b=3"),
    "elicitation-sep1034-client-defaults":
        lambda program: program.run("call", "test_client_elicitation_defaults", "--answer", "name=John Doe"),
    "sse-retry": lambda program: program.run("call", "test_reconnection"),
    "request-metadata": lambda program: program.run("list"),
    "sep-2322-client-request-state": retries,
    "http-standard-headers": everything,
    "http-custom-headers": custom_headers,
    "http-invalid-tool-headers": valid_tools,
    "json-schema-ref-no-deref": lambda program: program.run("list"),
    "json-schema-2020-12-preservation": schemas,
}


def run_suite(node: str) -> None:
    suite = [node, os.path.join(os.environ["INTEROP_PACKAGES"], "node_modules", "@modelcontextprotocol", "conformance", "dist",
                                "index.js")]
    command = shlex.join([sys.executable, __file__])
    listed = subprocess.run([*suite, "list", "--client"], stdout=subprocess.PIPE, text=True, check=True, timeout=TIMEOUT).stdout
    scenarios = re.findall(r"^ +- ([\w./-]+) \[([^\]]+)\]$", listed, re.MULTILINE)
    # The client has no OAuth, and extensions are no part of a revision.
    scenarios = [(name, versions) for name, versions in scenarios if not name.startswith("auth/") and versions != "extension"]
    with check("every scenario is known") as notes:
        equal(sorted(name for name, _ in scenarios), sorted(SCENARIOS), "scenarios")
        notes.append(f"{len(scenarios)} scenarios")
    for name, versions in scenarios:
        for version in versions.split(","):
            done = subprocess.run([*suite, "client", "--command", command, "--scenario", name, "--spec-version", version],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=TIMEOUT)
            figures = re.search(r"^Passed: (\d+)/(\d+), 0 failed, 0 warnings$", done.stdout, re.MULTILINE)
            if done.returncode == 0 and figures and figures[1] == figures[2] != "0":
                ok(f"{name}, {version}", f"{figures[1]} checks")
            else:
                fail(f"{name}, {version}", f"exit code {done.returncode}: {done.stdout[-2000:]}")


scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO")
if scenario:
    SCENARIOS[scenario](Program(sys.argv[1]))
else:
    run_suite(sys.argv[1])
    finish()
