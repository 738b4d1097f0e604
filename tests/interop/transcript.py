"""Drives a server through every legacy revision over HTTP+SSE and writes down each message that it sends.

`transcript.py` prints the transcript of the server at $INTEROP_URL, a line of JSON per message;
`transcript.py --check CHECKER SCHEMAS` hands it to the checker instead.
"""

import json
import os
import subprocess
import sys

import samples
import wire

URL = os.environ["INTEROP_URL"]
REVISIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]
CHECK_TIMEOUT = 60

RESULTS = {
    "initialize": "InitializeResult",
    "ping": "EmptyResult",
    "tools/list": "ListToolsResult",
    "tools/call": "CallToolResult",
    "resources/list": "ListResourcesResult",
    "resources/templates/list": "ListResourceTemplatesResult",
    "resources/read": "ReadResourceResult",
    "resources/subscribe": "EmptyResult",
    "resources/unsubscribe": "EmptyResult",
    "prompts/list": "ListPromptsResult",
    "prompts/get": "GetPromptResult",
    "completion/complete": "CompleteResult",
    "logging/setLevel": "EmptyResult",
}

SENT_BY_THE_SERVER = {
    "ping": "PingRequest",
    "sampling/createMessage": "CreateMessageRequest",
    "elicitation/create": "ElicitRequest",
    "roots/list": "ListRootsRequest",
    "notifications/cancelled": "CancelledNotification",
    "notifications/message": "LoggingMessageNotification",
    "notifications/progress": "ProgressNotification",
    "notifications/prompts/list_changed": "PromptListChangedNotification",
    "notifications/resources/list_changed": "ResourceListChangedNotification",
    "notifications/resources/updated": "ResourceUpdatedNotification",
    "notifications/tools/list_changed": "ToolListChangedNotification",
    "notifications/elicitation/complete": "ElicitationCompleteNotification",
}


class Session:
    """One session in one revision; everything that the server says in it goes into the transcript."""

    def __init__(self, revision: str, transcript: list[dict]):
        self._revision, self._transcript = revision, transcript
        self._stream = wire.Stream(URL)
        self._last_id = 0

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_error) -> None:
        self._stream.close()

    def request(self, method: str, params: dict | None = None) -> dict:
        answer = self.ask(method, params)
        if "error" in answer:
            raise wire.WireError(f"{method} with {params} is refused: {answer['error']}")
        return answer["result"]

    def refused(self, method: str, params: dict | None = None) -> None:
        if "error" not in self.ask(method, params):
            raise wire.WireError(f"{method} with {params} is not refused")

    def ask(self, method: str, params: dict | None = None) -> dict:
        """The answer, whichever it is."""
        self._last_id += 1
        # Both kinds of id have to come back as they were sent.
        request_id = self._last_id if self._last_id % 2 else f"request-{self._last_id}"
        message = {"jsonrpc": "2.0", "id": request_id, "method": method}
        self._post(message if params is None else {**message, "params": params})
        while True:
            answer = self._stream.next_message()
            if "method" in answer:
                self._note(answer, SENT_BY_THE_SERVER.get(answer["method"]))
                if "id" in answer:
                    self._reply(answer)
                continue
            self._note(answer, RESULTS.get(method) if "result" in answer else None)
            if answer.get("id") != request_id:
                raise wire.WireError(f"an answer to {answer.get('id')!r}, not {request_id!r}")
            return answer

    def notify(self, method: str) -> None:
        self._post({"jsonrpc": "2.0", "method": method})

    def listed(self, method: str, member: str) -> list[dict]:
        items, params = [], {}
        while True:
            page = self.request(method, params)
            items += page[member]
            if "nextCursor" not in page:
                return items
            params = {"cursor": page["nextCursor"]}

    def _reply(self, question: dict) -> None:
        match question["method"]:
            case "ping":
                result = {}
            case "sampling/createMessage":
                result = {"role": "assistant", "model": "none", "content": {"type": "text", "text": "sampled"}}
            case "elicitation/create":
                result = {"action": "accept", "content": samples.arguments(question["params"]["requestedSchema"])}
            case "roots/list":
                result = {"roots": [{"uri": "file:///sample"}]}
            case unknown:
                raise wire.WireError(f"the server asks {unknown}")
        self._post({"jsonrpc": "2.0", "id": question["id"], "result": result})

    def _post(self, message: dict) -> None:
        response = wire.post(self._stream.endpoint, message, {"MCP-Protocol-Version": self._revision})
        if response.status != 202:
            raise wire.WireError(f"status {response.status} to {message}: {response.text}")

    def _note(self, message: dict, definition: str | None) -> None:
        entry = {"revision": self._revision, "direction": "server", "message": message}
        self._transcript.append({**entry, "def": definition} if definition else entry)


