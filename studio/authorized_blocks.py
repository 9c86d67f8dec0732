"""Authorization of every call: all events, over all routes of Gradio, end in `AuthorizedBlocks.process_api`.

Default deny: a function that was not wrapped in `event_handler` is refused for everyone, one without `visitor=True` for
visitors. Sessions and files belong to the caller that used or made them first.
"""

import functools
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import utils
from gradio.blocks import BlockFunction
from gradio_client.utils import is_http_url_like

from core.access.roles import CLOSED, Access, Caller, Role, Way, acting
from core.errors import StudioError
from core.system.secret_masking import log_event
from core.web.origin import HEARTBEAT_PREFIX, MAX_PATH_CHARACTERS, path_of
from studio.event_values import check_depth, check_queued, check_text, check_whole_numbers
from studio.handlers import escape_toast, to_page_error
from studio.open_pages import BoundedDict, OpenPages
from studio.streamed_updates import keep_earlier
from studio.unread_messages import UnreadMessages

VISITOR_COOKIE = "studio_visitor"
FOREIGN_SESSION = "This session is another browser's. Load the page again."
# Key of the ASGI scope for the HTTP status of a refused call, which the middleware reads.
STATUS_KEY = "studio.status"
_MAX_COOKIE_CHARACTERS = 64
# Other names are refused and not stored: they could be of any length.
_SESSION_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
# Events that no person triggers; refusing them is no news to the caller, so no toast is shown.
_AUTOMATIC_EVENTS = {"load", "unload", "tick", "change", "select", "then", "success"}


