"""The Python SDK 1 (`mcp` 1.x), as an adapter for the checks and questions that both SDKs share."""

import contextlib
import sys
from datetime import timedelta

import httpx
from mcp import ClientSession, McpError, types
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

import awkward
import checks
import manifest
import questions
import same
import samples


class Sdk:
    stdio_client, StdioServerParameters = staticmethod(stdio_client), StdioServerParameters
    # Header fields of every request.
    headers: dict[str, str] = {}

    @classmethod
    def sse_client(cls, url: str, **options):
        return sse_client(url, headers=cls.headers, **options)

    @classmethod
    @contextlib.asynccontextmanager
    async def http_client(cls, url: str, on_session_created):
        async def hear(response) -> None:
            if "mcp-session-id" in response.headers:
                on_session_created(response.headers["mcp-session-id"])

        timeout = httpx.Timeout(30, read=300)
        async with httpx.AsyncClient(headers=cls.headers, timeout=timeout, event_hooks={"response": [hear]}) as client:
            async with streamable_http_client(url, http_client=client) as streams:
                yield streams[:2]

    Error = McpError
    # This SDK leaves a call without an answer when its stream ends, up to the caller's own timeout.

    @staticmethod
    def session(read, write, **callbacks) -> ClientSession:
        usual = {"sampling_callback": _sample, "elicitation_callback": _elicit, "list_roots_callback": _roots}
        return ClientSession(read, write, **(Sdk.patience(20) | usual | callbacks))

    @staticmethod
    def patience(seconds: float) -> dict:
        """How long a session waits for each answer."""
        return {"read_timeout_seconds": timedelta(seconds=seconds)}

    @staticmethod
    def page(cursor: str | None):
        return types.PaginatedRequestParams(cursor=cursor) if cursor is not None else None

    @staticmethod
    def prompt_reference(name: str):
        return types.PromptReference(type="ref/prompt", name=name)

    @staticmethod
    async def request(session: ClientSession, method: str):
        return await session.send_request(types.Request(method=method, params={}), types.EmptyResult)

    @staticmethod
    async def tell_cancelled(session: ClientSession) -> None:
        """This SDK does not tell the server that the last request was given up."""
        params = types.CancelledNotificationParams(requestId=session._request_id - 1)
        await session.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))


async def _sample(_context, _params):
    return types.CreateMessageResult(role="assistant", model="none", content=types.TextContent(type="text", text="sampled"))


async def _elicit(_context, params):
    return types.ElicitResult(action="accept", content=samples.arguments(getattr(params, "requestedSchema", {})))


async def _roots(_context):
    return types.ListRootsResult(roots=[types.Root(uri="file:///sample", name="sample")])


runs = {"questions": questions.run_questions, "awkward": awkward.run_awkward, "manifest": manifest.run_manifest,
        "same": same.run_same}
runs.get("".join(sys.argv[1:]), checks.run_checks)(Sdk)
