"""What a client without a session can do: the fixture, over 2026-07-28, with an SDK that negotiates it."""

import asyncio
import time

import anyio

import questions
from checks import NEWEST_REVISION, plain
from questions import WATCHED, Client, eventually, sampled
from report import check, equal, finish, true

LOG_LEVEL = "io.modelcontextprotocol/logLevel"
PARALLEL = 20
TEXT = "This is a simple text response for testing."


def run_stateless(sdk) -> None:
    asyncio.run(_run(sdk))
    finish()


async def _run(sdk) -> None:
    async with Client(sdk) as client:
        with check("the era is the newest one"):
            equal(client.client.protocol_version, NEWEST_REVISION)
            equal(client.client.mode, NEWEST_REVISION)
        await _check_content(client)
        await _check_resources(client)
        await _check_prompts(client)
        await questions.check_completion(sdk, client)
        await _check_errors(sdk, client)
        await questions.check_sampling(client)
        await _check_refusal(sdk, client)
        await questions.check_forms(client)
        await questions.check_rounds(client)
        await questions.check_progress(client)
        await _check_logs(client)
        await _check_listening(client)
        await _check_cancelling(client)
        await _check_headers(client)
        await _check_incapable(sdk)
        await _check_parallel(sdk)
        with check("no request was part of a session") as notes:
            for response in client.responses:
                true("mcp-session-id" not in response.headers, "the server gave a session")
                equal(response.request.headers["mcp-protocol-version"], NEWEST_REVISION)
            equal(client.surprises, [], "what the SDK did not expect")
            notes.append(f"{len(client.responses)} requests")


async def _check_content(client: Client) -> None:
    def text(text: str) -> dict:
        return {"type": "text", "text": text}

    def resource(**members: str) -> dict:
        return {"type": "resource", "resource": members}

    # Of what is encoded, the beginning tells the format.
    png = {"type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo"}
    contents = {
        "test_simple_text": [text(TEXT)],
        "test_image_content": [png],
        "test_audio_content": [{"type": "audio", "mimeType": "audio/wav", "data": "UklGRi"}],
        "test_embedded_resource": [resource(uri="test://embedded-resource", mimeType="text/plain",
                                            text="This is an embedded resource content.")],
        "test_multiple_content_types": [text("Multiple content types test:"), png,
                                        resource(uri="test://mixed-content-resource", mimeType="application/json",
                                                 text='{"test":"data","value":123}')],
    }
    listed = {tool["name"] for tool in plain(await client.client.list_tools())["tools"]}
    for name, wanted in contents.items():
        with check(f"content of {name}"):
            true(name in listed, "not listed")
            found = (await client.call(name))["content"]
            equal(len(found), len(wanted), "the number of blocks")
            for one, like in zip(found, wanted):
                true(one.get("data", "").startswith(like.get("data", "")), f"data is {one.get('data')}")
                equal({**one, "data": None}, {**like, "data": None})


async def _check_resources(client: Client) -> None:
    async def read(uri: str) -> dict:
        [contents] = plain(await client.client.read_resource(uri))["contents"]
        return contents

    with check("resources and templates are listed and read"):
        uris = [one["uri"] for one in plain(await client.client.list_resources())["resources"]]
        equal(uris, ["test://static-text", "test://static-binary", WATCHED])
        equal((await read("test://static-text"))["text"], "This is the content of the static text resource.")
        true((await read("test://static-binary"))["blob"].startswith("iVBORw0KGgo"), "not a picture")
        [template] = plain(await client.client.list_resource_templates())["resourceTemplates"]
        uri = template["uriTemplate"].replace("{id}", "123")
        equal(await read(uri), {"uri": uri, "mimeType": "application/json",
                                "text": '{"id":"123","templateTest":true,"data":"Data for ID: 123"}'})


