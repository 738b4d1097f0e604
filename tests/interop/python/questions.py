"""What only a server that asks, reports and changes can show: the fixture, with clients of both Python SDKs."""

import asyncio
import json
import os
import time
from collections.abc import Callable

import anyio
from mcp import types

from checks import HTTP, URL, Connection, content_text, plain
from report import check, equal, finish, true

SESSIONS = 20
WATCHED = "test://watched-resource"
LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
PATIENCE = 5
ISOLATED = "INTEROP_ISOLATED" in os.environ


class Client:
    """A connected client whose answers are set by each check, and what it was told."""

    def __init__(self, sdk, can_answer: bool = True, url: str | None = URL):
        self._sdk = sdk
        # By the method of the question; what they give is the result, as on the wire, or the text of an error.
        self.answers: dict[str, Callable] = {}
        self.told: list[dict] = []
        self.surprises: list[Exception] = []
        callbacks = {name: self._answering(method, result) for name, method, result in CALLBACKS}
        self._connection = Connection(sdk, url, message_handler=self._hear,
                                      **(callbacks if can_answer else dict.fromkeys(callbacks)))

    async def __aenter__(self) -> "Client":
        connection = await self._connection.__aenter__()
        self.session, self.client, self.responses = connection.session, connection.client, connection.responses
        self.initialized = connection.initialized
        return self

    async def __aexit__(self, *error) -> None:
        await self._connection.__aexit__(*error)

    async def call(self, tool: str, arguments: dict | None = None, **more) -> dict:
        return plain(await self.client.call_tool(tool, arguments or {}, **more))

    async def text(self, tool: str, arguments: dict | None = None, **more) -> str:
        """The text of a call that has to succeed."""
        result = await self.call(tool, arguments, **more)
        true(not result.get("isError"), f"{tool}: {content_text(result)}")
        return content_text(result)

    async def refusal(self, tool: str, arguments: dict | None = None) -> str:
        """The text of a call that the model has to read as an error."""
        result = await self.call(tool, arguments)
        true(result.get("isError"), f"{tool} succeeded: {content_text(result)}")
        return content_text(result)

    def notifications(self, method: str) -> list[dict]:
        return [one.get("params", {}) for one in self.told if one["method"] == method]

    async def until(self, method: str) -> list[dict]:
        await eventually(lambda: self.notifications(method), method)
        return self.notifications(method)

    def _answering(self, method: str, result: type) -> Callable:
        async def answer(_context, params=None):
            given = self.answers[method](plain(params) if params else {})
            if asyncio.iscoroutine(given):
                given = await given
            return types.ErrorData(code=-1, message=given) if isinstance(given, str) else result.model_validate(given)

        return answer

    async def _hear(self, message) -> None:
        if isinstance(message, Exception):
            self.surprises.append(message)
            return
        message = getattr(message, "root", message)
        if hasattr(message, "method"):
            self.told.append(plain(message))


CALLBACKS = [("sampling_callback", "sampling/createMessage", types.CreateMessageResult),
             ("elicitation_callback", "elicitation/create", types.ElicitResult),
             ("list_roots_callback", "roots/list", types.ListRootsResult)]


def sampled(text: str) -> dict:
    return {"role": "assistant", "model": "none", "content": {"type": "text", "text": text}}


def accept(**content: object) -> Callable:
    return lambda _params: {"action": "accept", "content": content}


