"""Choose the next call of Gradio's queue so that no visitor can take the places of others, nor visitors the owner's.

Gradio runs the calls of a function in the order in which they came, a few at a time, and all calls together in a fixed
number of places. Here the owner's calls come first, then those of the visitor with the fewest running ones. A call that
may not run yet stays in the queue, where it takes no place. Callers without a cookie count as one visitor.
"""

import random
from collections import Counter
from typing import Any

from gradio.queueing import Event, EventQueue

from core.access.roles import Caller
from studio.authorized_blocks import AuthorizedBlocks

# Running calls of one visitor. A page makes about ten when it loads.
MAX_CALLS_PER_VISITOR = 16
# Places of all functions together that visitors leave to the owner.
OWNERS_PLACES = 20


class FairQueue:
    """The choice of the next call, in place of the method `get_events` of Gradio's queue.

    Of the places of one function, a visitor takes at most half, and all visitors together leave one to the owner.
    """

    def __init__(self, blocks: AuthorizedBlocks):
        """Create the choice for the queue of `blocks`."""
        self._blocks, self._queue = blocks, blocks._queue

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """Take the next call from the queue; None if none may run now.

        Returns:
            The call, whether it is a batch (no function of the studio takes one), and the key of its function.
        """
        running = [event for job in self._queue.active_jobs if job for event in job]
        waiting = [each for each in self._queue.event_queue_per_concurrency_id.values() if each.queue]
        # As in Gradio, so that no function always comes first.
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
        is_full = len(of_visitors) >= len(self._queue.active_jobs) - OWNERS_PLACES or (
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


def share_queue_fairly(blocks: AuthorizedBlocks) -> None:
    """Let the queue of `blocks` choose its calls fairly, once it exists."""
    blocks._queue.get_events = FairQueue(blocks).get_events
