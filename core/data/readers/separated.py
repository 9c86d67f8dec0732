"""CSV and TSV: the first record names the columns; a record that does not fit is told by its line and left out."""

import csv
import json
from collections import deque
from collections.abc import Iterator

from core.data.readers.lines import ROW_LIMIT, TOO_LONG, LineSource, Read, broken
from core.errors import StudioError

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_LINES = 200


def read(source: LineSource) -> Iterator[Read]:
    csv.field_size_limit(ROW_LIMIT)
    feed = _Feed(source)
    feed.fill(_SAMPLE_LINES)
    delimiter, quoting = _dialect(list(feed.waiting), source.name)
    reader = csv.reader(feed, delimiter=delimiter, quoting=quoting, strict=True)
    header: list[str] | None = None
    while True:
        feed.begin()
        try:
            record = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooLong) as error:
            if header is None:
                raise StudioError(f"{source.name!r} has no readable header in line 1 ({error}).") from error
            yield feed.give_back(str(error))
            continue
        if not record:
            continue
        if header is None:
            header = _names(record)
            continue
        yield _row(feed, header, record)


def _row(feed: "_Feed", header: list[str], record: list[str]) -> Read:
    line, raw = feed.first, "".join(feed.used).rstrip("\r\n")
    if (byte := broken(raw)) is not None:
        return Read(line, None, raw, f"is not UTF-8 text (byte {byte})")
    if len(record) != len(header):
        return Read(line, None, raw, f"has {len(record)} columns, the header has {len(header)}")
    row = dict(zip(header, record, strict=True))
    return Read(line, row, json.dumps(row, ensure_ascii=False))


def _names(record: list[str]) -> list[str]:
    """Column names, each once: an empty one is named by its place, a second one of the same name gets a number."""
    names: list[str] = []
    for place, cell in enumerate(record, 1):
        name = plain = cell.strip() or f"column_{place}"
        again = 2
        while name in names:
            name, again = f"{plain}_{again}", again + 1
        names.append(name)
    return names


def _dialect(sample: list[tuple[int, str | None]], name: str) -> tuple[str, int]:
    """The delimiter (tab for .tsv, else the likeliest in the header), and whether quotes mean anything."""
    lines = [line for _, line in sample if line is not None]
    header = lines[0] if lines else ""
    delimiter = "\t" if ".tsv" in name.lower() else max(_DELIMITERS, key=header.count)
    if delimiter != "\t":
        return delimiter, csv.QUOTE_MINIMAL
    # In many tab-separated files a quote is just a quote.
    try:
        widths = {len(record) for record in csv.reader(lines[:-1] or lines, delimiter=delimiter, strict=True)}
    except csv.Error:
        return delimiter, csv.QUOTE_NONE
    return delimiter, csv.QUOTE_MINIMAL if len(widths - {0}) == 1 else csv.QUOTE_NONE


class _TooLong(Exception):
    pass


class _Feed:
    """Lines for csv.reader, which can be given back: an open quote must not swallow the rest of the file."""

    def __init__(self, source: LineSource):
        self._lines = source.lines()
        self.waiting: deque[tuple[int, str | None]] = deque()
        self.begin()

    def begin(self) -> None:
        """A new record begins with the next line."""
        self.used: list[str] = []
        self._numbers: list[int] = []
        self._size = 0

    @property
    def first(self) -> int:
        return self._numbers[0]

    def fill(self, lines: int) -> None:
        for _ in range(lines):
            if (line := next(self._lines, None)) is None:
                return
            self.waiting.append(line)

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        number, line = self.waiting.popleft() if self.waiting else next(self._lines)
        self._numbers.append(number)
        self.used.append(line or "")
        self._size += len(line or "")
        if line is None or self._size > ROW_LIMIT:
            raise _TooLong(TOO_LONG)
        return line

    def give_back(self, why: str) -> Read:
        """Complain of the record's first line and read the others again."""
        self.waiting.extendleft(reversed(list(zip(self._numbers[1:], self.used[1:], strict=True))))
        reason = why if why == TOO_LONG else f"has quotes that do not match ({why})"
        return Read(self._numbers[0], None, self.used[0].rstrip("\r\n")[:2000], reason)
