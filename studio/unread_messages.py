"""Bounded messages of pages that do not read them, in place of Gradio's unbounded queues.

Of the pages that sent a call and read nothing, the oldest are dropped; of too many, those that studio/open_pages.py
chooses.
Of a page that reads too slowly, and of a caller whose pages do, the messages are dropped beyond a number and a size; a
page that still reads gets an error that says so. A page whose calls have all been read is dropped like an unread one.
"""

import asyncio
import sys
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from core.system.secret_masking import log_event
from studio.open_pages import OpenPages

MAX_UNREAD_PAGES = 100
# A browser begins to read within one second; later, the next call of any page drops the silent one.
UNREAD_SECONDS = 15.0
# Limits of one page. A single message may be larger: it is the answer of one call, whose size the handler bounds.
MAX_PAGE_MESSAGES, MAX_PAGE_BYTES = 1_000, 2**22
MAX_CALLER_BYTES, MAX_ALL_BYTES = 2**24, 2**27
_MESSAGE_BYTES = 1_000
_DROPPED = object()


class PageDroppedError(Exception):
    """A page read too slowly, and its messages were dropped."""

    def __init__(self) -> None:
        super().__init__("This page read its answers too slowly, and they were dropped. Reload the page.")


class PageMessages(asyncio.Queue):
    """Messages of one page: Gradio's queue, which knows its size.

    Attributes:
        bytes: Approximate size of the messages.
        is_dropped: Whether messages are dropped; `get` raises PageDroppedError.
    """

    def __init__(self, on_change: Callable[["PageMessages", int], None]):
        """Create it empty.

        Args:
            on_change: Called with each change of the size in bytes, after it.
        """
        super().__init__()
        self.bytes, self.is_dropped, self._on_change = 0, False, on_change

    def drop(self) -> None:
        """Drop all messages, and later ones."""
        if self.is_dropped:
            return
        self.is_dropped = True
        size, self.bytes = self.bytes, 0
        # The deque of asyncio's queue, which holds what `_put` appends.
        self._queue.clear()
        self._on_change(self, -size)
        # Wakes a reader.
        self.put_nowait(_DROPPED)

    async def get(self) -> Any:
        """Return the next message.

        Raises:
            PageDroppedError: The messages were dropped.
        """
        message = await super().get()
        if message is _DROPPED:
            self.put_nowait(_DROPPED)
            raise PageDroppedError
        return message

    def _put(self, item: Any) -> None:
        if item is _DROPPED:
            self._queue.append((item, 0))
        elif not self.is_dropped:
            size = _MESSAGE_BYTES + size_of(getattr(item, "output", None)) + size_of(getattr(item, "log", None))
            self.bytes += size
            self._queue.append((item, size))
            self._on_change(self, size)

    def _get(self) -> Any:
        item, size = self._queue.popleft()
        self.bytes -= size
        self._on_change(self, -size)
        return item