async def _check_prompts(client: Client) -> None:
    async def got(name: str, arguments: dict | None = None) -> dict:
        return plain(await client.client.get_prompt(name, arguments))["messages"][0]["content"]

    with check("prompts are listed and got"):
        true("test_simple_prompt" in [one["name"] for one in plain(await client.client.list_prompts())["prompts"]], "not listed")
        equal(await got("test_simple_prompt"), {"type": "text", "text": "This is a simple prompt for testing."})
        equal((await got("test_prompt_with_arguments", {"arg1": "é", "arg2": "2"}))["text"],
              "Prompt with arguments: arg1='é', arg2='2'")
        equal((await got("test_prompt_with_embedded_resource", {"resourceUri": "test://mine"}))["resource"]["uri"], "test://mine")
        equal((await got("test_prompt_with_image"))["mimeType"], "image/png")


async def _check_errors(sdk, client: Client) -> None:
    with check("a tool that fails is read by the model"):
        equal(await client.refusal("test_error_handling"), "This tool intentionally returns an error for testing")
    with check("a wrong argument is named") as notes:
        notes.append(await client.refusal("test_sampling", {"prompt": 5}))
        true("prompt" in notes[0], notes[0])
    unknown = [("tool", lambda: client.call("no_such_tool"), -32602),
               ("prompt", lambda: client.client.get_prompt("no_such_prompt"), -32602),
               ("resource", lambda: client.client.read_resource("test://no-such"), -32602),
               ("method", lambda: sdk.request(client.session, "no/such/method"), -32601)]
    for what, request, code in unknown:
        with check(f"an unknown {what} is {code}"):
            error = await _refused(sdk, request)
            equal(error.code, code, "code")
            equal(error.data, {"uri": "test://no-such"} if what == "resource" else None, "data")
    with check("what sessions are for is not there"):
        for request in [client.session.send_ping, lambda: client.session.set_logging_level("debug"),
                        lambda: client.session.subscribe_resource(WATCHED)]:
            await _refused((sdk.Error, RuntimeError), request)


async def _refused(errors, request):
    """The error of a request that has to fail."""
    try:
        await request()
    except getattr(errors, "Error", errors) as error:
        return getattr(error, "error", error)
    raise AssertionError("it succeeded")


async def _check_refusal(sdk, client: Client) -> None:
    with check("a client that refuses to answer does not ask again"):
        client.answers["sampling/createMessage"] = lambda _params: "no model today"
        before = len(client.responses)
        error = await _refused(sdk, lambda: client.call("test_sampling", {"prompt": "hello"}))
        equal(error.message, "no model today")
        equal(len(client.responses), before + 1, "the number of requests")


async def _check_logs(client: Client) -> None:
    async def heard_at(level: str | None) -> list[str]:
        client.told.clear()
        await client.text("test_logging_tool", meta={LOG_LEVEL: level} if level else None)
        return [log["level"] for log in client.notifications("notifications/message")]

    with check("logs are per request: from its level on, and none without one"):
        for at, level in enumerate(questions.LEVELS):
            equal(await heard_at(level), questions.LEVELS[at:])
        equal(await heard_at(None), [])


async def _check_listening(client: Client) -> None:
    async def next_event(subscription) -> str:
        async with asyncio.timeout(questions.PATIENCE):
            return repr(await anext(subscription))

    updated, tools = f"ResourceUpdated(uri='{WATCHED}')", "ToolsListChanged()"
    with check("listening: what was asked for arrives, and nothing else"):
        async with client.client.listen(tools_list_changed=True, resource_subscriptions=[WATCHED]) as subscription:
            equal(plain(subscription.honored), {"toolsListChanged": True, "resourceSubscriptions": [WATCHED]})
            for there in [True, False]:
                # Had this one been told, it would come first.
                await client.text("test_trigger_prompt_change")
                await client.text("test_trigger_tool_change")
                equal(await next_event(subscription), tools)
                listed = plain(await client.client.list_tools())["tools"]
                equal("test_dynamic_tool" in [one["name"] for one in listed], there)
            version = (await client.text("test_update_watched_resource")).lower()
            equal(await next_event(subscription), updated)
            text = plain(await client.client.read_resource(WATCHED))["contents"][0]["text"]
            true(text.endswith(version), f"{text}, {version}")
        equal(sorted({one["method"] for one in client.told if "changed" in one["method"] or "updated" in one["method"]}),
              ["notifications/resources/updated", "notifications/tools/list_changed"])
    with check("listening twice: each stream carries its own"):
        async with client.client.listen(prompts_list_changed=True) as prompts, \
                client.client.listen(resource_subscriptions=[WATCHED]) as resources:
            await client.text("test_update_watched_resource")
            await client.text("test_trigger_prompt_change")
            equal(await next_event(prompts), "PromptsListChanged()")
            equal(await next_event(resources), updated)
            await client.text("test_trigger_prompt_change")
            equal(await next_event(prompts), "PromptsListChanged()")


