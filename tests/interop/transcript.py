"""Drives servers through every revision and writes down each message: the legacy ones over HTTP+SSE, 2026-07-28 by POST.

`transcript.py` prints the transcript of the server at $INTEROP_URL, a line of JSON per message, and that of the fixture
at $INTEROP_FIXTURE_URL, if there is one; `transcript.py --check CHECKER SCHEMAS` hands them to the checker instead.
"""

import functools
import json
import os
import subprocess
import sys

import samples
import transcript_2026
import wire
from messages import RESULTS, SENT_BY_THE_SERVER, fitting_answer

URL = os.environ["INTEROP_URL"]
FIXTURE_URL = os.environ.get("INTEROP_FIXTURE_URL")
REVISIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]
CHECK_TIMEOUT = 60

# Before 2025-06-18 no client can show one.
ASKS_WITH_A_FORM = {"test_input_required_result_prompt"}


class Session:
    """One session in one revision; everything that the server says in it goes into the transcript."""

    def __init__(self, url: str, revision: str, transcript: list[dict]):
        self.revision, self._transcript = revision, transcript
        self._stream = wire.Stream(url)
        self._last_id = 0
        # The methods of the requests and notifications that came, for those who wait for one.
        self._came: list[str] = []
        # How the next questions of the server are answered; afterwards by what fits.
        self.answers: list[dict] = []

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
        request_id = self.send(method, params)
        while (answer := self._next()) is None:
            pass
        self._note(answer, RESULTS.get(method) if "result" in answer else None)
        if answer.get("id") != request_id:
            raise wire.WireError(f"an answer to {answer.get('id')!r}, not {request_id!r}")
        return answer

    def send(self, method: str, params: dict | None = None) -> int | str:
        """Posts a request and gives its id."""
        self._last_id += 1
        # Both kinds of id have to come back as they were sent.
        request_id = self._last_id if self._last_id % 2 else f"request-{self._last_id}"
        message = {"jsonrpc": "2.0", "id": request_id, "method": method}
        self._post(message if params is None else {**message, "params": params})
        return request_id

    def notify(self, method: str, params: dict | None = None) -> None:
        message = {"jsonrpc": "2.0", "method": method}
        self._post(message if params is None else {**message, "params": params})

    def await_method(self, method: str) -> None:
        """Waits for a request or notification of the server, unless one came already that nobody waited for."""
        while method not in self._came:
            if (answer := self._next()) is not None:
                raise wire.WireError(f"{answer} instead of {method}")
        self._came = [one for one in self._came if one != method]

    def _next(self) -> dict | None:
        """Takes the next message; it is given back if it is an answer."""
        message = self._stream.next_message()
        if "method" not in message:
            return message
        self._came.append(message["method"])
        self._note(message, SENT_BY_THE_SERVER.get(message["method"]))
        if "id" in message:
            self._reply(message)
        return None

    def listed(self, method: str, member: str) -> list[dict]:
        items, params = [], {}
        while True:
            page = self.request(method, params)
            items += page[member]
            if "nextCursor" not in page:
                return items
            params = {"cursor": page["nextCursor"]}

    def _reply(self, question: dict) -> None:
        answer = self.answers.pop(0) if self.answers else {"result": fitting_answer(question)}
        if answer:
            self._post({"jsonrpc": "2.0", "id": question["id"], **answer})

    def _post(self, message: dict) -> None:
        response = wire.post(self._stream.endpoint, message, {"MCP-Protocol-Version": self.revision})
        if response.status != 202:
            raise wire.WireError(f"status {response.status} to {message}: {response.text}")

    def _note(self, message: dict, definition: str | None) -> None:
        entry = {"revision": self.revision, "direction": "server", "message": message}
        self._transcript.append({**entry, "def": definition} if definition else entry)


def capabilities(revision: str) -> dict:
    found: dict = {"roots": {}, "sampling": {}}
    if revision >= "2025-06-18":
        found["elicitation"] = {}
    if revision >= "2025-11-25":
        found |= {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}}
    return found


def drive(url: str, revision: str) -> list[dict]:
    transcript: list[dict] = []
    with Session(url, revision, transcript) as session:
        found = session.request("initialize", {"protocolVersion": revision, "capabilities": capabilities(revision),
                                               "clientInfo": {"name": "transcript", "version": "0"}})
        if found["protocolVersion"] != revision:
            raise wire.WireError(f"{revision} negotiated {found['protocolVersion']}")
        session.notify("notifications/initialized")
        session.request("ping")
        if "logging" in found["capabilities"]:
            session.request("logging/setLevel", {"level": "debug"})
        drive_tools(session)
        drive_resources(session, found["capabilities"])
        drive_prompts(session, found["capabilities"])
        session.refused("no/such/method")
        session.refused("tools/list", {"cursor": "no-such-cursor"})
        if url == FIXTURE_URL:
            drive_fixture(session)
    return transcript