class AuthorizedBlocks(gr.Blocks):
    """Blocks that check the caller of every call.

    Attributes:
        access: How the server knows its callers.
        file_owners: By path, the name of the caller that a file was made for.
        session_owners: By session hash, the name of the caller that used it first.
        former_owners: By session hash, the name that its caller had before signing in. A page that was open then still
            closes its session by that name.
        open_pages: The register that chooses which page is dropped where there are too many.
    """

    def __init__(self, access: Access, **options: Any):
        """Create the page.

        Args:
            access: How the server knows its callers.
            options: Passed on to `gr.Blocks`.
        """
        # Set before Blocks is initialized, which reads `expects_oauth`.
        self.access = access
        super().__init__(**options)
        self.file_owners: BoundedDict = BoundedDict()
        self.session_owners: BoundedDict = BoundedDict()
        self.former_owners: BoundedDict = BoundedDict()
        self.open_pages = OpenPages()

    @property
    def expects_oauth(self) -> bool:
        """Return whether Gradio adds the routes for signing in and the signed session cookie."""
        return self.access.oauth

    def caller_of(self, request: Any, user: str | None = None) -> Caller:
        """Return the caller of a request.

        Args:
            request: Starlette's request; None for a call from inside the server.
            user: The user name that the password was given for; None to read it from the request's cookies.
        """
        if user is None and request is not None and self.access.way is Way.PASSWORD:
            user = _password_user(request)
        session = request.scope.get("session") if request is not None else None
        cookie = request.cookies.get(VISITOR_COOKIE, "") if request is not None else ""
        return self.access.who(session, user, cookie[:_MAX_COOKIE_CHARACTERS])

    def owns_session(self, session_hash: str | None, caller: Caller) -> bool:
        """Return whether a session belongs to the caller; an unused session is assigned to them.

        Sessions of a browser in which the caller has signed in are reassigned, because its page is still open. Signing
        out reassigns none.
        """
        if not session_hash:
            return True
        if not _SESSION_NAME.fullmatch(session_hash):
            return False
        owner = self.session_owners.setdefault(session_hash, caller.name)
        if owner == caller.before != "":
            self.session_owners[session_hash] = owner = caller.name
            self.former_owners[session_hash] = caller.before
        if caller.is_owner and owner == caller.name:
            self.open_pages.note_owner(session_hash)
        return owner == caller.name

    def mark_reading(self, name: str) -> Callable[[], None]:
        """Note that a page, or a call by its id, reads its messages (studio/unread_messages.py).

        Returns:
            Callback that notes that its stream has ended.
        """
        pending = self._queue.pending_messages_per_session
        if not isinstance(pending, UnreadMessages):
            return lambda: None
        return functools.partial(pending.end_reading, pending.mark_reading(name))

    def authorize(self, function: BlockFunction, caller: Caller, session_hash: str | None) -> None:
        """Check that the caller may call the function in this session.

        Raises:
            StudioError: The caller may not.
        """
        for_visitors = getattr(function.fn, "for_visitors", None)
        if for_visitors is None or caller.role is Role.SIGNED_OUT:
            raise StudioError("This call is not available to you. The page offers what is.")
        if not for_visitors and not caller.is_owner:
            raise StudioError(f"Only the owner can do this. {CLOSED}")
        is_unload = {kind for _, kind in function.targets} == {"unload"}
        closes_own_page = is_unload and self.former_owners.get(session_hash) == caller.name
        if not closes_own_page and not self.owns_session(session_hash, caller):
            raise StudioError(FOREIGN_SESSION)

    async def process_api(
        self, block_fn: BlockFunction | int, inputs: list[Any], state: Any = None, request: Any = None, *args: Any,
        **options: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Authorize a call, run it for its caller, and note the files that it made."""
        function = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        gradio_request = request[0] if isinstance(request, list) else request
        raw = getattr(gradio_request, "request", None)
        caller = self.caller_of(raw, getattr(gradio_request, "username", None))
        self.open_pages.note_network(options.get("session_hash"), raw)
        try:
            self.authorize(function, caller, options.get("session_hash"))
            carried = getattr(options.get("event_data"), "_data", None)
            check_depth(inputs, carried)
            check_text(inputs, carried)
            check_no_urls(inputs)
            self.check_own_files(inputs, caller)
            check_event_data(function, options.get("event_data"))
            check_queued(function, options.get("event_id"))
        except StudioError as error:
            refusal = to_page_error(error)
            refusal.visible = not {kind for _, kind in function.targets} <= _AUTOMATIC_EVENTS
            _set_status(raw, 403)
            log_event("refused", call=function.api_name, caller=caller.name, why=str(error))
            # Gradio calls unload events when a page has gone, for example after signing out. Nobody reads a refusal.
            if raw is not None and path_of(raw).startswith(HEARTBEAT_PREFIX):
                return {"data": [], "is_generating": False, "duration": 0, "average_duration": 0}
            raise refusal from error
        with acting(caller):
            try:
                output = await super().process_api(function, inputs, state, request, *args, **options)
            except gr.Error as error:
                # `event_handler` has logged the traceback of a defect already.
                error.print_exception = False
                _set_status(raw, 400)
                raise
        self._note_files(output.get("data"), caller)
        log_event("call", call=function.api_name, caller=caller.name, seconds=round(output.get("duration") or 0, 3))
        return output

    def handle_streaming_diffs(
        self, block_fn: BlockFunction, data: list[Any], session_hash: str | None, run: str | None, final: bool,
        simple_format: bool = False,
    ) -> list[Any]:  # fmt: skip
        """Replace the outputs of a running event by edits of those before (`studio.streamed_updates`)."""
        values = list(data)
        is_edited = not final and not simple_format and run in self.pending_diff_streams.get(session_hash, ())
        edits = super().handle_streaming_diffs(block_fn, data, session_hash, run, final, simple_format)
        return [keep_earlier(*pair) for pair in zip(edits, values, strict=True)] if is_edited else edits

    async def preprocess_data(self, block_fn: BlockFunction, inputs: list[Any], *args: Any, **options: Any) -> Any:
        """Convert the inputs; values that a component cannot convert are the caller's mistake, not a defect."""
        try:
            check_whole_numbers(block_fn, inputs)
            return await super().preprocess_data(block_fn, inputs, *args, **options)
        except StudioError as error:
            raise to_page_error(error) from error
        except gr.Error as error:
            # A component's own text may quote the value, and a toast shows HTML.
            error.message = escape_toast(str(error.message))
            error.print_exception = False
            raise
        # Components raise all kinds of exceptions for values that no page sends.
        except Exception as error:
            text = f"The values do not fit this call ({type(error).__name__}). Send those that docs/api.md lists."
            raise to_page_error(StudioError(text)) from error

    def check_own_files(self, inputs: Any, caller: Caller) -> None:
        """Check that a visitor's call names no file that was not made for them; Gradio lets exported ones pass.

        Raises:
            StudioError: The call names such a file, or a path that is too long.
        """
        paths = _file_paths(inputs)
        # Gradio resolves the paths in the event loop, in a time that grows with the square of their length.
        if long := next((path for path in paths if len(path) > MAX_PATH_CHARACTERS), None):
            raise StudioError(
                f"This call names a file by {len(long):,} characters, and a path has at most {MAX_PATH_CHARACTERS:,}. "
                "Upload the file again under a shorter name."
            )
        if caller.role is Role.VISITOR and not all(self.may_fetch(path, caller) for path in paths):
            raise StudioError("This call names a file that was not made for you. Visitors upload no files.")

    def _note_files(self, data: Any, caller: Caller) -> None:
        for path in _file_paths(data):
            if len(path) <= MAX_PATH_CHARACTERS and not is_http_url_like(path):
                # A page names a file by the path that it got; Gradio's own links may name it without symbolic links.
                for name in {path, str(Path(path).resolve())}:
                    self.file_owners[name] = caller.name

    def may_fetch(self, path: str, caller: Caller) -> bool:
        """Return whether the caller may fetch a file, named as in the answer of a call.

        The path of a request is compared and not resolved, which would ask the disk about each of its parts. Gradio's
        own rules apply in addition.
        """
        made_for = self.file_owners.get(path)
        return caller.is_owner or made_for in (caller.name, caller.before or caller.name)


def _password_user(request: Any) -> str | None:
    """Return the user name of a browser that has given the password, as Gradio's own routes find it."""
    app = request.scope.get("app")
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}") if app is not None else ()
    tokens = (request.cookies.get(name) for name in names)
    return next((app.tokens[token] for token in tokens if token in app.tokens), None)