async def _check_cancelling(client: Client) -> None:
    async def cancelled() -> int:
        return int(await client.text("test_wait_cancelled"))

    with check("a call that is given up stops"):
        before = await cancelled()
        with anyio.move_on_after(0.3) as scope:
            await client.call("test_wait", {"seconds": 30})
        true(scope.cancelled_caught, "the call ended by itself")

        async def seen() -> bool:
            return await cancelled() == before + 1

        await eventually(seen, "the tool sees that it is cancelled")
    with check("a slow call holds nobody up") as notes:
        call = asyncio.create_task(client.text("test_wait", {"seconds": 1}))
        await asyncio.sleep(0.1)
        begun = time.monotonic()
        await client.text("test_simple_text")
        ms = (time.monotonic() - begun) * 1000
        true(ms < 500, f"{ms} ms")
        equal(await call, "waited")
        notes.append(f"{ms:.1f} ms")


async def _check_headers(client: Client) -> None:
    with check("arguments that are headers, too"):
        await client.client.list_tools()
        for region in ["eu-west-1", "Zürich ✓", " padded ", "", "=?base64?no?="]:
            equal(await client.text("test_x_mcp_header", {"region": region}), f"region: {region}")
            true("mcp-param-region" in client.responses[-1].request.headers, f"no header for {region!r}")


async def _check_incapable(sdk) -> None:
    with check("a client that can answer nothing is told so") as notes:
        async with Client(sdk, can_answer=False) as client:
            error = await _refused(sdk, lambda: client.call("test_missing_capability"))
            equal((error.code, error.data), (-32021, {"requiredCapabilities": {"sampling": {}}}))
            notes.append(error.message)
            for tool, arguments, word in [("test_sampling", {"prompt": "hello"}, "sampling"),
                                          ("test_elicitation", {"message": "hello"}, "elicitation"),
                                          ("test_input_required_result_list_roots", {}, "roots")]:
                error = await _refused(sdk, lambda: client.call(tool, arguments))
                true(word in error.message, error.message)
            equal(await client.text("test_input_required_result_capabilities"), "Answers: ")


async def _check_parallel(sdk) -> None:
    """Every call has its question open before any is answered, and they are answered in another order."""
    asked, everyone = [], asyncio.Event()

    async def answer(params: dict) -> dict:
        question = params["messages"][0]["content"]["text"]
        asked.append(question)
        if len(asked) == PARALLEL:
            everyone.set()
        await everyone.wait()
        await asyncio.sleep(int(question[5:]) * 7 % PARALLEL * 0.005)
        return sampled(f"heard {question}")

    with check(f"{PARALLEL} calls at once on one client: no answer crosses"):
        async with asyncio.timeout(60), Client(sdk) as client:
            client.answers["sampling/createMessage"] = answer
            prompts = [f"call {number}" for number in range(PARALLEL)]
            told = await asyncio.gather(*(client.text("test_sampling", {"prompt": prompt}) for prompt in prompts))
            equal(told, [f"LLM response: heard {prompt}" for prompt in prompts])