async def eventually(condition: Callable, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if await found if asyncio.iscoroutine(found) else found:
            return
        true(time.monotonic() < deadline, f"not within {PATIENCE} s: {what}")
        await asyncio.sleep(0.02)


def run_questions(sdk) -> None:
    asyncio.run(_run(sdk))
    finish()


async def _run(sdk) -> None:
    async with Client(sdk) as client:
        await check_sampling(client)
        await _check_refusal(client)
        await check_forms(client)
        await check_rounds(client)
        await check_progress(client)
        await _check_logs(client)
        await _check_changes(sdk, client)
        await _check_cancelling(sdk, client)
        await _check_waiting(client)
        await check_completion(sdk, client)
        await _check_incapable(sdk)
        await _check_crossing(sdk)
        with check("the first session is still well"):
            equal(await client.text("test_simple_text"), "This is a simple text response for testing.")
            equal(client.surprises, [], "what the SDK did not expect")


async def check_sampling(client: Client) -> None:
    with check("sampling: the prompt arrives, the answer comes back"):
        def answer(params: dict) -> dict:
            equal((params["maxTokens"], params["messages"][0]["role"]), (100, "user"))
            return sampled("about " + params["messages"][0]["content"]["text"])

        client.answers["sampling/createMessage"] = answer
        equal(await client.text("test_sampling", {"prompt": "é ✓ 𝄞"}), "LLM response: about é ✓ 𝄞")
    with check("roots"):
        client.answers["roots/list"] = lambda _params: {"roots": [{"uri": "file:///a", "name": "a"}, {"uri": "file:///b"}]}
        equal(await client.text("test_input_required_result_list_roots"), "2 roots: file:///a file:///b")


async def _check_refusal(client: Client) -> None:
    with check("sampling: a client that refuses is told to the model") as notes:
        client.answers["sampling/createMessage"] = lambda _params: "no model today"
        notes.append(await client.refusal("test_sampling", {"prompt": "hello"}))
        true("no model today" in notes[0], notes[0])


async def check_forms(client: Client) -> None:
    form, form_text = "elicitation/create", {"message": "Who are you?"}
    with check("a form: accept, decline, cancel"):
        user = {"username": "testuser", "email": "test@example.com"}

        def answer(params: dict) -> dict:
            equal((params["message"], params["requestedSchema"]["required"]), ("Who are you?", ["username", "email"]))
            return {"action": "accept", "content": user}

        client.answers[form] = answer
        told = json.dumps(user, separators=(",", ":"))
        equal(await client.text("test_elicitation", form_text), f"User response: action=accept, content={told}")
        for action in ["decline", "cancel"]:
            client.answers[form] = lambda _params, action=action: {"action": action}
            equal(await client.text("test_elicitation", form_text), f"User response: action={action}, content={{}}")
    with check("a form with defaults: what is left out has them"):
        filled = {"name": "John Doe", "age": 31, "score": 95.5, "status": "pending", "verified": True}
        client.answers[form] = accept(age=31, status="pending")
        told = json.dumps(filled, separators=(",", ":"))
        equal(await client.text("test_elicitation_sep1034_defaults"), f"Elicitation completed: action=accept, content={told}")
    with check("a form with every kind of enum"):
        chosen = {"untitledSingle": "option2", "titledSingle": "value1", "legacyEnum": "opt3",
                  "untitledMulti": ["option1", "option3"], "titledMulti": ["value2"]}
        client.answers[form] = accept(**chosen)
        told = await client.text("test_elicitation_sep1330_enums")
        equal(json.loads(told[told.index("{"):]), chosen)
    with check("a form filled in wrongly: the field is named") as notes:
        client.answers[form] = accept(size="s", toppings=["olives"], email="a@example.com", count=99)
        notes.append(await client.refusal("test_elicitation_order"))
        true("count" in notes[0], notes[0])


async def check_rounds(client: Client) -> None:
    client.answers |= {"elicitation/create": accept(name="Ada"), "sampling/createMessage": lambda _params: sampled("Good day"),
                       "roots/list": lambda _params: {"roots": [{"uri": "file:///a"}]}}
    with check("three questions at once"):
        told = await client.text("test_input_required_result_multiple_inputs")
        equal(told, "Good day (Ada), 1 roots: file:///a")
    with check("two questions, one after the other"):
        asked = []

        def answer(params: dict) -> dict:
            asked.append(params["message"])
            return {"action": "accept", "content": {"name": "Ada"} if len(asked) == 1 else {"color": "green"}}

        client.answers["elicitation/create"] = answer
        equal(await client.text("test_input_required_result_multi_round"), "Ada likes green")
        equal(asked, ["Step 1: What is your name?", "Step 2: What is your favorite color?"])
    with check("what is remembered between two runs"):
        client.answers["elicitation/create"] = accept(ok=True)
        equal(await client.text("test_input_required_result_request_state"), "state-ok, confirmed: true")
    with check("a prompt that asks"):
        client.answers["elicitation/create"] = accept(context="a test")
        prompt = plain(await client.client.get_prompt("test_input_required_result_prompt"))
        equal(prompt["messages"][0]["content"]["text"], "Use this context: a test")


async def check_progress(client: Client) -> None:
    async def call() -> str:
        heard = []

        async def hear(progress: float, total: float | None, _message: str | None) -> None:
            heard.append((progress, total))

        told = await client.text("test_tool_with_progress", progress_callback=hear)
        equal(heard, [(0, 100), (50, 100), (100, 100)])
        return told

    with check("progress: each call gets its own, increasing"):
        told = await asyncio.gather(*(call() for _ in range(3)))
        equal(len(set(told)), 3, "the number of tokens")
    with check("progress: none without a token"):
        client.told.clear()
        equal(await client.text("test_tool_with_progress"), "progress token: none")
        equal(client.notifications("notifications/progress"), [])


async def _check_logs(client: Client) -> None:
    for at, level in enumerate(LEVELS):
        with check(f"logs from {level} on"):
            await client.session.set_logging_level(level)
            client.told.clear()
            await client.text("test_logging_tool")
            heard = client.notifications("notifications/message")
            equal([log["level"] for log in heard], LEVELS[at:])
            true(all(log["logger"] == "test" and log["data"].endswith(log["level"]) for log in heard), str(heard))
    with check("logs of a slow tool come before its result"):
        await client.session.set_logging_level("debug")
        client.told.clear()
        await client.text("test_tool_with_logging")
        heard = [log["data"] for log in client.notifications("notifications/message")]
        equal(heard, ["Tool execution started", "Tool processing data", "Tool execution completed"])


async def _check_changes(sdk, client: Client) -> None:
    session, updated = client.session, "notifications/resources/updated"
    with check("updates of a resource come while subscribed"):
        await session.subscribe_resource(WATCHED)
        client.told.clear()
        version = (await client.text("test_update_watched_resource")).lower()
        equal([one["uri"] for one in await client.until(updated)], [WATCHED])
        text = plain(await session.read_resource(WATCHED))["contents"][0]["text"]
        true(text.endswith(version), f"{text}, {version}")
        await session.unsubscribe_resource(WATCHED)
        client.told.clear()
        await client.text("test_update_watched_resource")
        await asyncio.sleep(0.2)
        equal(client.notifications(updated), [])
    with check("list changes of tools and prompts reach every session"):
        async with Client(sdk) as other:
            # Over Streamable HTTP a client opens its stream on the side, and says nothing of it.
            await asyncio.sleep(0.3 if HTTP else 0)
            for kind in ["tool", "prompt"]:
                changed = f"notifications/{kind}s/list_changed"
                for there in [True, False]:
                    client.told.clear()
                    other.told.clear()
                    await client.text(f"test_trigger_{kind}_change")
                    await client.until(changed)
                    # Behind a bridge the other one has a process of its own, in which nothing has changed.
                    if not ISOLATED:
                        await other.until(changed)
                    listed = plain(await getattr(session, f"list_{kind}s")())[f"{kind}s"]
                    equal(f"test_dynamic_{kind}" in [one["name"] for one in listed], there)


async def _check_cancelling(sdk, client: Client) -> None:
    async def cancelled() -> int:
        return int(await client.text("test_wait_cancelled"))

    with check("a slow call that is cancelled stops, and is not answered"):
        before = await cancelled()
        with anyio.move_on_after(0.3) as scope:
            await client.call("test_wait", {"seconds": 30})
        true(scope.cancelled_caught, "the call ended by itself")
        await sdk.tell_cancelled(client.session)

        async def seen() -> bool:
            return await cancelled() == before + 1

        await eventually(seen, "the tool sees that it is cancelled")
        await asyncio.sleep(0.1)
        equal(client.surprises, [], "what the SDK did not expect")


async def _check_waiting(client: Client) -> None:
    with check("a ping during a slow tool is answered at once") as notes:
        call = asyncio.create_task(client.text("test_wait", {"seconds": 1}))
        await asyncio.sleep(0.1)
        begun = time.monotonic()
        await client.session.send_ping()
        ms = (time.monotonic() - begun) * 1000
        true(ms < 500, f"{ms} ms")
        equal(await call, "waited")
        notes.append(f"{ms:.1f} ms")
    with check("a reply from another thread"):
        calls = [client.text("test_reconnection") for _ in range(3)]
        equal(await asyncio.gather(*calls), ["Finished after a while"] * 3)


async def check_completion(sdk, client: Client) -> None:
    async def values(reference, name: str, value: str) -> list[str]:
        found = plain(await client.session.complete(reference, {"name": name, "value": value}))
        return found["completion"]["values"]

    with check("completion"):
        prompt = sdk.prompt_reference("test_prompt_with_arguments")
        equal(await values(prompt, "arg1", "test"), ["testValue1", "testing"])
        equal(await values(prompt, "arg2", "test"), [])
        template = types.ResourceTemplateReference(type="ref/resource", uri="test://template/{id}/data")
        equal(await values(template, "id", "12"), ["12", "123"])


async def _check_incapable(sdk) -> None:
    with check("a client that can answer nothing is told so") as notes:
        async with Client(sdk, can_answer=False) as client:
            for tool, arguments, word in [("test_sampling", {"prompt": "hello"}, "sampling"),
                                          ("test_elicitation", {"message": "hello"}, "elicitation"),
                                          ("test_input_required_result_list_roots", {}, "roots")]:
                told = await client.refusal(tool, arguments)
                true(word in told, told)
                notes[:] = [told]
            equal(await client.text("test_input_required_result_capabilities"), "Answers: ")


async def _check_crossing(sdk) -> None:
    asked, everyone = [], asyncio.Event()

    async def one_session(number: int) -> None:
        async def answer(params: dict) -> dict:
            # Every session has its question open before any is answered, and they are answered in another order.
            asked.append(number)
            if len(asked) == SESSIONS:
                everyone.set()
            await everyone.wait()
            await asyncio.sleep(number * 7 % SESSIONS * 0.005)
            return sampled(f"{number} heard {params['messages'][0]['content']['text']}")

        async with Client(sdk) as client:
            client.answers["sampling/createMessage"] = answer
            told = await client.text("test_sampling", {"prompt": f"call {number}"})
            equal(told, f"LLM response: {number} heard call {number}")

    with check(f"{SESSIONS} sessions with a question each: no answer crosses"):
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for number in range(SESSIONS):
                group.create_task(one_session(number))
