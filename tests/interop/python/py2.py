"""The Python SDK 2 (`mcp` 2.x), as an adapter for the checks that both SDKs share."""

import warnings

from mcp import ClientSession, MCPDeprecationWarning, MCPError, types
from mcp.client.sse import sse_client

import checks
import samples

# The methods that only older revisions have are what is tested here.
warnings.simplefilter("ignore", MCPDeprecationWarning)


class Sdk:
    sse_client = staticmethod(sse_client)
    Error = MCPError

    @staticmethod
    def session(read, write) -> ClientSession:
        return ClientSession(read, write, read_timeout_seconds=20, sampling_callback=_sample,
                             elicitation_callback=_elicit, list_roots_callback=_roots)

    @staticmethod
    def page(cursor: str | None):
        return types.PaginatedRequestParams(cursor=cursor) if cursor is not None else None

    @staticmethod
    def prompt_reference(name: str):
        return types.PromptReference(type="ref/prompt", name=name)

    @staticmethod
    async def request(session: ClientSession, method: str):
        return await session.send_request(types.Request(method=method, params={}), types.EmptyResult)


async def _sample(_context, _params):
    return types.CreateMessageResult(role="assistant", model="none", content=types.TextContent(type="text", text="sampled"))


async def _elicit(_context, params):
    return types.ElicitResult(action="accept", content=samples.arguments(getattr(params, "requested_schema", {})))


async def _roots(_context):
    return types.ListRootsResult(roots=[types.Root(uri="file:///sample", name="sample")])


checks.run_checks(Sdk)
