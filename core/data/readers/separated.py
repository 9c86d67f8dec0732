"""CSV and TSV: the first record names the columns; a record that does not fit is reported by its line and left out.

Files of Excel are read as Excel means them: a first line `sep=;` names the delimiter, a delimiter at the end of every
row makes no column. Where nothing names the delimiter, the one under which the sample has the most even rows is taken.
"""

import csv
import json
import re
from collections import deque
from collections.abc import Iterator

from core.data.readers.lines import (
    MARK,
    MAX_COLUMNS,
    MAX_NAME_CHARACTERS,
    ROW_LIMIT,
    TOO_LONG,
    LineSource,
    SourceRow,
    head_lines,
)
from core.errors import StudioError

_DELIMITERS = (",", ";", "\t", "|")
_NO_DELIMITER = "\x1f"  # for a file of one column, whose text may hold any of the others
_SAMPLE_LINES, _SAMPLE_CHARACTERS = 200, 2**18
_SEP_LINE = re.compile(r"""["']?sep=(.)["']? *$""", re.IGNORECASE)


def read(source: LineSource) -> Iterator[SourceRow]:
    """Yield the records of a file under the names in its header.

    Raises:
        StudioError: the header cannot be read, or names too many columns.
    """
    csv.field_size_limit(ROW_LIMIT)
    feed = _Feed(source)
    delimiter, quoting = _dialect(feed, source)
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
            yield _literal(source, feed, header, delimiter) or feed.give_back(str(error))
            continue
        if not record:
            continue
        if header is None:
            header = _header(record, source)
            continue
        yield _row(source, feed, header, record)


def _row(source: LineSource, feed: "_Feed", header: list[str], record: list[str], note: str = "") -> SourceRow:
    line, raw = feed.first, "".join(feed.used).rstrip("\r\n")
    if trouble := source.broken(raw):
        return SourceRow(line, None, raw, trouble)
    while len(record) > len(header) and not record[-1]:
        record = record[:-1]  # a delimiter at the end of the row
    if len(record) != len(header):
        return SourceRow(line, None, raw, f"has {len(record)} columns, the header has {len(header)}")
    row = dict(zip(header, record, strict=True))
    return SourceRow(line, row, json.dumps(row, ensure_ascii=False), note)


def _literal(source: LineSource, feed: "_Feed", header: list[str], delimiter: str) -> SourceRow | None:
    """Return a tab-separated line whose quotes do not match with its quotes as text; None where it does not fit."""
    if delimiter != "\t" or not feed.used or feed.used[0] == "":
        return None
    [record] = csv.reader([feed.used[0]], delimiter=delimiter, quoting=csv.QUOTE_NONE)
    if len(record) != len(header):
        return None
    feed.keep_first()
    return _row(source, feed, header, record, "has quotes that do not match; they are read as text")


def _header(record: list[str], source: LineSource) -> list[str]:
    while len(record) > 1 and not record[-1].strip():
        record = record[:-1]  # a delimiter at the end of the header
    if len(record) > MAX_COLUMNS or any(len(name) > MAX_NAME_CHARACTERS for name in record):
        raise StudioError(
            f"The header of {source.name!r} has {len(record):,} columns and names of up to "
            f"{max(map(len, record)):,} characters. Expected at most {MAX_COLUMNS:,} columns, named in at most "
            f"{MAX_NAME_CHARACTERS:,} characters."
        )
    return _names(record)


def _names(record: list[str]) -> list[str]:
    """Return column names, each once: an empty one is named by its place, a second one of a name gets a number."""
    names: dict[str, None] = {}
    for place, cell in enumerate(record, 1):
        name = plain = cell.strip().lstrip(MARK) or f"column_{place}"
        again = 2
        while name in names:
            name, again = f"{plain}_{again}", again + 1
        names[name] = None
    return list(names)


def _dialect(feed: "_Feed", source: LineSource) -> tuple[str, int]:
    """Return the delimiter, and whether quotes mean anything."""
    feed.fill(_SAMPLE_LINES, _SAMPLE_CHARACTERS)
    if feed.waiting and (found := _SEP_LINE.match((feed.waiting[0][1] or "").rstrip("\r\n").lstrip(f"{MARK} "))):
        feed.waiting.popleft()
        source.note(f"the first line says that {found[1]!r} separates the columns")
        return found[1], csv.QUOTE_MINIMAL
    lines = [line for _, line in feed.waiting if line is not None]
    if ".tsv" in source.name.lower():
        return "\t", _quoting_of_tabs(lines)
    delimiter = _likeliest(lines)
    if delimiter == "\t":
        return delimiter, _quoting_of_tabs(lines)
    return delimiter, csv.QUOTE_MINIMAL


def _likeliest(lines: list[str]) -> str:
    """Return the delimiter under which the most rows are as wide as the header; of several, the one of more columns."""
    best, best_score = _NO_DELIMITER, (0.0, 1)
    for delimiter in _DELIMITERS:
        widths = _widths(lines, delimiter)
        if not widths or widths[0] < 2:
            continue
        rows = widths[1:] or widths
        even = sum(width == widths[0] for width in rows) / len(rows)
        if (even, widths[0]) > best_score:
            best, best_score = delimiter, (even, widths[0])
    return best


def _widths(lines: list[str], delimiter: str) -> list[int]:
    """Return the columns of each record of the sample, trailing empty ones left out."""
    widths = []
    try:
        for record in csv.reader(lines, delimiter=delimiter):
            while len(record) > 1 and not record[-1]:
                record = record[:-1]
            if record:
                widths.append(len(record))
    except csv.Error:
        return widths
    return widths


def _quoting_of_tabs(lines: list[str]) -> int:
    """Return how quotes are read: in many tab-separated files a quote is just a quote."""
    try:
        widths = {len(record) for record in csv.reader(lines[:-1] or lines, delimiter="\t", strict=True)}
    except csv.Error:
        return csv.QUOTE_NONE
    return csv.QUOTE_MINIMAL if len(widths - {0}) == 1 else csv.QUOTE_NONE


class _TooLong(Exception):
    pass


class _Feed:
    """Lines for csv.reader, which can be given back: an open quote must not swallow the rest of the file."""

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
        return self._numbers[0]

    def fill(self, lines: int, characters: int) -> None:
        self.waiting.extend(head_lines(self._lines, lines, characters))

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

    def keep_first(self) -> None:
        """Keep the record's first line and read the others again."""
        self.waiting.extendleft(reversed(list(zip(self._numbers[1:], self.used[1:], strict=True))))
        self.used, self._numbers = self.used[:1], self._numbers[:1]

    def give_back(self, why: str) -> SourceRow:
        """Complain of the record's first line and read the others again."""
        self.keep_first()
        reason = why if why == TOO_LONG else f"has quotes that do not match ({why})"
        return SourceRow(self._numbers[0], None, self.used[0].rstrip("\r\n")[:2000], reason)
