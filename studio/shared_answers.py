"""Answers that are equal for all callers, built and compressed once.

The page, its configuration and the description of its API take Gradio 20 to 115 ms each, in the one thread that serves
everybody; scripts and styles are compressed anew for each browser. Here each is kept with the bytes that were sent
first, by what it depends on: its path, the few query parameters that Gradio reads, the address under which the server
is reached, the caller's role, and the compression. Built pages and Gradio's files are kept apart, each bounded
(`MAX_BUILT`, `MAX_FILES`), so that callers who ask for many of one kind displace none of the other.
"""

import asyncio
import gzip
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode

import brotli
from gradio.routes import App
from starlette.datastructures import Headers, MutableHeaders

from studio.early_script import with_early_script
from studio.page_files import FILE_ROUTES, MAX_FILE_BYTES

# Entries and bytes that are kept. All files that the page may load fit, with each compression (studio/page_files.py).
MAX_BUILT = (200, 2**24)
MAX_FILES = (4_000, 2**25)
# uvicorn copies what the network does not take at once; between pieces it waits until the caller has read.
PIECE_BYTES = 2**16
_MIN_COMPRESSED_BYTES = 400
# Higher levels take more time than the smaller answer is worth, although it is compressed only once.
_BROTLI_QUALITY, _GZIP_LEVEL = 6, 6
BUILT_PATHS = re.compile(r"/|/config/?|/theme\.css|/gradio_api/(?:info|openapi\.json|theme\.css)/?")
_COMPRESSED_KINDS = re.compile(r"text/|application/(?:json|javascript|xml|manifest\+json)|image/svg\+xml")
_MAX_ROOTS = 16

Root = tuple[str, ...]
_root: ContextVar[Root] = ContextVar("root", default=())


class Answer(NamedTuple):
    """A complete answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    async def send(self, send: Callable, has_body: bool = True) -> None:
        """Send the answer, without its body to a request that asks for none."""
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": self.body if has_body else b""})


async def in_pieces(message: dict, send: Callable) -> None:
    """Send an ASGI message; a large body in pieces, so that a caller who reads slowly keeps no copy of it here.

    Args:
        message: The message.
        send: ASGI send.
    """
    body = message.get("body", b"")
    if len(body) <= PIECE_BYTES:
        await send(message)
        return
    for start in range(0, len(body), PIECE_BYTES):
        is_last = start + PIECE_BYTES >= len(body)
        more = message.get("more_body", False) or not is_last
        await send(message | {"body": body[start : start + PIECE_BYTES], "more_body": more})


class KeptAnswers:
    """Answers by what they depend on, the latest used, and at most a number of entries and of bytes."""

    def __init__(self, max_entries: int, max_bytes: int):
        """Create it empty."""
        self.max_entries, self.max_bytes, self.bytes = max_entries, max_bytes, 0
        self.answers: OrderedDict[tuple, Answer] = OrderedDict()
        # One answer is built at a time: a crowd that opens the page waits for one, and does not build it each.
        self.lock = asyncio.Lock()

    def get(self, key: tuple) -> Answer | None:
        """Return a kept answer, which counts as used now."""
        if key in self.answers:
            self.answers.move_to_end(key)
        return self.answers.get(key)

    def keep(self, key: tuple, answer: Answer) -> None:
        """Keep an answer that is not kept yet, unless it is larger than `MAX_FILE_BYTES`."""
        if len(answer.body) > MAX_FILE_BYTES:
            return
        self.answers[key] = answer
        self.bytes += len(answer.body)
        while len(self.answers) > self.max_entries or self.bytes > self.max_bytes:
            _, oldest = self.answers.popitem(last=False)
            self.bytes -= len(oldest.body)


class ApiInfoByRoot:
    """Gradio's description of the API, by the address under which the caller reaches the server.

    Replaces the attribute `api_info` of Gradio's app, in which the first caller's address stays for everybody.
    """

    def __init__(self) -> None:
        """Create the attribute."""
        self._kept: OrderedDict[Root, Any] = OrderedDict()

    def __get__(self, app: Any, kind: type | None = None) -> Any:
        """Return the description for the current request; None if there is none yet."""
        return self._kept.get(_root.get())

    def __set__(self, app: Any, info: Any) -> None:
        """Keep the description for the current request's address."""
        self._kept[_root.get()] = info
        while len(self._kept) > _MAX_ROOTS:
            self._kept.popitem(last=False)


def keep_api_info_by_root() -> None:
    """Let Gradio's apps keep the description of the API by address."""
    App.api_info = ApiInfoByRoot()


