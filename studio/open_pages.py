"""Open pages: whose they are, from which network, and whether their browser is still there.

Where there are too many, visitors' pages are dropped before the owner's, beginning with those of the network that has
the most: cookies are free, addresses are not. Within a network, pages without a browser are dropped first.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from core.web.origin import HEARTBEAT_PREFIX

# Key of the ASGI scope for the network that a request came from (`network_of` in core/web/sign_in.py).
NETWORK_KEY = "studio.network"
# Maximum number of entries of each mapping.
_MAX_ENTRIES = 20_000


class BoundedDict(OrderedDict):
    """A mapping that keeps only its newest entries."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Store an entry as the newest, and drop the oldest beyond the limit."""
        super().__setitem__(key, value)
        self.move_to_end(key)
        while len(self) > _MAX_ENTRIES:
            self.popitem(last=False)


class OpenPages:
    """Register of the open pages by session hash, and choice of those that are dropped."""

    def __init__(self) -> None:
        """Create it without any page."""
        self._networks: BoundedDict = BoundedDict()
        # Apart from the others, so that no number of visitors' pages makes the owner's forgotten.
        self._owners: BoundedDict = BoundedDict()
        self._heartbeats: Counter[str] = Counter()

    def note_owner(self, session: str) -> None:
        """Note that a page is the owner's."""
        self._owners[session] = True

    def is_owners(self, session: str) -> bool:
        """Return whether the owner has used a page."""
        return session in self._owners

    def note_network(self, session: str | None, request: Any) -> None:
        """Note where a page's calls come from.

        Args:
            session: The page.
            request: Starlette's request of a call; None for a call from inside the server.
        """
        network = request.scope.get(NETWORK_KEY) if request is not None else None
        if session and network:
            self._networks[session] = network

    @contextmanager
    def keep_alive(self, path: str) -> Iterator[None]:
        """Count a page as open during the body of the with statement.

        Args:
            path: Path of a request. Only that of a heartbeat, which a browser keeps open, counts.
        """
        if not path.startswith(HEARTBEAT_PREFIX):
            yield
            return
        session = path.removeprefix(HEARTBEAT_PREFIX)
        self._heartbeats[session] += 1
        try:
            yield
        finally:
            self._heartbeats[session] -= 1
            if not self._heartbeats[session]:
                del self._heartbeats[session]

    def choose_page_to_drop(self, sessions: Iterable[str], caller_of: Callable[[str], str]) -> str | None:
        """Return the page of a visitor to drop; None if all are the owner's.

        Of the pages in the network with the most, those that no browser keeps open come first, if there are any; of
        these, the page is the oldest of the visitor with the most. Visitors whose network is not known, because a proxy
        hides it, count as one network.

        Args:
            sessions: The pages, the oldest first.
            caller_of: Returns the name of a page's caller.
        """
        visitors = [session for session in sessions if not self.is_owners(session)]
        found = _of_the_largest_group(visitors, lambda session: self._networks.get(session, ""))
        found = [session for session in found if session not in self._heartbeats] or found
        return next(iter(_of_the_largest_group(found, caller_of)), None)


def _of_the_largest_group(sessions: list[str], group_of: Callable[[str], str]) -> list[str]:
    """Return the pages of the group with the most, and of the oldest page's group among equal ones."""
    groups = [group_of(session) for session in sessions]
    counts = Counter(groups)
    largest = max(counts, key=counts.__getitem__, default="")
    return [session for session, group in zip(sessions, groups, strict=True) if group == largest]
