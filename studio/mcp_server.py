"""MCP tools: the page's named calls for agents, those that only read by default, the others behind a switch.

Gradio's MCP server turns named calls into tools, and makes them over its own API. Here it is reached only with the key
of the API (studio/api_switch.py), which the middleware checks. It is available if the optional package `mcp` is
installed (requirements-mcp.txt), but not on a Space, where only a browser can sign in as the owner.
"""

import importlib.util
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from core.access.roles import Caller, Role, Way
from core.serve.api import MAX_BODY_BYTES
from core.serve.errors import ApiError
from core.web.origin import RefusalError, check_origin, path_of

if TYPE_CHECKING:
    from gradio_client import Client

    from studio.authorized_blocks import AuthorizedBlocks

MCP_PATH = "/gradio_api/mcp"
_MAX_EXAMPLES = 20
# Named calls that change no file and start no work that goes on. `choose_dataset` only changes what later calls read.
READ_ONLY = frozenset(
    {
        "chat",
        "check_run",
        "choose_dataset",
        "describe_dataset",
        "list_datasets",
        "list_runs",
        "list_subsets",
        "run_events",
        "run_sql",
    }
)


def is_available(way: Way) -> bool:
    """Return whether a server that identifies its callers in this way has MCP tools."""
    return way is not Way.SPACE and importlib.util.find_spec("mcp") is not None


def is_mcp(request: Request) -> bool:
    """Return whether a request is for the MCP tools."""
    return path_of(request).rstrip("/") == MCP_PATH


async def check_mcp(blocks: "AuthorizedBlocks", request: Request, size: int | None) -> Caller:
    """Return the caller of a request for the tools, who is the owner by the key of the API.

    Args:
        blocks: The page.
        request: The request.
        size: Declared size of its body, in bytes.

    Raises:
        RefusalError: The server has no tools, the API is off, the key is wrong, or the request is none of an agent.
    """
    switch = blocks.api_switch
    if not switch.has_mcp:
        raise RefusalError(404, "There is nothing here.")
    check_origin(request, blocks.access.way, switch.settings)
    # Every answer belongs to a POST request: the server sends nothing of its own accord.
    if request.method != "POST":
        raise RefusalError(405, "MCP tools are called by POST.")
    if size is None or size > MAX_BODY_BYTES:
        raise RefusalError(413, f"A call of a tool has a content-length of at most {MAX_BODY_BYTES:,} bytes.")
    try:
        await switch.admit(request)
    except ApiError as error:
        raise RefusalError(error.status, str(error)) from error
    return Caller(Role.OWNER, "an agent with the key")


def use_studio_tools() -> None:
    """Let Gradio's next app make its MCP server with the tools below."""
    import gradio.mcp

    if not issubclass(gradio.mcp.GradioMCPServer, StudioTools):
        gradio.mcp.GradioMCPServer = type("StudioMCPServer", (StudioTools, gradio.mcp.GradioMCPServer), {})


class StudioTools:
    """Changes to Gradio's MCP server: the tools that the owner allows, named like the calls of docs/api.md.

    Attributes:
        blocks: The page.
        api_info: Gradio's description of its calls.
        local_url: Address of the server on this machine.
    """

    blocks: "AuthorizedBlocks"
    api_info: dict[str, Any]
    local_url: str
    _client_instance: "Client | None"
    _all_tools: dict[str, str]

    @property
    def tool_to_endpoint(self) -> dict[str, str]:
        """Return the calls that are tools now, by the names of the tools."""
        changes = self.blocks.api_switch.allows_changes()
        return {name: call for name, call in self._all_tools.items() if changes or name in READ_ONLY}

    @tool_to_endpoint.setter
    def tool_to_endpoint(self, tools: dict[str, str]) -> None:
        self._all_tools = tools

    def get_tool_to_endpoint(self) -> dict[str, str]:
        """Return all named calls by their names."""
        return {call.lstrip("/"): call for call in self.api_info["named_endpoints"]}

    def warn_about_state_inputs(self) -> None:
        """Warn about nothing: the tools share a session of the server, which keeps its states."""

    def get_input_schema(
        self, tool_name: str, parameters: dict[str, str] | None = None
    ) -> tuple[dict[str, Any], list[list[str | int]]]:
        """Return the schema of a tool's arguments; the entries of lists are examples, because they change."""
        schema, files = super().get_input_schema(tool_name, parameters)
        for field in schema["properties"].values():
            if "enum" in field:
                field["examples"] = field.pop("enum")[:_MAX_EXAMPLES]
        return schema, files

    def insert_empty_state(self, inputs: Any, data: list[Any]) -> list[Any]:
        """Return the arguments as they are: the client adds the states, which would otherwise be there twice."""
        return data

    def pop_returned_state(self, outputs: Any, data: list[Any]) -> list[Any]:
        """Return the results as they are: the client has left the states out."""
        return data

    def _get_or_create_client(self) -> "Client":
        """Return the client that makes the calls, signed in where the server asks for a password."""
        from gradio_client import Client

        if self._client_instance is None:
            password = self.blocks.api_switch.settings.password
            auth = ("studio", password.get_secret_value()) if password else None
            options: dict[str, Any] = {"download_files": False, "verbose": False, "analytics_enabled": False}
            self._client_instance = Client(self.local_url, auth=auth, **options)
        return self._client_instance
