"""Iterator of numbered lines for csv.reader that can push lines back."""

from collections import deque
from collections.abc import Callable

from core.data.readers.lines import ROW_LIMIT, TOO_LONG, LineSource, SourceRow, head_lines


class TooLong(Exception):
    """A record longer than ROW_LIMIT."""


class LineFeed:
    """Iterator of lines for csv.reader that can push lines back.

    An unmatched quote would swallow the rest of the file. When csv.reader reports it, only the first line of the record
    is rejected and the others are read again.

    Attributes:
        waiting: Numbered lines to read before those of the source.
        used: Lines of the current record.
    """

    def __init__(self, source: LineSource):
        self._lines = source.lines()
        self.waiting: deque[tuple[int, str | None]] = deque()
        self.begin()

    def begin(self) -> None:
        """Start a new record with the next line."""
        self.used: list[str] = []
        self._numbers: list[int] = []
        self._size = 0

    @property
    def first(self) -> int:
        """Return the number of the first line of the current record."""
        return self._numbers[0]

    def fill(self, lines: int, characters: int) -> None:
        """Read a sample of lines ahead."""
        self.waiting.extend(head_lines(self._lines, lines, characters))

    def use(self, rewrite: Callable[[str], str]) -> None:
        """Rewrite all lines that follow, with those of the sample."""
        if rewrite is not str:
            self.waiting = deque((number, line and rewrite(line)) for number, line in self.waiting)
            self._lines = ((number, line and rewrite(line)) for number, line in self._lines)

    def __iter__(self) -> "LineFeed":
        return self

    def __next__(self) -> str:
        number, line = self.waiting.popleft() if self.waiting else next(self._lines)
        self._numbers.append(number)
        self.used.append(line or "")
        self._size += len(line or "")
        if line is None or self._size > ROW_LIMIT:
            raise TooLong(TOO_LONG)
        return line

    def keep_first(self) -> None:
        """Reduce the current record to its first line and push the other lines back."""
        self.waiting.extendleft(reversed(list(zip(self._numbers[1:], self.used[1:], strict=True))))
        self.used, self._numbers = self.used[:1], self._numbers[:1]

    def reject_first(self, why: str) -> SourceRow:
        """Return the first line of the current record as unreadable, and push the other lines back."""
        self.keep_first()
        reason = why if why == TOO_LONG else f"has quotes that do not match ({why})"
        return SourceRow(self._numbers[0], None, self.used[0].rstrip("\r\n")[:2000], reason)
