"""HTTP access rules before Gradio's routes: which are open, to whom, from where; and the headers of every answer.

Default deny: a route that the page does not need answers 404. The middleware is inside Gradio's own session
middleware, so that it sees who has signed in. studio/authorized_blocks.py authorizes the calls themselves.
"""

import asyncio
import functools
import re
import secrets
import sys
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse

from components.chat_board import LIVE_PATH
from core.access import quotas
from core.access.quotas import Quotas
from core.access.roles import CLOSED, Caller, Role, Way
from core.errors import StudioError
from core.serve.api import API_PREFIX, error_response
from core.serve.errors import to_api_error
from core.settings import Settings
from core.system.secret_masking import log_event, masked
from core.web.origin import (
    RefusalError,
    check_length,
    check_origin,
    check_spelling,
    declared_bytes,
    path_of,
    use_known_names,
)
from core.web.request_limits import RequestLimits, limit_bytes, limit_time
from core.web.sign_in import SignInThrottle, address_of, network_of
from studio import hub_tokens
from studio.authorized_blocks import STATUS_KEY, VISITOR_COOKIE, AuthorizedBlocks
from studio.call_checks import END_KEY, check_parts, check_result, check_session, check_stop
from studio.mcp_server import check_mcp, is_mcp
from studio.open_pages import NETWORK_KEY
from studio.page_files import FILE_ROUTES, page_files
from studio.security_headers import SECURITY_HEADERS
from studio.shared_answers import SharedAnswers, answer_of, in_pieces

_PAGE_ROUTES = (
    r"/|/config/?|/theme\.css|/static/.+|/assets/.+|/svelte/.+|/favicon\.ico|/robots\.txt|/manifest\.json|/pwa_icon.*"
)
_SIGN_IN_ROUTES = r"/login/?|/login/huggingface|/login/callback|/logout|/gradio_api/(login_check|user|app_id)/?"
# Session names are restricted here because Gradio builds a URL of the name after the browser has left, when an error
# can no longer be reported to anyone.
_CALL_ROUTES = (
    r"/gradio_api/(info|openapi\.json|theme\.css|startup-events|queue/(join|data|status)|cancel|reset)/?"
    r"|/gradio_api/(run|api|call)/.+|/gradio_api/heartbeat/[A-Za-z0-9_-]{1,100}|/gradio_api/upload_progress"
    r"|/gradio_api/upload|/gradio_api/file=.+"
)
# Colors and fonts, also of the page that asks for the password; and what Gradio asks of itself when it starts.
_OPEN_CALLS = re.compile(r"/gradio_api/(theme\.css|startup-events)/?")
# The API for programs, which checks its key itself.
_API_ROUTES = f"{API_PREFIX}/.+"
OPEN_ROUTES = re.compile(f"(?:{_PAGE_ROUTES}|{_SIGN_IN_ROUTES}|{_CALL_ROUTES}|{LIVE_PATH}|{_API_ROUTES})")
_PASSWORD_ROUTE = re.compile(r"/login/?")
_FILE_PREFIX, _UPLOAD = "/gradio_api/file=", "/gradio_api/upload"
_OAUTH_START, _OAUTH_CALLBACK = "/login/huggingface", "/login/callback"

_OAUTH_FAILED = (
    "Hugging Face did not sign you in. Close this tab and press Sign in again. If that does not help, the Space's log "
    "has the reason."
)
_MAX_VISITOR_BODY_BYTES = 2**18
_TOO_LARGE = (
    f"A call of anyone but the owner has at most {_MAX_VISITOR_BODY_BYTES:,} bytes and a content-length. Sign in first "
    "if the studio is yours."
)
_LOGGED_CHARACTERS = 200
_COOKIE_SECONDS = 365 * 24 * 3600

# Gradio reads this header to find a second server of its own, which is not used here.
_ALWAYS_DROPPED = (b"x-gradio-server",)
# Headers that only a proxy may set; without one, any client could.
_PROXY_HEADERS = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-server",
                  b"x-forwarded-port", b"x-forwarded-prefix", b"x-real-ip", b"x-direct-url",
                  *_ALWAYS_DROPPED)  # fmt: skip
Asgi = Callable[[dict, Callable, Callable], Awaitable[None]]


