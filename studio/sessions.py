"""Bounded memory per open page.

Gradio copies the configuration of every component for each page (0.7 MB and 0.1 s of CPU for ours), and keeps unread
messages of up to 2,000 pages. Here nothing is copied, and of the pages that sent a call and read nothing, the oldest
are dropped. Of too many open pages, those of the caller with the most are dropped first.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from gradio import routes, state_holder
from gradio.blocks import Blocks
from gradio.state_holder import SessionState, StateHolder

MAX_UNREAD_PAGES = 100
# A browser begins to read within one second; later, the next call of any page drops the silent one.
UNREAD_SECONDS = 15.0


class LightSession(SessionState):
    """Gradio's state of one page without the record of what each component shows.

    Gradio keeps that record for deep links, which are closed here (studio/middleware.py).
    """

    def __init__(self, blocks: Blocks):
        """Create the state of a page of `blocks`."""
        super().__init__(_NoComponents(blocks))

    def __setitem__(self, key: int, value: Any) -> None:
        """Store a value, and nothing of its component."""
        super().__setitem__(key, value)
        self.config_values.clear()

    def _update_config(self, key: int) -> None:
        """Record nothing."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Record nothing."""


class _NoComponents:
    """Blocks as Gradio's session state reads them: the default configuration, and no component to copy."""

    def __init__(self, blocks: Blocks):
        self.default_config, self.blocks = blocks.default_config, {}


class UnreadMessages(OrderedDict):
    """Gradio's messages by page, without those of pages that send calls and never read.

    A page is added when it sends a call, and counts as unread until `mark_reading` is called for it.
    """

    def __init__(self, queue: Any, max_pages: int = MAX_UNREAD_PAGES, clock: Callable[[], float] = time.monotonic):
        """Create the mapping.

        Args:
            queue: Gradio's queue, which holds the calls of the pages.
            max_pages: Unread pages that are kept.
            clock: Returns seconds.
        """
        super().__init__()
        self._queue, self._max_pages, self._clock = queue, max_pages, clock
        # By page, the time of its first unread call; the oldest comes first.
        self._unread: OrderedDict[str, float] = OrderedDict()
        # The event loop holds tasks weakly, so they are kept here until they are done.
        self._tasks: set[asyncio.Task] = set()

    def __setitem__(self, session: str, messages: Any) -> None:
        """Add a page, and drop those that are unread for too long or too many."""
        super().__setitem__(session, messages)
        self._unread[session] = self._clock()
        while self._unread:
            oldest, since = next(iter(self._unread.items()))
            if len(self._unread) <= self._max_pages and self._clock() - since < UNREAD_SECONDS:
                break
            self._drop(oldest)

    def __delitem__(self, session: str) -> None:
        """Remove a page whose messages are read to the end."""
        self._unread.pop(session, None)
        super().__delitem__(session)

    def mark_reading(self, name: str) -> None:
        """Note that a page reads its messages.

        Args:
            name: The page's session hash, or the id of one of its calls.
        """
        session = next((s for s, ids in self._queue.pending_event_ids_session.items() if name in ids), name)
        self._unread.pop(session, None)

    def _drop(self, session: str) -> None:
        """Drop a page's messages and its pending calls, as Gradio does when a browser goes away."""
        del self[session]
        task = asyncio.get_running_loop().create_task(self._queue.clean_events(session_hash=session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._queue.pending_event_ids_session.pop(session, None)


class FairSessions(StateHolder):
    """Gradio's states of all pages, which drops those of the visitor with the most pages first.

    Gradio itself drops the page that was used longest ago, so one visitor with many pages could empty all others'.
    """

    def update(self, session_id: str) -> None:
        """Mark a page as used last, and drop others beyond the capacity."""
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)
            while len(self.session_data) > self.capacity and (dropped := self._choose(session_id)):
                self.session_data.pop(dropped)
                self.time_last_used.pop(dropped, None)

    def _choose(self, latest: str) -> str | None:
        """Return the page to drop: the oldest of the visitor with the most pages, or of the owner without visitors."""
        owners = self.blocks.session_owners
        pages = [(name, owners.get(name, "")) for name in self.session_data if name != latest]
        visitors = [(name, owner) for name, owner in pages if owner not in self.blocks.owner_names]
        counts = Counter(owner for _, owner in visitors)
        return max(visitors or pages, key=lambda page: counts[page[1]], default=(None, ""))[0]


def limit_session_memory(blocks: Blocks) -> None:
    """Let all pages of `blocks` use light, fairly dropped sessions and bounded messages, once its queue exists."""
    state_holder.SessionState = LightSession
    # The app that Gradio creates at the launch takes the class from this module.
    routes.StateHolder = FairSessions
    blocks._queue.pending_messages_per_session = UnreadMessages(blocks._queue)