def _set_status(request: Any, status: int) -> None:
    """Leave the HTTP status of a refused call to the middleware: Gradio answers 500."""
    if request is not None:
        request.scope[STATUS_KEY] = status


def _file_paths(data: Any) -> list[str]:
    """Return the paths of all files in the inputs or outputs of a call, at any depth."""
    found, pending = [], [data]
    # A loop instead of recursion: the data comes from outside and may be nested deeply.
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str):
                found.append(value["path"])
            pending += value.values()
        elif isinstance(value, (list, tuple)):
            pending += value
    return found


def check_event_data(function: BlockFunction, event: gr.EventData | None) -> None:
    """Check that an event carries what its kind needs; Gradio would fail on a selection without an index.

    Raises:
        StudioError: The event carries something else, or nothing.
    """
    if event is None or function.fn is None:
        return
    for kind in utils.get_type_hints(function.fn).values():
        if inspect.isclass(kind) and issubclass(kind, gr.EventData):
            try:
                kind(event.target, event._data)
            except (TypeError, KeyError, AttributeError, ValueError) as error:
                raise StudioError(
                    f"The event of this call is not a complete {kind.__name__} ({type(error).__name__}). "
                    "Reload the page, or leave the event out."
                ) from error


def check_no_urls(inputs: Any) -> None:
    """Check that no file among the inputs would have to be fetched from another server.

    Raises:
        StudioError: A file has the address of another server.
    """
    if any(is_http_url_like(path) or "://" in path for path in _file_paths(inputs)):
        raise StudioError("A file on another server was named. Upload the file; nothing is fetched from elsewhere.")
