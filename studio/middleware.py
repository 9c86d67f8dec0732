"""HTTP access rules before Gradio's routes: which are open, to whom, from where; and the headers of every answer.

Default deny: a route that the page does not need answers 404. The middleware is inside Gradio's own session
middleware, so that it sees who has signed in. studio/authorized_blocks.py authorizes the calls themselves.
"""

import asyncio
import math
import re
import secrets
import sys
from collections.abc import Awaitable, Callable
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse

from core.access import quotas
from core.access.quotas import Quotas
from core.access.roles import CLOSED, Caller, Role, Way
from core.errors import StudioError
from core.settings import Settings
from core.system.secret_masking import log_event, masked
from studio.authorized_blocks import STATUS_KEY, VISITOR_COOKIE, AuthorizedBlocks
from studio.security_headers import SECURITY_HEADERS
from studio.sign_in import SignInThrottle

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
OPEN_ROUTES = re.compile(f"(?:{_PAGE_ROUTES}|{_SIGN_IN_ROUTES}|{_CALL_ROUTES})")
_RESULT_ROUTES = re.compile(r"/gradio_api/(?:queue/data|call/.+/(?P<call>[^/]+))")
_PASSWORD_ROUTE = re.compile(r"/login/?")
_FILE_PREFIX, _HEARTBEAT_PREFIX = "/gradio_api/file=", "/gradio_api/heartbeat/"
_OAUTH_START, _OAUTH_CALLBACK = "/login/huggingface", "/login/callback"

# A name with an optional port. Other characters in `Host` are parsed differently by different programs, so that a
# check here would say nothing about what Gradio reads.
_HOST = re.compile(r"(?:[\w.~-]*|\[[\da-f:.]+\])(?::\d{1,5})?", re.ASCII | re.IGNORECASE)
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_OAUTH_FAILED = (
    "Hugging Face did not sign you in. Close this tab and press Sign in again. If that does not help, the Space's log "
    "has the reason."
)
_MAX_VISITOR_BODY_BYTES = 2**18
_TOO_LARGE = (
    f"A call of anyone but the owner has at most {_MAX_VISITOR_BODY_BYTES:,} bytes and a content-length. Sign in first "
    "if the studio is yours."
)
_COOKIE_SECONDS = 365 * 24 * 3600

# Gradio reads this header to find a second server of its own, which is not used here.
_ALWAYS_DROPPED = (b"x-gradio-server",)
# Headers that only a proxy may set; without one, any client could.
_PROXY_HEADERS = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-server",
                  b"x-forwarded-port", b"x-forwarded-prefix", b"x-real-ip", b"x-direct-url",
                  *_ALWAYS_DROPPED)  # fmt: skip
Asgi = Callable[[dict, Callable, Callable], Awaitable[None]]


