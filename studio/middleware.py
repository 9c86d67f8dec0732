"""The gate before Gradio's routes: which are open, to whom, from where; and the headers of every answer.

It stands inside of Gradio's own session middleware, so that it sees who signed in. Default deny: a route that the page
does not need is not there.
"""

import asyncio
import math
import re
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse

from core.access import quotas
from core.access.quotas import Quotas
from core.access.roles import CLOSED, Role, Way
from core.errors import StudioError
from core.settings import Settings, on_space
from core.system.secret_masking import log_event, masked
from studio.authorized_blocks import COOKIE, SCOPE, Guarded
from studio.sign_in import SignInThrottle

_PAGE = (
    r"/|/config/?|/theme\.css|/static/.+|/assets/.+|/svelte/.+|/favicon\.ico|/robots\.txt|/manifest\.json|/pwa_icon.*"
)
_SIGNING_IN = r"/login/?|/login/huggingface|/login/callback|/logout|/gradio_api/(login_check|user|app_id)/?"
# The name of a session is plain: Gradio makes a URL of it once the browser has left, when nobody can be answered.
_CALLS = (
    r"/gradio_api/(info|openapi\.json|theme\.css|startup-events|queue/(join|data|status)|cancel|reset)/?"
    r"|/gradio_api/(run|api|call)/.+|/gradio_api/heartbeat/[A-Za-z0-9_-]{1,100}|/gradio_api/upload_progress"
    r"|/gradio_api/upload|/gradio_api/file=.+"
)
OPEN = re.compile(f"(?:{_PAGE}|{_SIGNING_IN}|{_CALLS})")
_AWAITED = re.compile(r"/gradio_api/(?:queue/data|call/.+/(?P<call>[^/]+))")
# A name with a port, as it stands in `Host`; what else stands there is taken apart by nobody in the same way.
_HOST = re.compile(r"(?:[\w.~-]*|\[[\da-f:.]+\])(?::\d{1,5})?", re.ASCII | re.IGNORECASE)
_NOT_SIGNED_IN = (
    "Hugging Face did not sign you in. Close this tab and press Sign in again. If that does not help, the Space's log "
    "says why."
)
_VISITOR_BODY = 2**18
_FILE, _HEARTBEAT = "/gradio_api/file=", "/gradio_api/heartbeat/"
_PASSWORD = re.compile(r"/login/?")
_SIGN_IN, _SIGNED_IN = "/login/huggingface", "/login/callback"
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_NEVER = (b"x-gradio-server",)  # of a second server of Gradio's, which is not used
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-server",
              b"x-forwarded-port", b"x-forwarded-prefix", b"x-real-ip", b"x-direct-url", *_NEVER)  # fmt: skip
_FRAMED_BY = "'self' https://huggingface.co https://*.huggingface.co" if on_space() else "'self'"
# Gradio's page writes scripts and styles into itself and compiles templates; nothing comes from another host.
CSP = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    f"frame-ancestors {_FRAMED_BY}"
)
_HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

Asgi = Callable[[dict, Callable, Callable], Awaitable[None]]


class Refused(Exception):
    def __init__(self, status: int, why: str):
        super().__init__(why)
        self.status, self.why = status, why