class AccessMiddleware:
    """ASGI middleware that checks every request and completes every answer."""

    def __init__(self, app: Asgi, blocks: AuthorizedBlocks, settings: Settings, limits: Quotas):
        """Wrap an app.

        Args:
            app: Gradio's routes.
            blocks: The page, which knows callers, sessions and files.
            settings: The studio's settings.
            limits: Limits of uploads.
        """
        self.app, self.blocks, self.settings, self.limits = app, blocks, settings, limits
        self.access, self.answers, self.requests = blocks.access, SharedAnswers(app), RequestLimits()
        self.throttle = SignInThrottle()

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Answer one connection: pass it on, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            # The page uses no web sockets.
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Answer one HTTP request: pass it on, or refuse it."""
        self._drop_headers(scope)
        has_started = False
        tries_password = self._tries_password(scope)
        address, is_shared = address_of(scope, self.settings.behind_proxy)

        async def answer(message: dict) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                self._complete(scope, message)
                if tries_password and message["status"] == 200:
                    self.throttle.succeed(address)
            await in_pieces(message, send)

        try:
            check_length(scope)
            size = declared_bytes(scope)
            if scope["path"] == "/healthz":
                return await PlainTextResponse("ok")(scope, receive, answer)
            request = Request(scope)
            caller = await check_mcp(self.blocks, request, size) if is_mcp(request) else self._check(request, size)
            receive = _receive_limited(receive, scope["method"], size, caller)
            use_known_names(scope, self.access.way, self.settings)
            if tries_password:
                await self.throttle.admit(address, is_shared)
            await self._pass_on(scope, receive, answer, caller, size or 0)
        except RefusalError as refusal:
            await _refuse(refusal, scope, receive, answer)
        except (asyncio.CancelledError, StudioError):
            raise
        except Exception as error:
            # Gradio's stream has already sent the error to the page.
            if has_started and END_KEY in scope:
                return await send({"type": "http.response.body", "body": b""})
            # A second start of the answer would break the protocol.
            if has_started:
                raise
            await self._answer_malformed(error, scope, receive, answer)

    async def _pass_on(self, scope: dict, receive: Callable, answer: Callable, caller: Caller, size: int) -> None:
        """Let Gradio's routes answer; of a visitor's calls, only a few run at once (`RequestLimits`).

        Only the work counts. A caller who sends a body slowly, or reads the answer slowly, keeps no others waiting who
        come from the same address. `size` is the declared size of the body in bytes.
        """
        scope[NETWORK_KEY] = network_of(*address_of(scope, self.settings.behind_proxy))
        path = path_of(Request(scope))
        routes = functools.partial(self.answers, path=path, kind=(caller.role, self.blocks.share))
        if caller.is_owner or scope["method"] != "POST" or not path.startswith("/gradio_api/"):
            try:
                with self.blocks.open_pages.keep_alive(path):
                    await routes(scope, receive, answer)
            finally:
                if end_reading := scope.get(END_KEY):
                    end_reading()
            return
        # Callers without a cookie are distinguished by their address.
        name = caller.name or f"address {address_of(scope, self.settings.behind_proxy)[0]}"
        body = await self.requests.read(name, size, receive)
        # From here on the header is what arrived, which the queue counts (studio/fair_queue.py).
        MutableHeaders(scope=scope)["content-length"] = str(len(body))
        # Before anything parses it: this is the one place that all JSON of a visitor passes.
        check_parts(body)
        check_stop(self.blocks, path, body, caller)
        async with self.requests.admit(name):
            made = await answer_of(routes, scope, body)
        await made.send(answer)

    def _drop_headers(self, scope: dict) -> None:
        """Drop headers that only a proxy may set, unless the server is configured to be behind one."""
        dropped = _ALWAYS_DROPPED if self.settings.behind_proxy else _PROXY_HEADERS
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name not in dropped]

    async def _answer_malformed(self, error: Exception, scope: dict, receive: Callable, answer: Callable) -> None:
        """Answer 400 to a request at which Gradio's routes raised an error; the page never sends such requests."""
        # `repr` escapes control characters and ends of lines.
        path = repr(scope["path"][:_LOGGED_CHARACTERS])[1:-1]
        print(masked(f"{scope['method']} {path}: {error!r}"[:600]), file=sys.stderr)
        log_event("malformed", path=scope["path"][:_LOGGED_CHARACTERS], error=repr(error)[:200])
        # The sign-in provider refused or did not answer; a person reads this, so it is plain text.
        if scope["path"] in (_OAUTH_START, _OAUTH_CALLBACK):
            await PlainTextResponse(_OAUTH_FAILED, 400)(scope, receive, answer)
            return
        text = f"The page never sends such a request ({type(error).__name__}). Send what docs/api.md lists."
        await JSONResponse({"error": text}, 400)(scope, receive, answer)

    def _tries_password(self, scope: dict) -> bool:
        return scope["method"] == "POST" and _PASSWORD_ROUTE.fullmatch(path_of(Request(scope))) is not None

    def _check(self, request: Request, size: int | None) -> Caller:
        """Return the caller; raise RefusalError unless the request, of a declared size, may be passed on."""
        path = path_of(request)
        check_origin(request, self.access.way, self.settings)
        # A file's name may contain anything, so its spelling is not checked; it must be one that the caller may fetch.
        if not path.startswith(_FILE_PREFIX):
            check_spelling(path)
        if not OPEN_ROUTES.fullmatch(path) or (FILE_ROUTES.fullmatch(path) and path not in page_files()):
            raise RefusalError(404, "There is nothing here.")
        caller = self.blocks.caller_of(request)
        # A body without a declared length could be endless.
        is_small = size is not None and size <= _MAX_VISITOR_BODY_BYTES
        if request.method == "POST" and not caller.is_owner and path != _UPLOAD and not is_small:
            raise RefusalError(413, _TOO_LARGE)
        if caller.role is Role.SIGNED_OUT and re.fullmatch(_CALL_ROUTES, path) and not _OPEN_CALLS.fullmatch(path):
            # Gradio itself lets heartbeats, cancellations and resets pass.
            raise RefusalError(401, "This server asks for a password. Open its page and sign in first.")
        if path.startswith(_FILE_PREFIX):
            self._check_file(path.removeprefix(_FILE_PREFIX), caller)
        check_session(self.blocks, request, path, caller)
        check_result(self.blocks, request, path, caller)
        if path == _UPLOAD:
            self._check_upload(caller.role, size)
        return caller

    def _check_file(self, path: str, caller: Caller) -> None:
        if "://" in unquote(path) or path.startswith(("http:", "https:")) or "\0" in path:
            raise RefusalError(403, "Files are served from here only; nothing is fetched from elsewhere.")
        if self.access.way is Way.SPACE and not self.blocks.may_fetch(path, caller):
            raise RefusalError(403, "This file was not made for you.")

    def _check_upload(self, role: Role, size: int | None) -> None:
        if role is Role.VISITOR:
            raise RefusalError(403, f"Only the owner can upload files. {CLOSED}")
        try:
            quotas.check_upload_quota(self.settings, self.limits, self.settings.uploads_dir, size)
        except StudioError as error:
            raise RefusalError(413, str(error)) from error

    def _complete(self, scope: dict, message: dict) -> None:
        """Complete the start of an answer: headers, the status of a refused call, cookies."""
        headers = MutableHeaders(scope=message)
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        # Files are downloaded: one that a browser would show could run as a page of this site.
        if path_of(Request(scope)).startswith(_FILE_PREFIX) and "content-disposition" in headers:
            headers["content-disposition"] = re.sub("^inline", "attachment", headers["content-disposition"])
        # Gradio answers 500 to a call that was refused; `AuthorizedBlocks` has left the right status.
        if message["status"] == 500 and (status := scope.get(STATUS_KEY)):
            message["status"] = status
        # Only what is needed of a sign-in stays in the cookie; tokens do not.
        session = scope.get("session") or {}
        if scope["path"] == _OAUTH_CALLBACK and "oauth_info" in session:
            hub_tokens.keep(self.access, session["oauth_info"])
            session["oauth_info"] = self.access.session_part(session["oauth_info"])
        has_cookie = VISITOR_COOKIE in Headers(scope=scope).get("cookie", "")
        if self.access.way is Way.SPACE and scope["path"] == "/" and not has_cookie:
            # `Partitioned` and `SameSite=None`: a Space is shown in a frame of huggingface.co.
            attributes = f"Path=/; HttpOnly; Secure; SameSite=None; Partitioned; Max-Age={_COOKIE_SECONDS}"
            headers.append("set-cookie", f"{VISITOR_COOKIE}={secrets.token_hex(16)}; {attributes}")


