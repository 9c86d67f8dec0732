"""Server of the API alone, without the page: `python -m core serve`."""

import threading

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from core.access.roles import Way
from core.chat.engine import Engine
from core.errors import StudioError
from core.serve.api import API_PREFIX, Admit, Api
from core.serve.keys import KEY_VARIABLE, ApiKey
from core.serve.served_models import ServedModels
from core.settings import Settings
from core.system.secret_masking import mask_logs
from core.web.listening import LOOPBACK, check_port
from core.web.origin import check_length, check_origin
from core.web.slow_connections import close_slow_connections

# Time between two checks whether a run needs the GPU's memory.
_SECONDS_BETWEEN_CHECKS = 1.0
# Time for the connections to end when the server is stopped.
_EXIT_SECONDS = 2


def make_server(settings: Settings, engine: Engine, models: ServedModels, host: str, port: int) -> uvicorn.Server:
    """Return a server that is ready to run.

    Args:
        settings: The studio's settings, with the key.
        engine: The chat's engine.
        models: The models that are served.
        host: Address to listen at.
        port: Port to listen at.

    Raises:
        StudioError: The address or the port cannot be used, or the key is missing or too short.
    """
    key = ApiKey(settings.api_key.get_secret_value(), settings.behind_proxy) if settings.api_key else None
    if key is None and (host not in LOOPBACK or settings.behind_proxy):
        raise StudioError(
            f"--host {host} would let anyone who finds the address use the models. Set {KEY_VARIABLE} to a long random "
            "text, which clients send as their API key; or keep --host 127.0.0.1, and set no STUDIO_HOSTS and no "
            "STUDIO_ROOT_PATH."
        )
    check_port(host, port)
    api = Api(engine, models, _make_admit(settings, key))
    app = Starlette(routes=[*api.routes(), Route("/healthz", _answer_probe)])
    # uvicorn's own logging configuration would close the handlers of other libraries; without it, warnings go to
    # stderr.
    config = uvicorn.Config(
        app, log_config=None, host=host, port=port, access_log=False, log_level="warning", server_header=False,
        lifespan="off", proxy_headers=settings.behind_proxy, timeout_graceful_shutdown=_EXIT_SECONDS,
    )  # fmt: skip
    mask_logs()
    return _Server(config, engine, api)


def _make_admit(settings: Settings, key: ApiKey | None) -> Admit:
    """Return the check of every request: where it comes from, and its key."""
    way = Way.OWN_MACHINE if key is None else Way.PASSWORD

    async def admit(request: Request) -> None:
        check_length(request.scope)
        check_origin(request, way, settings)
        if key is not None:
            await key.check(request)

    return admit


async def _answer_probe(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


class _Server(uvicorn.Server):
    """Server that closes slow connections, and gives the GPU's memory to a run that needs it."""

    def __init__(self, config: uvicorn.Config, engine: Engine, api: Api):
        super().__init__(config)
        self._engine, self._api, self._has_ended = engine, api, threading.Event()

    async def startup(self, sockets: list | None = None) -> None:
        """Start listening."""
        await super().startup(sockets)
        close_slow_connections(self)
        threading.Thread(target=self._yield_to_runs, name="studio-yield", daemon=True).start()
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        print(f"Listening at http://{host}:{self.config.port}{API_PREFIX}. Press Ctrl+C to stop.", flush=True)

    async def shutdown(self, sockets: list | None = None) -> None:
        """Stop listening, and end the answers."""
        self._has_ended.set()
        self._api.close()
        await super().shutdown(sockets)

    def _yield_to_runs(self) -> None:
        while not self._has_ended.wait(_SECONDS_BETWEEN_CHECKS):
            self._engine.yield_to_run()
