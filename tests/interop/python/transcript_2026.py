"""The transcript of a server in 2026-07-28: what it says in results, on streams and in errors, and what it was asked."""

import json

import samples
import wire
from messages import RESULTS, SENT_BY_THE_SERVER, fitting_answer

REVISION = "2026-07-28"
META = "io.modelcontextprotocol/"
CAPABILITIES = {"roots": {}, "sampling": {"tools": {}}, "elicitation": {"form": {}, "url": {}}}
WATCHED = "test://watched-resource"

# Only these may answer with questions.
MAY_ASK = {"tools/call", "prompts/get", "resources/read"}
ROUNDS_MAX = 8

QUESTIONS = {"sampling/createMessage": ("CreateMessageRequest", "CreateMessageResult"),
             "elicitation/create": ("ElicitRequest", "ElicitResult"),
             "roots/list": ("ListRootsRequest", "ListRootsResult")}

# Errors that have a definition of their own, and what of the message that one describes.
ERRORS = {-32601: ("/error", "MethodNotFoundError"), -32602: ("/error", "InvalidParamsError"),
          -32020: ("", "HeaderMismatchError"), -32021: ("", "MissingRequiredClientCapabilityError"),
          -32022: ("", "UnsupportedProtocolVersionError")}

NOTIFICATIONS = SENT_BY_THE_SERVER | {"notifications/subscriptions/acknowledged": "SubscriptionsAcknowledgedNotification"}


class Stream(wire.Stream):
    """The reply to a POST as long as it is one: what `wire.Stream` is to `GET /sse`."""

    def __init__(self, url: str, message: dict, headers: dict[str, str]):
        self._begin(url, wire.request("POST", url, headers, json.dumps(message).encode()))


class Client:
    """A client without a session; everything that is said to it and by it goes into the transcript."""

    def __init__(self, url: str, transcript: list[dict]):
        self.url, self._transcript, self._last_id = url, transcript, 0
        # How the next questions of the server are answered; afterwards by what fits.
        self.answers: list[dict] = []
        self.asked: list[str] = []

    def request(self, method: str, params: dict | None = None, headers: dict | None = None, **meta) -> dict:
        """The complete result, after as many rounds of questions as it takes."""
        for _ in range(ROUNDS_MAX):
            answer = self.ask(method, params, headers, **meta)
            if "error" in answer:
                raise wire.WireError(f"{method} with {params} is refused: {answer['error']}")
            result = answer["result"]
            if result["resultType"] == "complete":
                return result
            responses = {key: self._answer(question) for key, question in result.get("inputRequests", {}).items()}
            state = {"requestState": result["requestState"]} if "requestState" in result else {}
            params = {**(params or {}), "inputResponses": responses, **state}
        raise wire.WireError(f"{method} with {params} asks and asks")

    def refused(self, code: int, status: int, method: str, params: dict | None = None, headers: dict | None = None,
                **meta) -> None:
        answer = self.ask(method, params, headers, **meta)
        if (answer.get("error", {}).get("code"), self.status) != (code, status):
            raise wire.WireError(f"{method} with {params}: not {code} and {status}, but {self.status}: {answer}")

    def ask(self, method: str, params: dict | None = None, headers: dict | None = None, **meta) -> dict:
        """The answer to one request, whichever it is."""
        message, fields = self.prepare(method, params, headers, **meta)
        response = wire.post(self.url, message, fields)
        self.status = response.status
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            told = [json.loads(line[6:]) for line in response.text.split("\n") if line.startswith("data: ")]
        else:
            told = [json.loads(response.text)]
        for notification in told[:-1]:
            self.note_notification(notification)
        answer = told[-1]
        if answer.get("id") != message["id"]:
            raise wire.WireError(f"an answer to {answer.get('id')!r}, not {message['id']!r}")
        self.note_answer(method, answer)
        return answer

    def prepare(self, method: str, params: dict | None = None, headers: dict | None = None, **meta) -> tuple[dict, dict]:
        """A request and its headers; of `meta`, `None` takes away what every request has."""
        self._last_id += 1
        # Both kinds of id have to come back as they were sent.
        request_id = self._last_id if self._last_id % 2 else f"request-{self._last_id}"
        meta = {f"{META}protocolVersion": REVISION, f"{META}clientCapabilities": CAPABILITIES,
                f"{META}clientInfo": {"name": "transcript", "version": "0"}, **meta}
        # Answers are judged by nobody: one of them is meant to be wrong, and the schema knows no fractions in forms.
        lawful = all(value is not None for value in meta.values()) and "inputResponses" not in (params or {})
        meta = {name: value for name, value in meta.items() if value is not None}
        message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": {**(params or {}), "_meta": meta}}
        fields = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": REVISION, "Mcp-Method": method}
        if name := (params or {}).get("name") or (params or {}).get("uri"):
            fields["Mcp-Name"] = name
        self._note(message, "client", REQUESTS.get(method) if lawful else None)
        return message, fields | (headers or {})

    def note_answer(self, method: str, answer: dict) -> None:
        if "error" in answer:
            place, definition = ERRORS[answer["error"]["code"]]
            self._note(answer, "server", None, {place: definition})
            return
        result = answer["result"]
        match result.get("resultType"):
            case "complete":
                self._note(answer, "server", RESULTS_2026[method])
            case "input_required" if method in MAY_ASK and ("inputRequests" in result or "requestState" in result):
                # Of an unknown kind is no definition: that is a failure, too.
                parts = {f"/result/inputRequests/{key}": QUESTIONS[question["method"]][0]
                         for key, question in result.get("inputRequests", {}).items()}
                self._note(answer, "server", "InputRequiredResult", parts)
            case unknown:
                raise wire.WireError(f"{method} is answered with the result type {unknown!r}: {answer}")

    def note_notification(self, notification: dict) -> None:
        if "id" in notification or notification["method"] not in NOTIFICATIONS:
            raise wire.WireError(f"this is none of the notifications: {notification}")
        self._note(notification, "server", NOTIFICATIONS[notification["method"]])

    def _answer(self, question: dict) -> dict:
        self.asked.append(question["method"])
        return self.answers.pop(0) if self.answers else fitting_answer(question)

    def _note(self, message: dict, direction: str, definition: str | None, parts: dict | None = None) -> None:
        entry = {"revision": REVISION, "direction": direction, "message": message, "parts": parts or {}}
        self._transcript.append({**entry, "def": definition} if definition else entry)

    def listed(self, method: str, member: str) -> list[dict]:
        items, params = [], {}
        while True:
            page = self.request(method, params)
            items += page[member]
            if "nextCursor" not in page:
                return items
            params = {"cursor": page["nextCursor"]}