class SharedAnswers:
    """ASGI app that answers from its cache what is equal for all callers, and passes the rest on."""

    def __init__(self, app: Callable[..., Awaitable[None]]):
        """Wrap Gradio's routes."""
        self._app = app
        self.built, self.files = KeptAnswers(*MAX_BUILT), KeptAnswers(*MAX_FILES)

    async def __call__(self, scope: dict, receive: Callable, send: Callable, path: str, kind: Hashable) -> None:
        """Answer one request.

        Args:
            scope: ASGI scope of an HTTP request.
            receive: ASGI receive.
            send: ASGI send.
            path: The path without the prefix of a proxy.
            kind: What else the answer depends on: whose it is, and whether the page is shared.
        """
        headers = Headers(scope=scope)
        _root.set(root := _root_of(scope, headers))
        is_built = BUILT_PATHS.fullmatch(path)
        if scope["method"] not in ("GET", "HEAD") or not (is_built or FILE_ROUTES.fullmatch(path)):
            await self._app(scope, receive, send)
            return
        query = _known_query(scope["query_string"]) if is_built else ""
        key = (path, query, kind, _encoding(headers), *(root if is_built else ()))
        kept = self.built if is_built else self.files
        answer = kept.get(key) or await self._build(kept, key, scope, query.encode())
        await answer.send(send, scope["method"] != "HEAD")

    async def _build(self, kept: KeptAnswers, key: tuple, scope: dict, query: bytes) -> Answer:
        """Return the answer of Gradio's routes; it is kept if it is a success."""
        async with kept.lock:
            if answer := kept.get(key):
                return answer
            # Headers of one caller that change the answer: a part of the file, or "not modified".
            dropped = (b"range", b"if-range", b"if-none-match", b"if-modified-since")
            headers = [(name, value) for name, value in scope["headers"] if name not in dropped]
            asked = scope | {"method": "GET", "headers": headers, "query_string": query, "extensions": {}}
            made = await answer_of(self._app, asked)
            if key[0] == "/":
                made = _with_body(made, with_early_script(made.body))
            # In a thread, because it takes up to 0.1 s, in which the event loop serves others.
            answer = await asyncio.to_thread(_compress, made, key[3])
            # Entries that the routes leave to the middleware.
            scope.update((name, value) for name, value in asked.items() if name not in scope)
            if answer.status == 200 and "set-cookie" not in Headers(raw=answer.headers):
                kept.keep(key, answer)
            return answer


async def answer_of(app: Callable[..., Awaitable[None]], scope: dict, body: bytes = b"") -> Answer:
    """Return what an app answers to a request.

    Args:
        app: The ASGI app.
        scope: ASGI scope of the request.
        body: Whole body of the request.
    """
    start: dict[str, Any] = {}
    parts: list[bytes] = []
    asked = [body]

    async def receive() -> dict:
        if not asked:
            # The caller sends no more, and whether it has left changes nothing.
            await asyncio.Event().wait()
        return {"type": "http.request", "body": asked.pop(), "more_body": False}

    async def send(message: dict) -> None:
        start.update(message if message["type"] == "http.response.start" else {})
        parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return Answer(start["status"], list(start["headers"]), b"".join(parts))


def _with_body(answer: Answer, body: bytes) -> Answer:
    """Return an answer with another body."""
    headers = MutableHeaders(raw=list(answer.headers))
    headers["content-length"] = str(len(body))
    return Answer(answer.status, headers.raw, body)


def _compress(answer: Answer, encoding: str) -> Answer:
    """Return an answer compressed, if its kind and size are worth it."""
    headers = MutableHeaders(raw=list(answer.headers))
    is_text = _COMPRESSED_KINDS.match(headers.get("content-type", ""))
    if not is_text or "content-encoding" in headers or len(answer.body) < _MIN_COMPRESSED_BYTES:
        return answer
    headers.add_vary_header("Accept-Encoding")
    body = answer.body
    if encoding == "br":
        body = brotli.compress(body, quality=_BROTLI_QUALITY)
    elif encoding == "gzip":
        body = gzip.compress(body, _GZIP_LEVEL)
    if encoding:
        headers["content-encoding"] = encoding
        headers["content-length"] = str(len(body))
    return Answer(answer.status, headers.raw, body)


def _root_of(scope: dict, headers: Headers) -> Root:
    """Return what Gradio reads to find the address under which the caller reaches the server."""
    host = headers.get("host", "").lower()
    forwarded, proto = (headers.get(f"x-forwarded-{name}", "").split(",")[0].strip() for name in ("host", "proto"))
    return (scope.get("scheme", ""), scope.get("root_path", ""), host, forwarded.lower(), str(proto == "https"))


def _encoding(headers: Headers) -> str:
    """Return the compression that a browser accepts; empty for none.

    It is read as Gradio's own middleware reads it, which would otherwise compress each answer anew.
    """
    accepted = headers.get("accept-encoding", "")
    return next((name for name in ("br", "gzip") if name in accepted), "")


def _known_query(query: bytes) -> str:
    """Return the query with the parameters that Gradio reads, in one form each; others would only fill the cache."""
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    known = {}
    # The studio has one page, whose name is empty. Links to stored states are closed: all are answered alike.
    if given.get("page", [None])[-1] == "":
        known["page"] = ""
    if any(given.get("deep_link", [])):
        known["deep_link"] = "closed"
    if any(given.get("all_endpoints", [])):
        known["all_endpoints"] = "true"
    return urlencode(known)