class RefusalError(Exception):
    """A request that is not passed on, with its HTTP status and the reason."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


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
        self.access = blocks.access
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
        address = self._password_address(scope)

        async def answer(message: dict) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                self._complete(scope, message)
                if address is not None and message["status"] == 200:
                    self.throttle.succeed(address)
            await send(message)

        try:
            self._check(Request(scope))
            if address is not None:
                await self._throttle_sign_in(address)
        except RefusalError as refusal:
            log_event("refused", path=scope["path"], status=refusal.status, why=refusal.reason)
            await JSONResponse({"error": refusal.reason}, refusal.status)(scope, receive, answer)
            return
        if scope["path"] == "/healthz":
            await PlainTextResponse("ok")(scope, receive, answer)
            return
        try:
            await self.app(scope, receive, answer)
        except (asyncio.CancelledError, StudioError):
            raise
        except Exception as error:
            # A second start of the answer would break the protocol.
            if has_started:
                raise
            await self._answer_malformed(error, scope, receive, answer)

    def _drop_headers(self, scope: dict) -> None:
        """Drop headers that only a proxy may set, unless the server is configured to be behind one."""
        dropped = _ALWAYS_DROPPED if self.settings.behind_proxy else _PROXY_HEADERS
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name not in dropped]

    async def _answer_malformed(self, error: Exception, scope: dict, receive: Callable, answer: Callable) -> None:
        """Answer 400 where Gradio's routes raised: they do so for requests that the page never sends."""
        print(masked(f"{scope['method']} {scope['path'][:200]}: {error!r}"[:600]), file=sys.stderr)
        log_event("malformed", path=scope["path"], error=repr(error)[:200])
        # The sign-in provider refused or did not answer; a person reads this, so it is plain text.
        if scope["path"] in (_OAUTH_START, _OAUTH_CALLBACK):
            await PlainTextResponse(_OAUTH_FAILED, 400)(scope, receive, answer)
            return
        text = f"This request is none that the page makes ({type(error).__name__})."
        await JSONResponse({"error": text}, 400)(scope, receive, answer)

    def _password_address(self, scope: dict) -> str | None:
        """Return the address of a request that tries a password, or None."""
        if scope["method"] != "POST" or not _PASSWORD_ROUTE.fullmatch(_path(Request(scope))):
            return None
        return scope["client"][0] if scope.get("client") else "unknown"

    async def _throttle_sign_in(self, address: str) -> None:
        """Refuse a try that comes too soon after failed ones; delay it while many addresses guess."""
        if wait := self.throttle.wait_seconds(address):
            raise RefusalError(
                429, f"Too many wrong passwords came from your address. Try again in {math.ceil(wait)} seconds."
            )
        await asyncio.sleep(self.throttle.begin(address))

    def _check(self, request: Request) -> None:
        """Raise RefusalError unless the request may be passed on."""
        path = _path(request)
        if path == "/healthz":
            return
        self._check_origin(request)
        if not OPEN_ROUTES.fullmatch(path):
            raise RefusalError(404, "There is nothing here.")
        caller = self.blocks.caller_of(request)
        if path.startswith(_FILE_PREFIX):
            self._check_file(path.removeprefix(_FILE_PREFIX), caller)
        self._check_session(request, path, caller)
        self._check_result(request, path)
        if path == "/gradio_api/upload":
            self._check_upload(request, caller.role)
        elif request.method == "POST" and not caller.is_owner:
            # A body without a declared length could be endless.
            length = request.headers.get("content-length", "")
            if not length.isdigit() or int(length) > _MAX_VISITOR_BODY_BYTES:
                raise RefusalError(413, _TOO_LARGE)

    def _check_session(self, request: Request, path: str, caller: Caller) -> None:
        """Let only a session's owner read its messages or keep it alive."""
        is_heartbeat = path.startswith(_HEARTBEAT_PREFIX)
        if self.access.way is not Way.SPACE or not (is_heartbeat or path == "/gradio_api/queue/data"):
            return
        session = path.removeprefix(_HEARTBEAT_PREFIX) if is_heartbeat else request.query_params.get("session_hash")
        if not self.blocks.owns_session(session, caller):
            raise RefusalError(403, "This session is another browser's. Load the page again.")

    def _check_result(self, request: Request, path: str) -> None:
        """Refuse to wait for the result of a call that does not exist; Gradio notices after its answer has begun."""
        if request.method != "GET" or not (found := _RESULT_ROUTES.fullmatch(path)):
            return
        name = found["call"] or request.query_params.get("session_hash", "")
        self.blocks.mark_reading(name)
        if not self._is_pending(name):
            raise RefusalError(404, "No call of this name is running, or its result was read before. Call again.")

    def _is_pending(self, name: str) -> bool:
        """Return whether a session, or a call by its id, has unread messages."""
        queue = self.blocks._queue
        calls = queue.pending_event_ids_session.values()
        return name in queue.pending_messages_per_session or any(name in ids for ids in list(calls))

    def _check_origin(self, request: Request) -> None:
        """Refuse requests that a page of another site makes in the browser of someone who may."""
        host = request.headers.get("host", "")
        forwarded = request.headers.get("x-forwarded-host", "").split(",")[0].strip()
        if _host_name(host) is None or _host_name(forwarded) is None:
            raise RefusalError(400, "The host is not valid. Expected letters, digits, dots and hyphens, and a port.")
        ours = {name for name in (host, forwarded, *self.settings.known_hosts) if name}
        # Against DNS rebinding: a foreign name that resolves to this machine must not make its page the owner.
        known_names = (*_LOCAL_NAMES, *map(_host_name, ours - {host}))
        if self.access.way is Way.OWN_MACHINE and _host_name(host) not in known_names:
            raise RefusalError(
                403, f"This server knows itself as localhost, not as {host[:80]!r}. Behind a proxy, set STUDIO_HOSTS "
                "to the names it is reached by, and STUDIO_PASSWORD unless the proxy asks for one.",
            )  # fmt: skip
        site = request.headers.get("sec-fetch-site")
        if request.method in ("GET", "HEAD", "OPTIONS"):
            reads = request.url.path.startswith("/gradio_api/") and request.headers.get("sec-fetch-mode") != "navigate"
            if (reads or _path(request) == "/logout") and site == "cross-site":
                raise RefusalError(403, "Pages of other sites may not read from here, nor sign anyone out.")
            return
        origin = request.headers.get("origin")
        is_foreign = site in ("cross-site", "same-site") if origin is None else origin.partition("://")[2] not in ours
        if is_foreign:
            raise RefusalError(403, "Pages of other sites may not call this server.")

    def _check_file(self, path: str, caller: Caller) -> None:
        if "://" in unquote(path) or path.startswith(("http:", "https:")) or "\0" in path:
            raise RefusalError(403, "Files are served from here only; nothing is fetched from elsewhere.")
        if self.access.way is Way.SPACE and not self.blocks.may_fetch(path, caller):
            raise RefusalError(403, "This file was not made for you.")

    def _check_upload(self, request: Request, role: Role) -> None:
        if role is Role.VISITOR:
            raise RefusalError(403, f"Uploads are the owner's. {CLOSED}")
        length = request.headers.get("content-length", "")
        try:
            quotas.room_for_upload(
                self.settings, self.limits, self.settings.uploads_dir, int(length) if length.isdigit() else None
            )
        except StudioError as error:
            raise RefusalError(413, str(error)) from error

    def _complete(self, scope: dict, message: dict) -> None:
        """Complete the start of an answer: headers, the status of a refused call, cookies."""
        headers = MutableHeaders(scope=message)
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        # Gradio answers 500 to a call that was refused; `AuthorizedBlocks` has left the right status.
        if message["status"] == 500 and (status := scope.get(STATUS_KEY)):
            message["status"] = status
        # Only what is needed of a sign-in stays in the cookie; tokens do not.
        session = scope.get("session") or {}
        if scope["path"] == _OAUTH_CALLBACK and "oauth_info" in session:
            session["oauth_info"] = self.access.session_part(session["oauth_info"])
        has_cookie = VISITOR_COOKIE in Headers(scope=scope).get("cookie", "")
        if self.access.way is Way.SPACE and scope["path"] == "/" and not has_cookie:
            # `Partitioned` and `SameSite=None`: a Space is shown in a frame of huggingface.co.
            attributes = f"Path=/; HttpOnly; Secure; SameSite=None; Partitioned; Max-Age={_COOKIE_SECONDS}"
            headers.append("set-cookie", f"{VISITOR_COOKIE}={secrets.token_hex(16)}; {attributes}")


def _path(request: Request) -> str:
    """Return the path without the prefix of a proxy."""
    path, root = request.scope["path"], request.scope.get("root_path", "")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def _host_name(host: str) -> str | None:
    """Return a host without its port; None if it is not a valid host."""
    try:
        split = urlsplit(f"//{host}")
        return (split.hostname or "") if _HOST.fullmatch(host) and split.port != 0 else None
    # A port above 65535, or brackets around what is no address.
    except ValueError:
        return None
