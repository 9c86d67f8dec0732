"""Votes as the page casts and counts them: one vote per answered question, bounded files, a tally that is kept.

`core.chat.votes` reads and writes the files. Here a file is indexed once; later calls read only what was appended, so
that opening a chat costs the same however many votes there are.

Votes take no tokens and visitors can invent any number of names, so both are limited: a visitor's votes per day, and
the number and bytes of all visitors' votes of one base model. Beyond those, visitors with the most votes lose their
oldest. The owner's votes have no limit.
"""

import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from core.access.fair_share import surplus
from core.chat import votes
from core.chat.conversation import VISITOR_PREFIX
from core.chat.votes import Ballot, Vote
from core.errors import StudioError
from core.system.sizes import format_size

MAX_VOTES_PER_DAY = 200
MAX_VISITORS_VOTES = 5_000
# A vote stores its conversation: about 1 KB for the first question, and 10 KB after ten.
MAX_VOTE_BYTES, MAX_VISITORS_BYTES = 2**18, 2**25
# When the votes of all visitors exceed a limit, they are reduced to this share of the limit, so that the file is not
# written again at each of the next votes.
_KEPT_SHARE = 0.9
# Blank lines are removed once they take more bytes than this and than the votes, so that undoing a vote seldom writes
# the whole file again.
_MIN_BLANK_BYTES = 2**20
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class _Entry:
    """A stored vote: where its line is in the file, and the values that the limits count."""

    start: int
    size: int
    chat: str
    turn: str
    time: float

    @property
    def is_visitors(self) -> bool:
        return self.chat.startswith(VISITOR_PREFIX)

    @property
    def owner(self) -> str:
        """Return the hashed name of its visitor; empty for ids of earlier versions, which name none."""
        return _owner(self.chat)


def _owner(chat: str) -> str:
    return chat.partition("-")[2]


class _Index:
    """Index of one file; `update` reads what was appended since."""

    def __init__(self, path: Path):
        self.path = path
        self._forget()

    def _forget(self) -> None:
        self.entries: list[_Entry] = []
        self.ballots: Counter[Ballot] = Counter()
        self._file, self._offset, self._blank_bytes = 0, 0, 0

    def update(self) -> None:
        """Read the new lines, or all if the file was replaced."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._forget()
            return
        if found.st_ino != self._file or found.st_size < self._offset:
            self._forget()
            self._file = found.st_ino
        if found.st_size == self._offset:
            return
        with self.path.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                vote = votes.parse_line(line)
                # A crash may have left half a line; the next vote ends it.
                if vote is None and not line.endswith(b"\n"):
                    return
                if vote:
                    self.entries.append(_Entry(self._offset, len(line), vote.chat, vote.turn, vote.time))
                    self.ballots[Ballot.of(vote)] += 1
                else:
                    self._blank_bytes += len(line)
                self._offset += len(line)

    def remove(self, chat: str, turn: str) -> Vote | None:
        """Remove the last vote on a turn, and return it; None if there is none.

        The index stays valid; blank lines that take too much are removed, after which `update` reads all again.
        """
        entry = next((each for each in reversed(self.entries) if (each.chat, each.turn) == (chat, turn)), None)
        removed = votes.blank_line(self.path, entry.start, entry.size) if entry else None
        if entry is None or removed is None:
            return None
        self.entries.remove(entry)
        self.ballots -= Counter([Ballot.of(removed)])
        self._blank_bytes += entry.size
        if self._blank_bytes > max(_MIN_BLANK_BYTES, sum(each.size for each in self.entries)):
            votes.remove_lines(self.path, ())
            self._forget()
        return removed


class VoteLog:
    """All votes of a server, whose files nothing else changes while it runs."""

    def __init__(self) -> None:
        self._indexes: dict[Path, _Index] = {}
        self._lock = threading.Lock()
        # Votes of today that were undone, by visitor: they were written as well, so they count for the limit.
        self._day, self._undone = 0, Counter[str]()

    def ballots(self, path: Path) -> Counter[Ballot]:
        """Return how often each ballot was cast."""
        with self._lock:
            return self._index(path).ballots.copy()

    def add(self, path: Path, vote: Vote) -> None:
        """Append a vote; it is on disk when this returns.

        Raises:
            StudioError: The question has a vote already, or a visitor's limit is reached.
        """
        with self._lock:
            index = self._index(path)
            # Branches are copies of turns: the same answers may be on the screen again, without their vote.
            if any((entry.chat, entry.turn) == (vote.chat, vote.turn) for entry in index.entries):
                raise StudioError(
                    "You voted on this question already, in another branch of this chat. Undo that vote there, or ask "
                    "another question."
                )
            self._check_visitor(index, vote)
            votes.add(path, vote)
            self._drop_surplus(path)

    def undo(self, path: Path, chat: str, turn: str) -> Vote | None:
        """Remove the last vote on a turn, and return it; None if there is none."""
        with self._lock:
            removed = self._index(path).remove(chat, turn)
            if removed and chat.startswith(VISITOR_PREFIX) and self._is_today(removed.time):
                self._undone[_owner(chat)] += 1
            return removed

    def _index(self, path: Path) -> _Index:
        index = self._indexes.setdefault(path, _Index(path))
        index.update()
        return index

    def _drop_surplus(self, path: Path) -> None:
        """Remove the oldest votes of the visitors with the most until all visitors' votes are within the limits."""
        found = [entry for entry in self._index(path).entries if entry.is_visitors]
        count, size = len(found), sum(entry.size for entry in found)
        if count <= MAX_VISITORS_VOTES and size <= MAX_VISITORS_BYTES:
            return
        dropped = []
        for entry in surplus(found, lambda entry: entry.owner, lambda entry: entry.time, count, 0):
            if count <= MAX_VISITORS_VOTES * _KEPT_SHARE and size <= MAX_VISITORS_BYTES * _KEPT_SHARE:
                break
            dropped.append(entry.start)
            count, size = count - 1, size - entry.size
        votes.remove_lines(path, set(dropped))

    def _check_visitor(self, index: _Index, vote: Vote) -> None:
        """Check the limits of one visitor; the owner has none.

        Raises:
            StudioError: The visitor voted too often today, or the vote stores too much.
        """
        new = _Entry(0, len(vote.model_dump_json().encode()), vote.chat, vote.turn, vote.time)
        if not new.is_visitors:
            return
        if new.size > MAX_VOTE_BYTES:
            raise StudioError(
                f"A vote stores the conversation, and this one takes {format_size(new.size)}; a visitor's may take "
                f"{format_size(MAX_VOTE_BYTES)}. Press New chat, and vote on a shorter one."
            )
        own = (entry for entry in index.entries if entry.is_visitors and entry.owner == new.owner)
        today = sum(self._is_today(entry.time) for entry in own) + self._undone[new.owner]
        if today >= MAX_VOTES_PER_DAY:
            raise StudioError(
                f"You voted {today} times today, undone votes included, and a visitor may vote {MAX_VOTES_PER_DAY} "
                "times per day. Come back tomorrow (UTC)."
            )

    def _is_today(self, at: float) -> bool:
        """Return whether a time is of the current UTC day; on a new day, forget the undone votes."""
        day = int(time.time() // _DAY_SECONDS)
        if day != self._day:
            self._day = day
            self._undone.clear()
        return at >= day * _DAY_SECONDS
