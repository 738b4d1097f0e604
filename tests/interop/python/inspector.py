"""The MCP Inspector's command line: each method in a process of its own, its output read as JSON."""

import samples
from inspector_command import ERA, inspect, invoke
from report import check, equal, finish, true

def listed(method: str, member: str) -> list[dict]:
    items = []
    with check(method) as notes:
        items = inspect(method)[member]
        true(items or member != "tools", "no tools")
        notes.append(f"{len(items)} items")
    return items


def check_tools() -> None:
    names = [tool["name"] for tool in listed("tools/list", "tools")]
    with check("the pages are joined"):
        true({"echo", "add"} <= set(names), names)
        equal(len(set(names)), len(names), "the number of different names")
    with check("tools/call echo"):
        for text in ["hello", "é ✓ 𝄞"]:
            result = inspect("tools/call", "--tool-name", "echo", "--tool-arg", f"text={text}")
            equal(result["content"], [{"type": "text", "text": text}])
    with check("tools/call add"):
        result = inspect("tools/call", "--tool-name", "add", "--tool-args-json", '{"a": 2, "b": 3}')
        # Only results of the newest era say whose they are.
        equal("_meta" in result, bool(ERA), "the server's name in the result")
        equal(float(result["content"][0]["text"]), 5)
    with check("tools/call with a wrong argument is an error"):
        done = invoke("tools/call", "--tool-name", "echo", "--tool-args-json", '{"text": 5}')
        true(done.returncode != 0, done.stdout)
        true("text" in done.stdout + done.stderr, done.stdout + done.stderr)


def check_resources() -> None:
    uris = [resource["uri"] for resource in listed("resources/list", "resources")]
    uris += [samples.expand(template["uriTemplate"]) for template in listed("resources/templates/list", "resourceTemplates")]
    for uri in uris[:2] + uris[-1:]:
        with check(f"resources/read {uri}"):
            for one in inspect("resources/read", "--uri", uri)["contents"]:
                true("text" in one or "blob" in one, one)
    with check("resources/read of an unknown resource is an error"):
        true(invoke("resources/read", "--uri", "no-such:resource").returncode != 0, "exit code 0")


def check_prompts() -> None:
    for prompt in listed("prompts/list", "prompts")[:2]:
        with check(f"prompts/get {prompt['name']}"):
            pairs = [f"{name}={value}" for name, value in samples.prompt_arguments(prompt).items()]
            arguments = ["--prompt-args", *pairs] if pairs else []
            true(inspect("prompts/get", "--prompt-name", prompt["name"], *arguments)["messages"], "no messages")
    with check("prompts/get of an unknown prompt is an error"):
        true(invoke("prompts/get", "--prompt-name", "no-such-prompt").returncode != 0, "exit code 0")


check_tools()
check_resources()
check_prompts()
finish()
