"""Switch of the API in the Owner tab: off at every start; the owner switches it on, and gets its key once."""

from typing import Any

import gradio as gr
from gradio.route_utils import get_root_url
from starlette.requests import Request
from starlette.routing import Route

from core.access import roles
from core.chat.engine import Engine
from core.serve.api import API_PREFIX, Api
from core.serve.errors import ApiError
from core.serve.keys import KEY_VARIABLE, ApiKey, make_key
from core.serve.served_models import ServedModel, ServedModels
from core.settings import Settings
from core.system.secret_masking import log_event
from studio.html import read_static, render
from studio.mcp_server import MCP_PATH
from studio.wiring import PRIVATE, connect

_MAX_LISTED = 12
_OFF = "The API is switched off. The owner of this studio can switch it on in the Owner tab."
_NO_MODEL = "NAME"
_HIDDEN_KEY = "YOUR-KEY"
# Route of the calls of events; the address of the page is the rest of their address.
_CALL_ROUTE = "/gradio_api/queue/join"
_CODE = """from openai import OpenAI

client = OpenAI(
    base_url="{address}",
    api_key="{key}",
)
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Why is the sky blue?"}}],
)
print(answer.choices[0].message.content)"""


class ApiSwitch:
    """The API of the page's engine, and its event handlers. It holds no widgets."""

    def __init__(self, settings: Settings, engine: Engine, has_mcp: bool = False):
        """Begin switched off.

        Args:
            settings: The studio's settings.
            engine: The engine that also answers in the Chat tab.
            has_mcp: Whether the server has MCP tools, too.
        """
        self.has_mcp = has_mcp
        self.settings, self._models = settings, ServedModels(engine.store)
        self._api = Api(engine, self._models, self.admit)
        self._key: ApiKey | None = None
        self._allows_changes = False

    def routes(self) -> list[Route]:
        """Return the HTTP routes."""
        return self._api.routes()

    def allows_changes(self) -> bool:
        """Return whether MCP tools may change files and start work."""
        return self._key is not None and self._allows_changes

    async def admit(self, request: Request) -> None:
        """Check that the API is on, and that a request has its key.

        Raises:
            ApiError: The API is off, or the key is missing or wrong.
        """
        if self._key is None:
            raise ApiError(404, _OFF)
        await self._key.check(request)

    def fill(self, request: gr.Request) -> dict[str, Any]:
        """Show whether the API is on."""
        roles.owner_only("use this tab")
        return self._show(request)

    def switch_on(self, request: gr.Request) -> dict[str, Any]:
        """Switch the API on, and show its key, which nothing keeps."""
        roles.owner_only("switch the API on")
        own = self.settings.api_key
        key = own.get_secret_value() if own else make_key()
        self._key, self._allows_changes = ApiKey(key, self.settings.behind_proxy), False
        log_event("api", on=True)
        return self._show(request, "" if own else key)

    def allow_changes(self, changes: bool) -> None:
        """Let MCP tools change files and start work, or only read."""
        roles.owner_only("change what tools may do")
        self._allows_changes = changes is True
        log_event("mcp", changes=self._allows_changes)

    def switch_off(self, request: gr.Request) -> dict[str, Any]:
        """Switch the API off; answers that are being written still end."""
        roles.owner_only("switch the API off")
        self._key = None
        log_event("api", on=False)
        return self._show(request)

    def _show(self, request: gr.Request, key: str = "") -> dict[str, Any]:
        is_on = self._key is not None
        models: list[ServedModel] = self._models.list_all() if is_on else []
        root = get_root_url(request.request, _CALL_ROUTE, self.settings.root_path)
        address, mcp_address = f"{root}{API_PREFIX}", f"{root}{MCP_PATH}/" if self.has_mcp else ""
        model = next((one.name for one in models if one.adapter), models[0].name if models else _NO_MODEL)
        html = render(
            "api_switch", is_on=is_on, address=address, mcp_address=mcp_address, key=key, variable=KEY_VARIABLE,
            from_environment=self.settings.api_key is not None, models=models[:_MAX_LISTED],
            more=max(0, len(models) - _MAX_LISTED),
            code=_CODE.format(address=address, key=key or _HIDDEN_KEY, model=model),
        )  # fmt: skip
        shown = {"about": html, "on": gr.update(visible=not is_on), "off": gr.update(visible=is_on)}
        return shown | {"changes": gr.update(visible=is_on and self.has_mcp, value=self._allows_changes)}


def build_api_switch(switch: ApiSwitch, shown: Any) -> None:
    """Build the switch in the open layout, and connect its events.

    Args:
        switch: The API.
        shown: Event after which its state is shown.
    """
    gr.Markdown(
        "### API for programs\nPrograms that know OpenAI's API can ask the models of this studio, as docs/serve.md "
        "describes.",
        elem_classes="qs-title",
    )
    about = gr.HTML(elem_id="api-about", padding=False, js_on_load=read_static("copy_code.js"))
    on = gr.Button("Switch the API on", size="sm", elem_id="api-on", elem_classes="ow-action")
    off = gr.Button("Switch the API off", size="sm", elem_id="api-off", elem_classes="ow-action", visible=False)
    changes = gr.Checkbox(
        False, label="MCP tools may change things", elem_id="mcp-changes", visible=False,
        info="They may also start, stop and delete runs, create subsets, and push to the Hub.",
    )  # fmt: skip
    outputs = {"about": about, "on": on, "off": off, "changes": changes}
    connect(shown, switch.fill, outputs=outputs, **PRIVATE)
    connect(on.click, switch.switch_on, outputs=outputs, **PRIVATE)
    connect(off.click, switch.switch_off, outputs=outputs, **PRIVATE)
    connect(changes.input, switch.allow_changes, {"changes": changes}, **PRIVATE)
