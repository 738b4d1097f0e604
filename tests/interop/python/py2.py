"""The Python SDK 2 (`mcp` 2.x), as an adapter for the checks and questions that both SDKs share."""

import contextlib
import sys
import warnings

import httpx2
from mcp import Client, ClientSession, MCPDeprecationWarning, MCPError, types
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

import checks
import manifest
import questions
import same
import samples
import stateless

# The methods that only older revisions have are what is tested here.
warnings.simplefilter("ignore", MCPDeprecationWarning)


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

        async with _http(cls.headers, hear) as client:
            async with streamable_http_client(url, http_client=client) as streams:
                yield streams[:2]

    Error = MCPError

    @classmethod
    @contextlib.asynccontextmanager
    async def client(cls, url: str, era: str, on_response, **callbacks):
        """A client that negotiates the era itself: "auto", or a revision that it takes for granted."""
        async def hear(response) -> None:
            on_response(response)

        async with _http(cls.headers, hear) as http:
            transport = streamable_http_client(url, http_client=http)
            async with cls.negotiate(transport, era, **callbacks) as client:
                yield client

    @staticmethod
    def negotiate(transport, era: str, **callbacks) -> Client:
        return Client(transport, mode=era, **(Sdk.patience(20) | _answers() | callbacks))

    @staticmethod
    def session(read, write, **callbacks) -> ClientSession:
        return ClientSession(read, write, **(Sdk.patience(20) | _answers() | callbacks))

    @staticmethod
    def patience(seconds: float) -> dict:
        """How long a session waits for each answer."""
        return {"read_timeout_seconds": seconds}

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
    async def tell_cancelled(_session: ClientSession) -> None:
        """This SDK has told the server by itself."""


def _http(headers: dict[str, str], hear) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30, read=300), event_hooks={"response": [hear]})


def _answers() -> dict:
    return {"sampling_callback": _sample, "elicitation_callback": _elicit, "list_roots_callback": _roots}


async def _sample(_context, _params):
    return types.CreateMessageResult(role="assistant", model="none", content=types.TextContent(type="text", text="sampled"))


async def _elicit(_context, params):
    return types.ElicitResult(action="accept", content=samples.arguments(getattr(params, "requested_schema", {})))


async def _roots(_context):
    return types.ListRootsResult(roots=[types.Root(uri="file:///sample", name="sample")])


match sys.argv[1:]:
    case ["questions"]:
        questions.run_questions(Sdk)
    case ["manifest"]:
        manifest.run_manifest(Sdk)
    case ["same"]:
        same.run_same(Sdk)
    case ["stateless"]:
        stateless.run_stateless(Sdk)
    case _:
        checks.run_checks(Sdk)
