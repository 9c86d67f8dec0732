"""The one place where a call is let in: every event, over every route of Gradio, ends in `Guarded.process_api`.

Default deny: a function that was not wrapped in `event_handler` is refused for everybody, one without `visitor=True`
for visitors.
"""

import inspect
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import utils
from gradio.blocks import BlockFunction
from gradio_client.utils import is_http_url_like

from core.access.roles import CLOSED, Access, Caller, Role, acting
from core.errors import StudioError
from core.system.secret_masking import log_event
from studio.handlers import shown
from studio.sessions import Unread

COOKIE = "studio_visitor"
SCOPE = "studio.said"  # where the gate finds what a refused call is answered with
_REMEMBERED = 20_000
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,100}")  # a session's name: what else is remembered could be of any length
_BY_ITSELF = {"load", "unload", "tick", "change", "select", "then", "success"}  # events that nobody pressed
_URL = "A file on another server was named. Files are uploaded here, never fetched."


class Remembered(OrderedDict):
    """The newest entries of a mapping."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        while len(self) > _REMEMBERED:
            self.popitem(last=False)


class Guarded(gr.Blocks):
    """Blocks that ask `Access` at every call.

    Attributes:
        files: by path, the caller that a file was made for.
        sessions: by session hash, the caller that it belongs to, the first that used it.
        left: of those that somebody took along when they signed in, whose they were: a page that was open since before
            that is closed by that name.
    """

    def __init__(self, access: Access, **options: Any):
        self.access = access  # first: Blocks asks for `expects_oauth` while it is made
        super().__init__(**options)
        self.files: Remembered = Remembered()
        self.sessions: Remembered = Remembered()
        self.left: Remembered = Remembered()

    @property
    def expects_oauth(self) -> bool:
        """Gradio adds the routes to sign in, and the signed session cookie, where this is so."""
        return self.access.oauth

    def who(self, request: Any, user: str | None = None) -> Caller:
        """The caller of a request of starlette's."""
        session = request.scope.get("session") if request is not None else None
        cookie = request.cookies.get(COOKIE, "") if request is not None else ""
        return self.access.who(session, user, cookie[:64])

    def owns(self, session_hash: str | None, caller: Caller) -> bool:
        """Whether a session is the caller's.

        One that nobody used yet becomes so, and those of a browser in which the caller has signed in: the page that
        they came from is still open there. Signing out gives none back.
        """
        if not session_hash:
            return True
        if not _PLAIN.fullmatch(session_hash):
            return False
        holder = self.sessions.setdefault(session_hash, caller.name)
        if holder == caller.before != "":
            self.sessions[session_hash] = holder = caller.name
            self.left[session_hash] = caller.before
        return holder == caller.name

    def page_reads(self, asked: str) -> None:
        """Note that a page, or a call by its id, reads its answers (studio/sessions.py)."""
        pending = self._queue.pending_messages_per_session
        if isinstance(pending, Unread):
            pending.reading(asked)

    def permit(self, function: BlockFunction, caller: Caller, session_hash: str | None) -> None:
        """Raises StudioError when the caller may not call the function."""
        for_visitors = getattr(function.fn, "for_visitors", None)
        if for_visitors is None or caller.role is Role.NOBODY:
            raise StudioError("This call is closed.")
        if not for_visitors and not caller.is_owner:
            raise StudioError(f"That is the owner's. {CLOSED}")
        closes = {kind for _, kind in function.targets} == {"unload"} and self.left.get(session_hash) == caller.name
        if not closes and not self.owns(session_hash, caller):
            raise StudioError("This session is another browser's. Load the page again.")

    async def process_api(
        self, block_fn: BlockFunction | int, inputs: list[Any], state: Any = None, request: Any = None, *args: Any,
        **options: Any,
    ) -> dict[str, Any]:  # fmt: skip
        function = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        asked = request[0] if isinstance(request, list) else request
        raw = getattr(asked, "request", None)
        caller = self.who(raw, getattr(asked, "username", None))
        try:
            self.permit(function, caller, options.get("session_hash"))
            refuse_urls(inputs)
            refuse_half_an_event(function, options.get("event_data"))
        except StudioError as error:
            refusal = shown(error)
            refusal.visible = not {kind for _, kind in function.targets} <= _BY_ITSELF
            _say(raw, 403)
            log_event("refused", call=function.api_name, caller=caller.name, why=str(error))
            raise refusal from error
        with acting(caller):
            try:
                output = await super().process_api(function, inputs, state, request, *args, **options)
            except gr.Error as refusal:
                refusal.print_exception = False  # of a defect, the story is in the log already
                _say(raw, 400)
                raise
        self._remember_files(output.get("data"), caller)
        log_event("call", call=function.api_name, caller=caller.name, seconds=round(output.get("duration") or 0, 3))
        return output

    async def preprocess_data(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().preprocess_data(*args, **options)
        except gr.Error as refusal:
            refusal.print_exception = False  # the caller's mistake, not the server's
            raise
        except Exception as error:  # whatever a component makes of values that are none of its own
            words = f"The values do not fit this call ({type(error).__name__}). Expected what docs/api.md says."
            raise shown(StudioError(words)) from error

    def _remember_files(self, data: Any, caller: Caller) -> None:
        for path in _paths(data):
            if not is_http_url_like(path):
                self.files[str(Path(path).resolve())] = caller.name

    def may_fetch(self, path: str, caller: Caller) -> bool:
        """Whether a file is the caller's to have; Gradio's own rules come on top."""
        made_for = self.files.get(str(Path(path).resolve()), None)
        return caller.is_owner or made_for in (caller.name, caller.before or caller.name)


def _say(request: Any, status: int) -> None:
    if request is not None:
        request.scope[SCOPE] = status


def _paths(data: Any) -> list[str]:
    """The paths of all files in what a call was given or gave."""
    found, waiting = [], [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str):
                found.append(value["path"])
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value
    return found


def refuse_half_an_event(function: BlockFunction, event: gr.EventData | None) -> None:
    """Refuse an event without what its kind tells, such as a choice that names nothing: Gradio would fail on it."""
    if event is None or function.fn is None:
        return
    for kind in utils.get_type_hints(function.fn).values():
        if inspect.isclass(kind) and issubclass(kind, gr.EventData):
            try:
                kind(event.target, event._data)
            except (TypeError, KeyError, AttributeError, ValueError) as error:
                raise StudioError(
                    f"The event that came with this call does not say what a {kind.__name__} says "
                    f"({type(error).__name__}). Reload the page, or leave the event out."
                ) from error


def refuse_urls(inputs: Any) -> None:
    """Raises StudioError when a file among the inputs would have to be fetched from somewhere."""
    if any(is_http_url_like(path) or "://" in path for path in _paths(inputs)):
        raise StudioError(_URL)
