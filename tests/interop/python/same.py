"""A server of another maker behind a bridge: what a client gets there, and what it gets from the same server as its own child."""

import asyncio
import base64
import contextlib
import json
import os
import re

import samples
from checks import ERA, LISTS, NEWEST_REVISION, plain
from questions import Client, sampled
from report import check, equal, finish, true

CHILD = json.loads(os.environ.get("INTEROP_CHILD", "[]"))
# Their results depend on the process, or on what a call before it did.
NOT_THE_SAME = {"get-env", "gzip-file-as-resource", "move_file", "toggle-simulated-logging", "toggle-subscriber-updates", "get-roots-list"}
# What only results of one era have.
OF_ONE_ERA = ("resultType", "ttlMs", "cacheScope", "tasks", "execution", "io.modelcontextprotocol/serverInfo")
# Of moments, and of sessions.
MOMENTS = [r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d{4} [\d:]+ GMT[^\"\\]*", r"\d{4}-\d\d-\d\dT[\d:.]+Z", r"\d{1,2}:\d\d:\d\d( [AP]M)?",
           r"for session [\w-]+"]


def run_same(sdk) -> None:
    asyncio.run(_run(sdk))
    finish()


def _on_stdio(sdk):
    """The SDK with the server as its child."""
    def start(_url: str, **_options):
        child = sdk.StdioServerParameters(command=CHILD[0], args=CHILD[1:], env=dict(os.environ))
        return sdk.stdio_client(child, errlog=open(os.devnull, "w"))

    def negotiate(_url: str, era: str, _on_response, **callbacks):
        return sdk.negotiate(start(""), era, **callbacks)

    ways = {"sse_client": start, "http_client": start, "client": negotiate}
    return type("OnStdio", (sdk,), {name: staticmethod(way) for name, way in ways.items()})


async def _run(sdk) -> None:
    async with Client(_on_stdio(sdk)) as direct, Client(sdk) as bridged:
        for client in (direct, bridged):
            client.answers = {
                "sampling/createMessage": lambda _params: sampled("heard"),
                "elicitation/create": lambda params: {"action": "accept", "content": samples.arguments(params.get("requestedSchema", {}))},
                "roots/list": lambda _params: {"roots": [{"uri": "file:///sample", "name": "sample"}]},
            }
        await _compare(direct, bridged)


async def _compare(direct: Client, bridged: Client) -> None:
    async def same(name: str, act) -> object:
        with check(name) as notes:
            wanted, found = await _outcome(act(direct)), await _outcome(act(bridged))
            equal(found, wanted, "the result")
            notes.append(json.dumps(wanted)[:80])
            return wanted
        return {}

    with check("it says what it is"):
        found, wanted = bridged.initialized, direct.initialized
        for name in ["serverInfo", "capabilities"]:
            equal(_plain(found[name]), _plain(wanted[name]), name)
        if ERA:
            equal(found["protocolVersion"], NEWEST_REVISION)
    lists = {}
    for method, member, _key in LISTS:
        told = await same(method, lambda client, method=method: getattr(client.session, method)())
        lists[member] = told.get(member, [])
    for tool in lists["tools"]:
        name, arguments = tool["name"], _arguments(tool)
        if name in NOT_THE_SAME:
            continue
        await same(f"tool {name}", lambda client, name=name, arguments=arguments: client.client.call_tool(name, arguments))
    for resource in lists["resources"]:
        await same(f"resource {resource['uri']}", lambda client, uri=resource["uri"]: client.client.read_resource(uri))
    for template in lists["resourceTemplates"]:
        uri = re.sub(r"\{\w+\}", "1", template["uriTemplate"])
        await same(f"resource {uri}", lambda client, uri=uri: client.client.read_resource(uri))
    for prompt in lists["prompts"]:
        arguments = samples.prompt_arguments(prompt)
        await same(f"prompt {prompt['name']}",
                   lambda client, name=prompt["name"], arguments=arguments: client.client.get_prompt(name, arguments))
    await same("an unknown tool", lambda client: client.client.call_tool("no_such_tool", {}))
    slow = next((tool["name"] for tool in lists["tools"] if tool["name"] in ("trigger-long-running-operation", "count")), None)
    if slow:
        with check("progress comes with its call"):
            heard = []

            async def hear(progress: float, total: float | None, _message: str | None) -> None:
                heard.append((progress, total))

            await bridged.client.call_tool(slow, {"duration": 0.6, "steps": 3}, progress_callback=hear)
            true(heard and heard[-1] == (3, 3), f"heard {heard}")


async def _outcome(call) -> object:
    """What came of it, without what differs from one moment to the next, and from one era to the other."""
    try:
        result = plain(await call)
    except Exception as error:
        result = {"failed": str(error)}
    text = json.dumps(_decoded(result))
    for moment in MOMENTS:
        text = re.sub(moment, "MOMENT", text)
    return _plain(json.loads(text))


def _decoded(value: object) -> object:
    """The value with blobs that are text decoded, since a text can say when it was made."""
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    if not isinstance(value, dict):
        return value
    decoded = {name: _decoded(one) for name, one in value.items()}
    if isinstance(decoded.get("blob"), str):
        with contextlib.suppress(UnicodeDecodeError):
            decoded["blob"] = {"text": base64.b64decode(decoded["blob"]).decode()}
    return decoded


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    # A process that several clients have together is not told that one of them can be sent to a page.
    if ERA and isinstance(value.get("tools"), list):
        value = value | {"tools": [tool for tool in value["tools"] if tool["name"] != "trigger-url-elicitation"]}
    kept = {name: _plain(one) for name, one in value.items() if name not in OF_ONE_ERA}
    if kept.get("_meta") == {}:
        del kept["_meta"]
    return kept


def _arguments(tool: dict) -> dict:
    name, made = tool["name"], samples.arguments(tool["inputSchema"])
    if name == "trigger-long-running-operation":
        return {"duration": 0.6, "steps": 3}
    if "server-filesystem" in " ".join(CHILD):
        folder = CHILD[-1]
        path = folder if re.search("director|search|tree", name) else os.path.join(folder, "a.txt")
        fixed = {"path": path, "paths": [path, os.path.join(folder, "none.txt")], "content": "one\ntwo\n", "pattern": "**/*.txt"}
        made |= {key: value for key, value in fixed.items() if key in made}
        made.pop("tail", None)
    return made
