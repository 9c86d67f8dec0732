"""Checks that a caller reads, keeps alive and cancels only their own sessions and calls, and of a call's size."""

import json
import re
from typing import Any

from starlette.requests import Request

from core.access.roles import Caller, Way
from core.web.origin import HEARTBEAT_PREFIX, RefusalError
from studio.authorized_blocks import FOREIGN_SESSION, AuthorizedBlocks

_RESULT_ROUTES = re.compile(r"/gradio_api/(?:queue/data|call/.+/(?P<call>[^/]+))")
_STOP_ROUTES = re.compile(r"/gradio_api/(?:cancel|reset)/?")
# Key of the ASGI scope for the function that notes the end of an answer's stream; the middleware calls it.
END_KEY = "studio.end_reading"
# Parsing, checking and hashing one part takes 2 to 4 µs of the event loop (an empty list, measured), at this limit
# 11 ms for a call. The page sends some dozens; 2,000 rows that are ticked at once are the most.
MAX_PARTS = 5_000
# A string in JSON; one that is not closed goes to the end. Possessive, so that no input makes the pattern backtrack.
_JSON_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_FOREIGN_CALL = "This call is another browser's. Call again."


def check_session(blocks: AuthorizedBlocks, request: Request, path: str, caller: Caller) -> None:
    """Let only a session's owner read its messages or keep it alive.

    Raises:
        RefusalError: The caller is another one.
    """
    is_heartbeat = path.startswith(HEARTBEAT_PREFIX)
    if blocks.access.way is not Way.SPACE or not (is_heartbeat or path == "/gradio_api/queue/data"):
        return
    session = path.removeprefix(HEARTBEAT_PREFIX) if is_heartbeat else request.query_params.get("session_hash")
    if not blocks.owns_session(session, caller):
        raise RefusalError(403, FOREIGN_SESSION)


def check_result(blocks: AuthorizedBlocks, request: Request, path: str, caller: Caller) -> None:
    """Check that the call whose result is asked for exists, and is the caller's.

    Gradio would notice a missing call only after it has begun to answer.

    Raises:
        RefusalError: There is no such call, or it is another caller's.
    """
    if request.method != "GET" or not (found := _RESULT_ROUTES.fullmatch(path)):
        return
    name = found["call"] or request.query_params.get("session_hash", "")
    pending = blocks._queue.pending_messages_per_session
    session = _session_of(blocks, name) or (name if name in pending else None)
    if session is None:
        raise RefusalError(404, "No call of this name is running, or its result was read before. Call again.")
    if not _owns(blocks, session, caller):
        raise RefusalError(403, _FOREIGN_CALL)
    request.scope[END_KEY] = blocks.mark_reading(name)


def check_stop(blocks: AuthorizedBlocks, path: str, body: bytes, caller: Caller) -> None:
    """Check that a call that is to be cancelled or reset is the caller's.

    Args:
        blocks: The page.
        path: Path of the request.
        body: Its whole body.
        caller: Its caller.

    Raises:
        RefusalError: It is another caller's.
    """
    if not _STOP_ROUTES.fullmatch(path):
        return
    try:
        wanted: Any = json.loads(body)
    # Gradio refuses what is no JSON.
    except (ValueError, RecursionError):
        return
    if not isinstance(wanted, dict):
        return
    named = [wanted.get(name) for name in ("session_hash", "event_id")]
    sessions = [named[0], *(_session_of(blocks, name) for name in named if isinstance(name, str))]
    if any(isinstance(name, str) and not _owns(blocks, name, caller) for name in sessions):
        raise RefusalError(403, _FOREIGN_CALL)


def check_parts(body: bytes) -> None:
    """Check that JSON has few enough parts to be walked; it is counted without being parsed.

    Each part of a list or an object but the first follows a comma, and each list or object begins with a bracket.

    Args:
        body: JSON in UTF-8. In another encoding the limit holds for texts, too, because their ends are not found.

    Raises:
        RefusalError: It has more than `MAX_PARTS` parts.
    """
    count = _count_marks(body)
    # A text may hold any number of commas. UTF-16 and UTF-32 hold NULs, which UTF-8 has in no JSON.
    if count > MAX_PARTS and b"\0" not in body:
        count = _count_marks(_JSON_TEXT.sub(b"", body))
    if count > MAX_PARTS:
        raise RefusalError(
            413, f"This call has {count:,} lists, objects and further entries, and at most {MAX_PARTS:,} are read. "
            "Send fewer, or sign in first if the studio is yours.",
        )  # fmt: skip


def _count_marks(body: bytes) -> int:
    return sum(map(body.count, (b"[", b"{", b",")))


def _owns(blocks: AuthorizedBlocks, session: str, caller: Caller) -> bool:
    """Return whether a session is the caller's; only on a Space there are several callers."""
    return blocks.access.way is not Way.SPACE or blocks.owns_session(session, caller)


def _session_of(blocks: AuthorizedBlocks, call: str) -> str | None:
    """Return the session of a call that waits, runs, or whose result was not read; None if there is none."""
    queue = blocks._queue
    if event := queue.event_ids_to_events.get(call):
        return event.session_hash
    return next((name for name, ids in list(queue.pending_event_ids_session.items()) if call in ids), None)