async def _refuse(refusal: RefusalError, scope: dict, receive: Callable, answer: Callable) -> None:
    log_event("refused", path=scope["path"][:_LOGGED_CHARACTERS], status=refusal.status, why=refusal.reason)
    # After these it is not clear where the request ends: the rest of its body could be read as the next request.
    headers = {"connection": "close"} if refusal.status in (400, 413) else None
    if re.fullmatch(_API_ROUTES, path_of(Request(scope))):
        return await error_response(to_api_error(refusal))(scope, receive, answer)
    await JSONResponse({"error": refusal.reason}, refusal.status, headers)(scope, receive, answer)


def _receive_limited(receive: Callable, method: str, size: int | None, caller: Caller) -> Callable:
    """Return an ASGI receive that lets no more of a body pass than declared; without a size, only an owner's.

    The body of others must arrive in time, on whichever route.
    """
    if method != "POST":
        return _without_body(receive)
    if caller.is_owner:
        return receive if size is None else limit_bytes(receive, size)
    return limit_time(limit_bytes(receive, size or 0))


def _without_body(receive: Callable) -> Callable:
    """Return an ASGI receive that drops what arrives as a body; routes that take none still learn who has left."""

    async def receive_empty() -> dict:
        message = await receive()
        return message | {"body": b""} if message["type"] == "http.request" else message

    return receive_empty