class UnreadMessages(OrderedDict):
    """Gradio's messages by page, without those of pages that send calls and never read.

    A page is added when it sends a call, and counts as unread until `mark_reading` is called for it.
    """

    def __init__(self, queue: Any, max_pages: int = MAX_UNREAD_PAGES, clock: Callable[[], float] = time.monotonic,
                 caller_of: Callable[[str], str] = str, pages: OpenPages | None = None):  # fmt: skip
        """Create the mapping.

        Args:
            queue: Gradio's queue, which holds the calls of the pages.
            max_pages: Unread pages that are kept.
            clock: Returns seconds.
            caller_of: Returns the name of a page's caller.
            pages: Knows which pages are the owner's, and which of the others to drop.
        """
        super().__init__()
        self._pages = pages or OpenPages()
        self._queue, self._max_pages, self._clock, self._caller_of = queue, max_pages, clock, caller_of
        # Time of the first unread call, by page; the oldest comes first.
        self._unread: OrderedDict[str, float] = OrderedDict()
        # The event loop holds tasks weakly, so they are kept here until they are done.
        self._tasks: set[asyncio.Task] = set()
        # Handlers send notices from threads.
        self._lock, self._bytes = threading.RLock(), 0

    def __setitem__(self, session: str, messages: Any) -> None:
        """Add a page, and drop those that are unread for too long or too many.

        Args:
            session: The page's session hash.
            messages: Gradio's queue, which a bounded one replaces.
        """
        super().__setitem__(session, PageMessages(self._bound))
        self._unread[session] = self._clock()
        while self._unread and self._clock() - next(iter(self._unread.values())) >= UNREAD_SECONDS:
            self._drop(next(iter(self._unread)))
        while len(self._unread) > self._max_pages:
            self._drop(self._choose())

    def _choose(self) -> str:
        """Return the unread page to drop: one of the visitor with the most, or the owner's if there is no other."""
        return self._pages.choose_page_to_drop(self._unread, self._caller_of) or next(iter(self._unread))

    def __missing__(self, session: str) -> Any:
        """Return messages without a reader: a call may send some after its page has gone."""
        return asyncio.Queue()

    def __delitem__(self, session: str) -> None:
        """Remove a page whose messages are read to the end."""
        self._unread.pop(session, None)
        if messages := self.get(session):
            super().__delitem__(session)
            messages.drop()

    def mark_reading(self, name: str) -> str:
        """Note that a page reads its messages.

        Args:
            name: The page's session hash, or the id of one of its calls.

        Returns:
            The page's session hash.
        """
        session = next((s for s, ids in self._queue.pending_event_ids_session.items() if name in ids), name)
        self._unread.pop(session, None)
        return session

    def end_reading(self, session: str) -> None:
        """Note that a page's stream has ended.

        The page counts as unread again, also without calls: a browser may open its next stream before the end of the
        last one is noted, and would get an error if its page were forgotten.
        """
        if session not in self:
            self._queue.pending_event_ids_session.pop(session, None)
        elif self[session].is_dropped:
            self._drop(session)
        else:
            self._unread[session] = self._clock()

    def _drop(self, session: str) -> None:
        """Drop a page's messages and its pending calls, as Gradio does when a browser goes away."""
        del self[session]
        if not self._queue.pending_event_ids_session.pop(session, None):
            # Nothing to clean, and the page may be making its next call.
            return
        task = asyncio.get_running_loop().create_task(self._queue.clean_events(session_hash=session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _bound(self, page: PageMessages, change: int) -> None:
        """Count a change of a page's size, and drop what is beyond the limits."""
        with self._lock:
            self._bytes += change
            if change < 0:
                return
            is_large = page.qsize() > MAX_PAGE_MESSAGES or page.bytes > MAX_PAGE_BYTES
            if is_large and page.qsize() > 1:
                _drop_messages(page)
            if self._bytes > MAX_CALLER_BYTES:
                self._bound_callers()

    def _bound_callers(self) -> None:
        """Drop the largest pages of callers whose pages hold too much, and of the largest if all hold too much.

        Visitors lose theirs before the owner does.
        """
        pages: dict[str, list[PageMessages]] = {}
        owners: set[str] = set()
        for session, page in list(self.items()):
            caller = self._caller_of(session)
            pages.setdefault(caller, []).append(page)
            if self._pages.is_owners(session):
                owners.add(caller)
        sizes = Counter({caller: sum(page.bytes for page in own) for caller, own in pages.items()})
        for caller, size in sorted(sizes.items(), key=lambda entry: (entry[0] in owners, -entry[1])):
            if size > MAX_CALLER_BYTES or self._bytes > MAX_ALL_BYTES:
                _drop_messages(max(pages[caller], key=lambda page: page.bytes))


def _drop_messages(page: PageMessages) -> None:
    log_event("unread messages dropped", messages=page.qsize(), bytes=page.bytes)
    page.drop()


def size_of(value: Any) -> int:
    """Return the approximate size in memory of a value of dictionaries, lists and texts, in bytes."""
    size, pending = 0, [value]
    while pending:
        each = pending.pop()
        size += sys.getsizeof(each, 100)
        if isinstance(each, dict):
            pending += [*each.keys(), *each.values()]
        elif isinstance(each, (list, tuple)):
            pending += each
    return size
