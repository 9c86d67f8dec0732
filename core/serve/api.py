"""Routes of the API: they check a request, queue its question in the chat's engine, and send its answers.

    POST /v1/chat/completions ─┐  parameters ─▶ lanes ─▶ Engine.ask ─▶ whole response, or server-sent events
    POST /v1/completions      ─┘
    GET  /v1/models, /v1/models/NAME

The engine's iterator blocks for at most a quarter of a second at a time, in a thread. Between two of its steps the
server checks whether the caller is still connected, and stops the answers if not.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from core.chat.engine import Engine
from core.chat.queue_entry import QueueEntry
from core.chat.requests import resolve_lanes
from core.serve.errors import ApiError, to_api_error
from core.serve.parameters import ChatParameters, CompletionParameters, Parameters, parse
from core.serve.questions import chat_lanes, completion_lanes
from core.serve.responses import ChatResponse, CompletionResponse
from core.serve.served_models import ServedModels
from core.system.secret_masking import log_event
from core.web.origin import declared_bytes
from core.web.request_limits import limit_bytes, read_body
from core.web.slow_connections import SlowReaderError, limit_wait

API_PREFIX = "/v1"
MAX_BODY_BYTES = 2**22
# Requests that are answered or wait; the engine answers as many at once as memory allows, in the order of arrival.
MAX_REQUESTS = 64
_NOTHING_HERE = (
    "There is nothing at {method} {path}. The API has POST {prefix}/chat/completions, POST {prefix}/completions, "
    "GET {prefix}/models and GET {prefix}/models/NAME."
)
_CLOSED = "The server is being stopped, so this answer ends here. Ask again when the server is back."
_DONE = b"data: [DONE]\n\n"
_SHOWN_CHARACTERS = 100
_EVENT_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}

Admit = Callable[[Request], Awaitable[None]]
_Answer = ChatResponse | CompletionResponse


class CallerLeftError(Exception):
    """The caller closed the connection, so the answer has no reader."""


class Api:
    """The API of one engine."""

    def __init__(self, engine: Engine, models: ServedModels, admit: Admit):
        """Create the API without requests.

        Args:
            engine: The chat's engine, which answers.
            models: The models that are served.
            admit: Checks each request first, and raises ApiError or RefusalError if it is refused.
        """
        self._engine, self._models, self._admit = engine, models, admit
        self._in_progress, self._is_closed = 0, False
        # A limiter of its own, so that requests that wait for answers take no threads from the page.
        self._threads = CapacityLimiter(MAX_REQUESTS)

    def close(self) -> None:
        """End all answers that are being written with an error, because the server stops."""
        self._is_closed = True

    def routes(self) -> list[Route]:
        """Return the HTTP routes, the last of which answers all other addresses below the prefix with 404."""
        return [
            self._route("/chat/completions", self._chat, "POST"),
            self._route("/completions", self._complete, "POST"),
            self._route("/models", self._list_models, "GET"),
            self._route("/models/{name:path}", self._show_model, "GET"),
            self._route("/{rest:path}", self._refuse),
        ]

    def _route(self, path: str, handle: Callable[[Request], Awaitable[Response]], method: str | None = None) -> Route:
        async def answer(request: Request) -> Response:
            try:
                await self._admit(request)
                return await handle(request)
            except CallerLeftError:
                # No caller reads this response. 499 is nginx's status for a closed connection.
                return Response(status_code=499)
            except Exception as error:
                return error_response(to_api_error(error))

        methods = [method] if method else ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        return Route(f"{API_PREFIX}{path}", answer, methods=methods)

    async def _refuse(self, request: Request) -> Response:
        path = request.url.path[:_SHOWN_CHARACTERS]
        raise ApiError(404, _NOTHING_HERE.format(method=request.method, path=path, prefix=API_PREFIX))

    async def _list_models(self, request: Request) -> Response:
        models = await self._in_thread(self._models.list_all)
        return JSONResponse({"object": "list", "data": [model.describe() for model in models]})

    async def _show_model(self, request: Request) -> Response:
        model = await self._in_thread(self._models.find, request.path_params["name"])
        return JSONResponse(model.describe())

    async def _chat(self, request: Request) -> Response:
        asked = parse(ChatParameters, await _read_json(request))
        return await self._answer(request, asked, lambda adapter: chat_lanes(asked, adapter), ChatResponse)

    async def _complete(self, request: Request) -> Response:
        asked = parse(CompletionParameters, await _read_json(request))
        return await self._answer(request, asked, lambda adapter: completion_lanes(asked, adapter), CompletionResponse)

    async def _answer(
        self, request: Request, asked: Parameters, lanes: Callable[[str | None], Sequence[Any]], kind: Any
    ) -> Response:
        """Queue a question, and return its response or the stream of it."""

        def resolve() -> QueueEntry:
            model = self._models.find(asked.model)
            return QueueEntry(resolve_lanes(self._models.store, lanes(model.adapter), model.base))

        entry = await self._in_thread(resolve)
        answered = self._follow(request, entry)
        # Wait for the first step before the response begins, so that a question that cannot be answered gets an HTTP
        # status for its error, also if it asks for a stream.
        await anext(answered)
        response = kind(entry, asked)
        if asked.stream:
            return _EventStream(self._events(answered, response, asked.stream_options.include_usage))
        async for _ in answered:
            pass
        return JSONResponse(response.whole())

    async def _follow(self, request: Request, entry: QueueEntry) -> AsyncIterator[QueueEntry]:
        """Yield a question when its answers begin, and then whenever they may have grown, until they have ended.

        Raises:
            CallerLeftError: The caller has left.
            ApiError: Too many requests are in progress, or the server stops.
            StudioError: The question cannot be answered.
        """
        if self._in_progress >= MAX_REQUESTS:
            raise ApiError(429, f"{MAX_REQUESTS} requests are in progress. Send the next ones when some have ended.")
        self._in_progress += 1
        steps = self._engine.ask(entry)
        try:
            while await self._in_thread(next, steps, None) is not None:
                if self._is_closed:
                    raise ApiError(503, _CLOSED)
                if await request.is_disconnected():
                    raise CallerLeftError
                if entry.is_admitted or entry.is_done:
                    yield entry
        finally:
            self._in_progress -= 1
            # Stops the answers if they have not ended. No thread is inside the iterator now: `_in_thread` was awaited.
            steps.close()

    async def _events(
        self, answered: AsyncIterator[QueueEntry], response: _Answer, has_usage: bool
    ) -> AsyncIterator[bytes]:
        """Yield the server-sent events of a question whose answers have begun."""
        async with contextlib.aclosing(answered):
            try:
                for chunk in [*response.first_chunks(), *response.chunks()]:
                    yield _event(chunk)
                async for _ in answered:
                    for chunk in response.chunks():
                        yield _event(chunk)
            except CallerLeftError:
                return
            except Exception as error:
                yield _event(to_api_error(error).body)
                return
        if has_usage:
            yield _event(response.usage_chunk())
        yield _DONE

    async def _in_thread(self, work: Callable[..., Any], *values: Any) -> Any:
        return await to_thread.run_sync(work, *values, limiter=self._threads)


class _EventStream(Response):
    """Server-sent events, whose source is closed when the connection ends for any reason."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes]):
        super().__init__(headers=_EVENT_HEADERS)
        # The length is not known.
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Send the events, until the caller reads them too slowly."""
        send = limit_wait(send)
        try:
            async with contextlib.aclosing(self._events) as events:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                async for event in events:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except SlowReaderError as error:
            # The response is left incomplete, at which the server closes the connection.
            log_event("slow reader", path=scope["path"], why=str(error))


def error_response(error: ApiError) -> Response:
    """Return an error as a response."""
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else {}
    if error.status in (400, 413):
        # The end of the request may be unclear: the rest of its body could be read as the next request.
        headers["connection"] = "close"
    return JSONResponse(error.body, error.status, headers)


async def _read_json(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request.

    Raises:
        ApiError: The body is too large, or no JSON object.
        RefusalError: It does not arrive in time, or not as declared.
    """
    size = declared_bytes(request.scope)
    if size is not None and size > MAX_BODY_BYTES:
        raise ApiError(413, f"The request has {size:,} bytes, and at most {MAX_BODY_BYTES:,} are read. Send less.")
    body = await read_body(limit_bytes(request.receive, MAX_BODY_BYTES if size is None else size))
    try:
        # A large body would stop the other requests while it is parsed.
        found = await asyncio.to_thread(_parse_json, body)
    except _TwiceError as error:
        raise ApiError(400, f"The body has {str(error)[:60]!r} twice in one object. Send it once.") from error
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "The body of the request is no valid JSON. Send an object of parameters.") from error
    if not isinstance(found, dict):
        raise ApiError(400, f"The body is a {type(found).__name__}, expected a JSON object of parameters. Send one.")
    return found


class _TwiceError(Exception):
    """An object of JSON has a name twice, of which `json` would use the last one."""


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise _TwiceError(name)
    return made


def _parse_json(body: bytes) -> Any:
    """Return the value of a body.

    Raises:
        ValueError: It is no JSON, or holds half of a surrogate pair, which is no character and has no tokens.
        _TwiceError: An object has a name twice.
    """
    found = json.loads(body, object_pairs_hook=_make_object)
    json.dumps(found, ensure_ascii=False).encode()
    return found


def _event(content: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n".encode("utf-8", "replace")