def drive(revision: str) -> list[dict]:
    transcript: list[dict] = []
    with Session(revision, transcript) as session:
        asked = {"roots": {}, "sampling": {}} | ({"elicitation": {}} if revision >= "2025-06-18" else {})
        found = session.request("initialize", {"protocolVersion": revision, "capabilities": asked,
                                               "clientInfo": {"name": "transcript", "version": "0"}})
        if found["protocolVersion"] != revision:
            raise wire.WireError(f"{revision} negotiated {found['protocolVersion']}")
        session.notify("notifications/initialized")
        session.request("ping")
        if "logging" in found["capabilities"]:
            session.request("logging/setLevel", {"level": "debug"})
        drive_tools(session)
        drive_resources(session, found["capabilities"].get("resources", {}))
        drive_prompts(session, found["capabilities"])
        session.refused("no/such/method")
        session.refused("tools/list", {"cursor": "no-such-cursor"})
    return transcript


def drive_tools(session: Session) -> None:
    for tool in session.listed("tools/list", "tools"):
        call = {"name": tool["name"], "arguments": samples.arguments(tool["inputSchema"])}
        session.request("tools/call", {**call, "_meta": {"progressToken": f"progress of {tool['name']}"}})
        # A refused call is a result with `isError` or an error: servers differ, and both forms are judged.
        session.ask("tools/call", {"name": tool["name"], "arguments": {"surplus": None}})
    session.ask("tools/call", {"name": "no-such-tool", "arguments": {}})


def drive_resources(session: Session, capability: dict) -> None:
    resources = [resource["uri"] for resource in session.listed("resources/list", "resources")]
    templates = session.listed("resources/templates/list", "resourceTemplates")
    for uri in resources + [samples.expand(template["uriTemplate"]) for template in templates]:
        session.request("resources/read", {"uri": uri})
    if capability.get("subscribe") and resources:
        session.request("resources/subscribe", {"uri": resources[0]})
        session.request("resources/unsubscribe", {"uri": resources[0]})
    session.refused("resources/read", {"uri": "no-such:resource"})


def drive_prompts(session: Session, capabilities: dict) -> None:
    for prompt in session.listed("prompts/list", "prompts"):
        arguments = samples.prompt_arguments(prompt)
        session.request("prompts/get", {"name": prompt["name"], "arguments": arguments})
        if "completions" in capabilities and arguments:
            session.request("completion/complete", {"ref": {"type": "ref/prompt", "name": prompt["name"]},
                                                    "argument": {"name": next(iter(arguments)), "value": ""}})
    session.refused("prompts/get", {"name": "no-such-prompt"})


def main() -> int:
    entries = [entry for revision in REVISIONS for entry in drive(revision)]
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    if sys.argv[1:2] != ["--check"]:
        print(text, end="")
        return 0
    checker, schemas = sys.argv[2:]
    return subprocess.run([checker, schemas], input=text.encode(), timeout=CHECK_TIMEOUT).returncode


if __name__ == "__main__":
    sys.exit(main())