# `initialize` and what else belongs to a session is gone; these are new.
RESULTS_2026 = {method: result for method, result in RESULTS.items() if result not in ("InitializeResult", "EmptyResult")}
RESULTS_2026 |= {"server/discover": "DiscoverResult", "subscriptions/listen": "SubscriptionsListenResult"}
REQUESTS = {method: result.removesuffix("Result") + "Request" for method, result in RESULTS_2026.items()}


def drive(sse_url: str, is_fixture: bool) -> list[dict]:
    transcript: list[dict] = []
    client = Client(sse_url.removesuffix("/sse") + "/mcp", transcript)
    found = client.request("server/discover")
    if REVISION not in found["supportedVersions"]:
        raise wire.WireError(f"{REVISION} is none of {found['supportedVersions']}")
    _drive_tools(client)
    _drive_resources(client, found["capabilities"])
    _drive_prompts(client, found["capabilities"])
    _drive_errors(client)
    if is_fixture:
        _drive_fixture(client)
    return transcript


def _drive_tools(client: Client) -> None:
    for tool in client.listed("tools/list", "tools"):
        # These change the list that is walked through here; they get a turn of their own.
        if tool["name"].startswith("test_trigger"):
            continue
        arguments, schemas = samples.arguments(tool["inputSchema"]), tool["inputSchema"].get("properties", {})
        headers = {f"Mcp-Param-{schemas[name]['x-mcp-header']}": value for name, value in arguments.items()
                   if "x-mcp-header" in schemas.get(name, {})}
        # What the server may say on the way is asked for.
        client.request("tools/call", {"name": tool["name"], "arguments": arguments}, headers,
                       progressToken=f"progress of {tool['name']}", **{f"{META}logLevel": "debug"})
        client.ask("tools/call", {"name": tool["name"], "arguments": {"surplus": None}})
    client.refused(-32602, 200, "tools/call", {"name": "no-such-tool", "arguments": {}})


def _drive_resources(client: Client, capabilities: dict) -> None:
    templates = client.listed("resources/templates/list", "resourceTemplates")
    uris = [resource["uri"] for resource in client.listed("resources/list", "resources")]
    for uri in uris + [samples.expand(template["uriTemplate"]) for template in templates]:
        client.request("resources/read", {"uri": uri})
    for template in templates if "completions" in capabilities else []:
        client.request("completion/complete", {"ref": {"type": "ref/resource", "uri": template["uriTemplate"]},
                                               "argument": {"name": "id", "value": "1"}})
    client.refused(-32602, 200, "resources/read", {"uri": "no-such:resource"})


