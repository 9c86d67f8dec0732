"""Bound and order the calls of Gradio's queue: one visitor cannot block the others, nor can visitors block the owner.

Gradio runs the calls of a function in the order in which they came, a few at a time, and at most a fixed number
of calls of all functions together. Here the owner's calls come first, then those of the visitor with the fewest running
ones. A call that may not run yet stays in the queue, where it is not counted as running. Callers without a cookie count
as one visitor.

The queue holds a bounded number of visitors' calls, and of bytes of their bodies; beyond it a call is refused with 429.
Gradio sends every waiting call its position whenever one starts: a number of messages quadratic in the number of calls.
Here it does so at intervals (`ESTIMATE_SECONDS`).
"""

import random
from collections import Counter
from typing import Any

from gradio.queueing import Event, EventQueue, Queue
from starlette.exceptions import HTTPException

from core.access.roles import Caller
from core.system.secret_masking import log_event
from studio.authorized_blocks import FOREIGN_SESSION, AuthorizedBlocks

# Running calls of one visitor. A page makes about ten when it loads.
MAX_CALLS_PER_VISITOR = 16
# Running calls of all functions together that visitors leave to the owner.
OWNERS_CALLS = 20
# Waiting calls and their bodies' bytes, of one visitor and of all visitors together. The owner has no limit.
MAX_WAITING = 50
MAX_WAITING_BYTES = 2**21
MAX_WAITING_OF_ALL = 500
MAX_WAITING_BYTES_OF_ALL = 2**25
# Seconds between two messages with the position of a waiting call.
ESTIMATE_SECONDS = 10.0
# Delay of a call that nothing else waits for; a person does not notice it.
POLL_SECONDS = 0.01

_TOO_MANY = "{} of your calls already wait, and {} is the limit. Wait for one to end, then try again."
_TOO_MANY_BYTES = "Your waiting calls hold {:,} bytes, and {:,} is the limit. Wait for one to end, then try again."
_TOO_BUSY = "Too many visitors' calls wait at the moment. Try again in a minute."


class FairQueue:
    """Admission and choice of calls, in place of the methods `push` and `get_events` of Gradio's queue.

    Of the calls of one function that may run at once, a visitor has at most half, and all visitors together leave one
    to the owner.
    """

    def __init__(self, blocks: AuthorizedBlocks):
        """Create the rules for the queue of `blocks`."""
        self._blocks, self._queue = blocks, blocks._queue

    async def push(self, body: Any, request: Any, username: str | None) -> tuple:
        """Add a call to the queue, as Gradio's queue does.

        Raises:
            HTTPException: Too many calls wait (429), or the session is another caller's (403).
        """
        caller = self._blocks.caller_of(request, username)
        if not self._blocks.owns_session(body.session_hash, caller):
            raise HTTPException(403, FOREIGN_SESSION)
        if refusal := self._refusal(caller, _body_bytes(request)):
            log_event("refused", path="queue", status=429, caller=caller.name, why=refusal)
            raise HTTPException(429, refusal)
        self._blocks.open_pages.note_network(body.session_hash, request)
        is_own_session = body.session_hash is None
        answer = await Queue.push(self._queue, body, request, username)
        # A call without a session is one of its own, which belongs to its caller from now on.
        if is_own_session and answer[0]:
            self._blocks.owns_session(str(answer[1]), caller)
            self._blocks.open_pages.note_network(str(answer[1]), request)
        return answer

    def _refusal(self, caller: Caller, size: int) -> str | None:
        """Return why a call of `size` bytes may not wait; None if it may."""
        if caller.is_owner:
            return None
        queues = self._queue.event_queue_per_concurrency_id.values()
        waiting = [event for calls in queues for event in calls.queue if not self._caller(event).is_owner]
        own = [event for event in waiting if self._caller(event).name == caller.name]
        if len(own) >= MAX_WAITING:
            return _TOO_MANY.format(len(own), MAX_WAITING)
        if (held := sum(_body_bytes(event.request) for event in own)) + size > MAX_WAITING_BYTES:
            return _TOO_MANY_BYTES.format(held, MAX_WAITING_BYTES)
        all_bytes = sum(_body_bytes(event.request) for event in waiting) + size
        is_full = len(waiting) >= MAX_WAITING_OF_ALL or all_bytes > MAX_WAITING_BYTES_OF_ALL
        return _TOO_BUSY if is_full else None

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """Take the next call from the queue; None if none may run now.

        Returns:
            The call, whether it is a batch (no function of the studio takes one), and the key of its function.
        """
        running = [event for job in self._queue.active_jobs if job for event in job]
        waiting = [each for each in self._queue.event_queue_per_concurrency_id.values() if each.queue]
        # Gradio shuffles them, too, so that no function always comes first.
        random.shuffle(waiting)
        for calls in waiting:
            if event := self._choose(calls, running):
                calls.queue.remove(event)
                return [event], False, calls.concurrency_id
        return None

    def _choose(self, calls: EventQueue, running: list[Event]) -> Event | None:
        """Return the waiting call of one function that should run next, or None."""
        limit = calls.concurrency_limit
        if limit is not None and calls.current_concurrency >= limit:
            return None
        of_visitors = [event for event in running if not self._caller(event).is_owner]
        counts = Counter(self._caller(event).name for event in of_visitors)
        same = [event for event in of_visitors if event.concurrency_id == calls.concurrency_id]
        same_counts = Counter(self._caller(event).name for event in same)
        is_full = len(of_visitors) >= len(self._queue.active_jobs) - OWNERS_CALLS or (
            limit is not None and len(same) >= max(1, limit - 1)
        )

        def may_run(name: str) -> bool:
            has_half = limit is not None and same_counts[name] >= max(1, limit // 2)
            return not is_full and not has_half and counts[name] < MAX_CALLS_PER_VISITOR

        chosen: Event | None = None
        for event in calls.queue:
            caller = self._caller(event)
            if caller.is_owner:
                return event
            is_next = chosen is None or counts[caller.name] < counts[self._caller(chosen).name]
            if is_next and may_run(caller.name):
                chosen = event
        return chosen

    def _caller(self, event: Event) -> Caller:
        """Return the caller of a call; it is determined once, since a call waits for many choices."""
        if not hasattr(event, "caller"):
            event.caller: Any = self._blocks.caller_of(event.request, event.username)
        return event.caller


def _body_bytes(request: Any) -> int:
    """Return the declared size of a request's body; the middleware lets no visitor's call pass without one."""
    length = request.headers.get("content-length", "") if request is not None else ""
    return int(length) if length.isdecimal() else 0


def share_queue_fairly(blocks: AuthorizedBlocks) -> None:
    """Let the queue of `blocks` admit and choose its calls fairly, once it exists."""
    fair = FairQueue(blocks)
    # Gradio looks for calls and for progress every millisecond, also while there are none. Each look takes the
    # interpreter from the thread that computes tokens.
    blocks._queue.sleep_when_free = blocks._queue.progress_update_sleep_when_free = POLL_SECONDS
    blocks._queue.push, blocks._queue.get_events = fair.push, fair.get_events
