"""The memory that each open page takes on the server, small and bounded.

Gradio copies the configuration of every component for each page (0.7 MB and 0.1 s of CPU for ours), and keeps what a
page has not read of up to 2,000 pages. Here nothing is copied, and of pages that asked for something and read nothing,
the oldest are forgotten.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from gradio import state_holder
from gradio.blocks import Blocks
from gradio.state_holder import SessionState

MOST_UNREAD = 100  # pages that asked for something and have not begun to read
UNREAD_SECONDS = (
    15.0  # after these such a page is forgotten at the next one's first question; a browser reads within one
)


class LightSession(SessionState):
    """Gradio's state of one page without the record of what each component shows.

    Gradio keeps that record to make deep links, which are closed here (studio/middleware.py).
    """

    def __init__(self, blocks: Blocks):
        super().__init__(_Empty(blocks))

    def __setitem__(self, key: int, value: Any) -> None:
        super().__setitem__(key, value)
        self.config_values.clear()

    def _update_config(self, key: int) -> None:
        """Record nothing."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Record nothing."""


class _Empty:
    """A page as Gradio's session state reads it: its default configuration, and no component to copy one of."""

    def __init__(self, blocks: Blocks):
        self.default_config, self.blocks = blocks.default_config, {}


class Unread(OrderedDict):
    """Gradio's messages by page, without those of pages that ask and never read.

    A page enters when it asks for something, and counts as unread until `reading` is called for it.
    """

    def __init__(self, queue: Any, most: int = MOST_UNREAD, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._queue, self._most, self._clock = queue, most, clock
        self._unread: OrderedDict[str, float] = OrderedDict()  # when each asked first, the oldest first
        self._tasks: set[asyncio.Task] = set()

    def __setitem__(self, session: str, messages: Any) -> None:
        super().__setitem__(session, messages)
        self._unread[session] = self._clock()
        while self._unread:
            oldest, asked = next(iter(self._unread.items()))
            if len(self._unread) <= self._most and self._clock() - asked < UNREAD_SECONDS:
                break
            self._forget(oldest)

    def __delitem__(self, session: str) -> None:
        self._unread.pop(session, None)
        super().__delitem__(session)

    def reading(self, session: str) -> None:
        """Take a page, or a call by its id, for one that reads its messages."""
        holder = next((s for s, ids in self._queue.pending_event_ids_session.items() if session in ids), session)
        self._unread.pop(holder, None)

    def _forget(self, session: str) -> None:
        """Drop a page's messages and what it still waits for, as Gradio does when a browser goes away."""
        del self[session]
        task = asyncio.get_running_loop().create_task(self._queue.clean_events(session_hash=session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._queue.pending_event_ids_session.pop(session, None)


def keep_small(blocks: Blocks) -> None:
    """Make the pages of `blocks`, whose queue exists, keep little, and forget those that never read."""
    state_holder.SessionState = LightSession
    blocks._queue.pending_messages_per_session = Unread(blocks._queue)