def drive_tools(session: Session) -> None:
    for tool in session.listed("tools/list", "tools"):
        # These change the list that is walked through here; they get a turn of their own.
        if tool["name"].startswith("test_trigger"):
            continue
        call = {"name": tool["name"], "arguments": samples.arguments(tool["inputSchema"])}
        session.request("tools/call", {**call, "_meta": {"progressToken": f"progress of {tool['name']}"}})
        # A refused call is a result with `isError` or an error: servers differ, and both forms are judged.
        session.ask("tools/call", {"name": tool["name"], "arguments": {"surplus": None}})
    session.ask("tools/call", {"name": "no-such-tool", "arguments": {}})


def drive_resources(session: Session, capabilities: dict) -> None:
    resources = [resource["uri"] for resource in session.listed("resources/list", "resources")]
    templates = session.listed("resources/templates/list", "resourceTemplates")
    for uri in resources + [samples.expand(template["uriTemplate"]) for template in templates]:
        session.request("resources/read", {"uri": uri})
    if "completions" in capabilities:
        for template in templates:
            session.request("completion/complete", {"ref": {"type": "ref/resource", "uri": template["uriTemplate"]},
                                                    "argument": {"name": "id", "value": "1"}})
    if capabilities["resources"].get("subscribe") and resources:
        session.request("resources/subscribe", {"uri": resources[0]})
        session.request("resources/unsubscribe", {"uri": resources[0]})
    session.refused("resources/read", {"uri": "no-such:resource"})


def drive_prompts(session: Session, capabilities: dict) -> None:
    for prompt in session.listed("prompts/list", "prompts"):
        arguments = samples.prompt_arguments(prompt)
        if prompt["name"] in ASKS_WITH_A_FORM and session.revision < "2025-06-18":
            session.refused("prompts/get", {"name": prompt["name"]})
            continue
        session.request("prompts/get", {"name": prompt["name"], "arguments": arguments})
        if "completions" in capabilities and arguments:
            session.request("completion/complete", {"ref": {"type": "ref/prompt", "name": prompt["name"]},
                                                    "argument": {"name": next(iter(arguments)), "value": ""}})
    session.refused("prompts/get", {"name": "no-such-prompt"})


def drive_fixture(session: Session) -> None:
    """What no listing leads to: answers of every kind, calls that are cancelled, changes while the session is open."""
    call = functools.partial(_call, session)
    drive_answers(session, call)

    # A cancelled call takes its question back.
    session.answers = [{}]
    request_id = session.send("tools/call", {"name": "test_sampling", "arguments": {"prompt": "never mind"}})
    session.await_method("sampling/createMessage")
    session.notify("notifications/cancelled", {"requestId": request_id, "reason": "changed my mind"})
    session.await_method("notifications/cancelled")

    session.request("resources/subscribe", {"uri": "test://watched-resource"})
    call("test_update_watched_resource")
    session.await_method("notifications/resources/updated")
    session.request("resources/read", {"uri": "test://watched-resource"})
    session.request("resources/unsubscribe", {"uri": "test://watched-resource"})
    # Twice: what the first one adds the second one removes.
    for _ in range(2):
        call("test_trigger_tool_change")
        session.await_method("notifications/tools/list_changed")
        session.listed("tools/list", "tools")
        call("test_trigger_prompt_change")
        session.await_method("notifications/prompts/list_changed")
        session.listed("prompts/list", "prompts")

    call("test_tool_with_progress", _meta={"progressToken": 7})
    session.await_method("notifications/progress")
    call("test_logging_tool")
    session.await_method("notifications/message")


def drive_answers(session: Session, call) -> None:
    sampling = {"prompt": "sample"}
    session.answers = [{"error": {"code": -1, "message": "User rejected sampling request"}}]
    call("test_sampling", sampling, refused=True)
    session.answers = [{"result": {"surplus": "no message at all"}}]
    call("test_sampling", sampling, refused=True)
    call("test_input_required_result_multiple_inputs", refused=session.revision < "2025-06-18")
    if session.revision >= "2025-06-18":
        for action in ["decline", "cancel"]:
            session.answers = [{"result": {"action": action}}]
            call("test_elicitation", {"message": "sample"})
        call("test_input_required_result_multi_round")
    if session.revision >= "2025-11-25":
        use = {"type": "tool_use", "id": "use-1", "name": "weather", "input": {"city": "Ulm"}}
        session.answers = [{"result": {"role": "assistant", "model": "none", "content": [use], "stopReason": "toolUse"}}]
        call("test_sampling_tools")
        call("test_elicitation_url")


def _call(session: Session, tool: str, arguments: dict | None = None, refused: bool = False, **more) -> None:
    result = session.request("tools/call", {"name": tool, "arguments": arguments or {}, **more})
    if result.get("isError", False) != refused:
        raise wire.WireError(f"{tool} in {session.revision}: {result}")


def main() -> int:
    urls = list(dict.fromkeys(url for url in [URL, FIXTURE_URL] if url))
    entries = [entry for url in urls for revision in REVISIONS for entry in drive(url, revision)]
    entries += [entry for url in urls for entry in transcript_2026.drive(url, is_fixture=url == FIXTURE_URL)]
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    if sys.argv[1:2] != ["--check"]:
        print(text, end="")
        return 0
    checker, schemas = sys.argv[2:]
    return subprocess.run([checker, schemas], input=text.encode(), timeout=CHECK_TIMEOUT).returncode


if __name__ == "__main__":
    sys.exit(main())