class Gate:
    """ASGI middleware."""

    def __init__(self, app: Asgi, blocks: Guarded, settings: Settings, limits: Quotas):
        self.app, self.blocks, self.settings, self.limits = app, blocks, settings, limits
        self.access = blocks.access
        self.sign_ins = SignInThrottle()

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks over web sockets
            await send({"type": "websocket.close", "code": 1008})
            return
        dropped = _NEVER if self.settings.behind_proxy else _FORWARDED
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name not in dropped]
        started = False
        tried_from = self._signs_in_from(scope)

        async def answer(message: dict) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._finish(scope, message)
                if tried_from is not None and message["status"] == 200:
                    self.sign_ins.succeed(tried_from)
            await send(message)

        try:
            self._check(Request(scope))
            if tried_from is not None:
                await self._slow_down(tried_from)
        except Refused as refused:
            log_event("refused", path=scope["path"], status=refused.status, why=refused.why)
            await JSONResponse({"error": refused.why}, refused.status)(scope, receive, answer)
            return
        if scope["path"] == "/healthz":
            await PlainTextResponse("ok")(scope, receive, answer)
            return
        try:
            await self.app(scope, receive, answer)
        except (asyncio.CancelledError, StudioError):
            raise
        except Exception as error:
            if started:
                raise
            await self._broken(error, scope, receive, answer)

    async def _broken(self, error: Exception, scope: dict, receive: Callable, answer: Callable) -> None:
        """What Gradio's routes raise for a request that is none of the page's."""
        print(masked(f"{scope['method']} {scope['path'][:200]}: {error!r}"[:600]), file=sys.stderr)
        log_event("malformed", path=scope["path"], error=repr(error)[:200])
        if scope["path"] in (_SIGN_IN, _SIGNED_IN):  # the provider's no, or no answer of it: a person reads this
            await PlainTextResponse(_NOT_SIGNED_IN, 400)(scope, receive, answer)
            return
        words = f"This request is none that the page makes ({type(error).__name__})."
        await JSONResponse({"error": words}, 400)(scope, receive, answer)

    def _signs_in_from(self, scope: dict) -> str | None:
        """Return the address of a request that tries a password, or None."""
        if scope["method"] != "POST" or not _PASSWORD.fullmatch(_path(Request(scope))):
            return None
        return scope["client"][0] if scope.get("client") else "unknown"

    async def _slow_down(self, address: str) -> None:
        """Refuse a try that comes too soon after failed ones; delay it while many addresses guess."""
        if wait := self.sign_ins.wait_seconds(address):
            raise Refused(
                429, f"Too many wrong passwords came from your address. Try again in {math.ceil(wait)} seconds."
            )
        await asyncio.sleep(self.sign_ins.begin(address))

    def _check(self, request: Request) -> None:
        path = _path(request)
        if path == "/healthz":
            return
        self._from_here(request)
        if not OPEN.fullmatch(path):
            raise Refused(404, "There is nothing here.")
        caller = self.blocks.who(request)
        if path.startswith(_FILE):
            self._file(path.removeprefix(_FILE), caller)
        if path == "/gradio_api/queue/data" or path.startswith(_HEARTBEAT):
            beats = path.startswith(_HEARTBEAT)
            session = path.removeprefix(_HEARTBEAT) if beats else request.query_params.get("session_hash")
            if self.access.way is Way.SPACE and not self.blocks.owns(session, caller):
                raise Refused(403, "This session is another browser's. Load the page again.")
        if request.method == "GET" and (awaited := _AWAITED.fullmatch(path)):
            asked = awaited["call"] or request.query_params.get("session_hash", "")
            self.blocks.page_reads(asked)
            if not self._under_way(asked):
                raise Refused(404, "No call of this name is under way, or its answer was read before. Call again.")
        if path == "/gradio_api/upload":
            self._upload(request, caller.role)
        elif request.method == "POST" and not caller.is_owner:
            length = request.headers.get("content-length", "")
            if not length.isdigit() or int(length) > _VISITOR_BODY:
                raise Refused(413, f"A visitor's call has at most {_VISITOR_BODY:,} bytes, and says how many.")

    def _under_way(self, asked: str) -> bool:
        """Whether a session, or a call by its id, has something to say yet. Gradio finds out with its answer begun."""
        queue = self.blocks._queue
        calls = queue.pending_event_ids_session.values()
        return asked in queue.pending_messages_per_session or any(asked in ids for ids in list(calls))

    def _from_here(self, request: Request) -> None:
        """Against pages of other sites that call this server from the browser of somebody who may."""
        host = request.headers.get("host", "")
        forwarded = request.headers.get("x-forwarded-host", "").split(",")[0].strip()
        if _name(host) is None or _name(forwarded) is None:
            raise Refused(400, "A host's name is letters, digits, dots and hyphens, and after a colon its port.")
        ours = {name for name in (host, forwarded, *self.settings.known_hosts) if name}
        if self.access.way is Way.OWN_MACHINE and _name(host) not in (*_LOCAL_NAMES, *map(_name, ours - {host})):
            # a name that somebody else's DNS points at this machine must not make their page the owner
            raise Refused(
                403, f"This server knows itself as localhost, not as {host[:80]!r}. Behind a proxy, set STUDIO_HOSTS "
                "to the names it is reached by, and STUDIO_PASSWORD unless the proxy asks for one.",
            )  # fmt: skip
        if request.method in ("GET", "HEAD", "OPTIONS"):
            reads = request.url.path.startswith("/gradio_api/") and request.headers.get("sec-fetch-mode") != "navigate"
            if (reads or _path(request) == "/logout") and request.headers.get("sec-fetch-site") == "cross-site":
                raise Refused(403, "Pages of other sites may not read from here, nor sign anybody out.")
            return
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] not in ours:
            raise Refused(403, "Pages of other sites may not call this server.")
        if origin is None and request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise Refused(403, "Pages of other sites may not call this server.")

    def _file(self, asked: str, caller: Any) -> None:
        if "://" in unquote(asked) or asked.startswith(("http:", "https:")) or "\0" in asked:
            raise Refused(403, "Files are served from here only; nothing is fetched from elsewhere.")
        if self.access.way is Way.SPACE and not self.blocks.may_fetch(asked, caller):
            raise Refused(403, "This file was not made for you.")

    def _upload(self, request: Request, role: Role) -> None:
        if role is Role.VISITOR:
            raise Refused(403, f"Uploads are the owner's. {CLOSED}")
        length = request.headers.get("content-length", "")
        try:
            quotas.room_for_upload(
                self.settings, self.limits, self.settings.uploads_dir, int(length) if length.isdigit() else None
            )
        except StudioError as error:
            raise Refused(413, str(error)) from error

    def _finish(self, scope: dict, message: dict) -> None:
        """Headers, the status of a call that was refused, which Gradio calls 500, and what a sign-in leaves."""
        headers = MutableHeaders(scope=message)
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if message["status"] == 500 and (said := scope.get(SCOPE)):
            message["status"] = said
        session = scope.get("session") or {}
        if scope["path"] == _SIGNED_IN and "oauth_info" in session:
            session["oauth_info"] = self.access.kept(session["oauth_info"])
        if (
            self.access.way is Way.SPACE
            and scope["path"] == "/"
            and COOKIE not in Headers(scope=scope).get("cookie", "")
        ):
            name = secrets.token_hex(16)
            headers.append(
                "set-cookie", f"{COOKIE}={name}; Path=/; HttpOnly; Secure; SameSite=None; Partitioned; Max-Age=31536000"
            )


def _path(request: Request) -> str:
    """The path without what a proxy put before it."""
    path, root = request.scope["path"], request.scope.get("root_path", "")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def _name(host: str) -> str | None:
    """A host without its port; None for what is no host."""
    try:
        split = urlsplit(f"//{host}")
        return (split.hostname or "") if _HOST.fullmatch(host) and split.port != 0 else None
    except ValueError:  # a port beyond all ports, brackets around what is no address
        return None