def _drive_prompts(client: Client, capabilities: dict) -> None:
    for prompt in client.listed("prompts/list", "prompts"):
        arguments = samples.prompt_arguments(prompt)
        client.request("prompts/get", {"name": prompt["name"], "arguments": arguments})
        if "completions" in capabilities and arguments:
            client.request("completion/complete", {"ref": {"type": "ref/prompt", "name": prompt["name"]},
                                                   "argument": {"name": next(iter(arguments)), "value": ""}})
    client.refused(-32602, 200, "prompts/get", {"name": "no-such-prompt"})


def _drive_errors(client: Client) -> None:
    client.refused(-32601, 404, "no/such/method")
    client.refused(-32601, 404, "ping")
    client.refused(-32602, 200, "tools/list", {"cursor": "no-such-cursor"})
    client.refused(-32602, 400, "tools/list", **{f"{META}clientCapabilities": None})
    client.refused(-32020, 400, "tools/list", headers={"Mcp-Method": "prompts/list"})
    client.refused(-32020, 400, "tools/list", headers={"MCP-Protocol-Version": "2025-11-25"})
    client.refused(-32022, 400, "tools/list", headers={"MCP-Protocol-Version": "2099-01-01"},
                   **{f"{META}protocolVersion": "2099-01-01"})


def _drive_fixture(client: Client) -> None:
    """What no listing leads to: answers of every kind, errors of handlers, changes while somebody listens."""
    nobody = {f"{META}clientCapabilities": {}}
    client.refused(-32021, 400, "tools/call", {"name": "test_missing_capability", "arguments": {}}, **nobody)
    client.refused(-32021, 400, "tools/call", {"name": "test_elicitation", "arguments": {"message": "sample"}}, **nobody)
    client.refused(-32020, 400, "tools/call", {"name": "test_x_mcp_header", "arguments": {"region": "here"}})

    for action in ["decline", "cancel"]:
        client.answers = [{"action": action}]
        _call(client, "test_elicitation", {"message": "sample"})
    use = {"type": "tool_use", "id": "use-1", "name": "weather", "input": {"city": "Ulm"}}
    client.answers = [{"role": "assistant", "model": "none", "content": [use], "stopReason": "toolUse"}]
    _call(client, "test_sampling_tools")
    client.answers = [{"surplus": "no message at all"}]
    if not client.request("tools/call", {"name": "test_sampling", "arguments": {"prompt": "sample"}}).get("isError"):
        raise wire.WireError("an answer that is none is taken")
    client.asked = []
    _call(client, "test_input_required_result_multiple_inputs")
    if sorted(client.asked) != sorted(QUESTIONS):
        raise wire.WireError(f"asked {client.asked}")

    state = client.ask("tools/call", {"name": "test_elicitation", "arguments": {"message": "one"}})["result"]["requestState"]
    client.refused(-32602, 200, "tools/call", {"name": "test_elicitation", "arguments": {"message": "another"},
                                               "inputResponses": {}, "requestState": state})
    _drive_listening(client)


def _drive_listening(client: Client) -> None:
    # Nothing is asked for, so nothing can come: the result is here at once.
    client.request("subscriptions/listen", {"notifications": {}})
    wanted = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True,
              "resourceSubscriptions": [WATCHED]}
    message, headers = client.prepare("subscriptions/listen", {"notifications": wanted})
    with Stream(client.url, message, headers) as stream:
        def heard(method: str) -> None:
            notification = stream.next_message()
            client.note_notification(notification)
            about = notification["params"]["_meta"][f"{META}subscriptionId"]
            if (notification["method"], about) != (method, message["id"]):
                raise wire.WireError(f"{notification} instead of {method}")

        heard("notifications/subscriptions/acknowledged")
        # Twice: what the first one adds the second one removes.
        for _ in range(2):
            _call(client, "test_trigger_tool_change")
            heard("notifications/tools/list_changed")
            _call(client, "test_trigger_prompt_change")
            heard("notifications/prompts/list_changed")
        _call(client, "test_update_watched_resource")
        heard("notifications/resources/updated")


def _call(client: Client, tool: str, arguments: dict | None = None) -> None:
    result = client.request("tools/call", {"name": tool, "arguments": arguments or {}})
    if result.get("isError"):
        raise wire.WireError(f"{tool}: {result}")
