"""A manifest's server and the MCP Inspector's command line, which can answer no questions: each method in a process of its
own."""

import json
import os

from inspector_command import inspect, invoke
from report import check, equal, finish, true

TOOLS = ["say", "fail", "dot", "facts", "count", "sure", "anyway", "wait", "ended", "note", "change"]


def call(name: str, **arguments: object) -> dict:
    return inspect("tools/call", "--tool-name", name, "--tool-args-json", json.dumps(arguments))


def told_wrong(name: str, **arguments: object) -> str:
    """What the Inspector prints of a call that fails."""
    done = invoke("tools/call", "--tool-name", name, "--tool-args-json", json.dumps(arguments))
    true(done.returncode != 0, done.stdout)
    return done.stdout + done.stderr


with check("lists"):
    equal([tool["name"] for tool in inspect("tools/list")["tools"]], TOOLS)
    uris = {resource["uri"] for resource in inspect("resources/list")["resources"]}
    equal(uris, {"x:///note", "x:///release", "docs:///a.txt", "docs:///dot.png", "docs:///sub/b.md"})
    true("x:///said/{word}" in [one["uriTemplate"] for one in inspect("resources/templates/list")["resourceTemplates"]], "no template")
    equal([prompt["name"] for prompt in inspect("prompts/list")["prompts"]], ["slow", "chat"])
with check("calls with right arguments"):
    equal(call("say", text="é $(id)", times=2)["content"], [{"type": "text", "text": "é $(id), 2"}])
    equal(call("facts")["structuredContent"], {"name": "router", "up": True})
    equal(call("dot")["content"][0]["mimeType"], "image/png")
    equal(call("count")["content"][0]["text"].strip(), "line 1\nline 2\nline 3")
with check("wrong arguments, and a command that fails"):
    true("times" in told_wrong("say", text="x", times=4), "the argument is not named")
    true("went wrong" in told_wrong("fail"), "no standard error")
with check("a confirmation: a client that cannot ask"):
    true("elicitation" in told_wrong("sure", host="wan"), "what is missing is not named")
    equal(call("anyway")["content"][0]["text"], "went on")
with check("resources, also of what is not allowed"):
    equal(inspect("resources/read", "--uri", "docs:///sub/b.md")["contents"][0]["text"], "# Below\n")
    equal(inspect("resources/read", "--uri", "x:///said/hello")["contents"][0]["text"], "said hello")
    for path in ["%2e%2e/note.txt", "link", ".hidden"]:
        true(invoke("resources/read", "--uri", f"docs:///{path}").returncode != 0, path)
with check("a prompt"):
    prompt = inspect("prompts/get", "--prompt-name", "slow", "--prompt-args", "host=wan")
    equal(prompt["messages"][0]["content"]["text"], "Find out why wan is slow.")
    true(invoke("prompts/get", "--prompt-name", "slow").returncode != 0, "without its argument")
if "INTEROP_TOKENS" in os.environ and "INTEROP_URL" in os.environ:
    url, tokens = os.environ["INTEROP_GUARDED_URL"], json.loads(os.environ["INTEROP_TOKENS"])
    with check("principals"):
        for name, there in [("ada", True), ("bob", False)]:
            tools = inspect("tools/list", "--header", f"Authorization: Bearer {tokens[name]}", url=url)["tools"]
            equal("secret" in [tool["name"] for tool in tools], there)
        true(invoke("tools/list", url=url).returncode != 0, "without a token")
finish()
