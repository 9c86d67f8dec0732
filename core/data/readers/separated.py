"""Reader of CSV and TSV files with a header; records that do not match it are reported.

Two habits of Excel are supported: a first line `sep=;` names the delimiter, and a delimiter at the end of a row does
not make a column. Otherwise the delimiter is detected: the one under which most rows of a sample have the width of the
header. Title lines above the header are skipped with a note.
"""

import contextlib
import csv
import json
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator

from core.data.readers.header import are_column_names, column_names, count_named, count_titles, is_row
from core.data.readers.lines import MARK, ROW_LIMIT, TOO_LONG, LineSource, SourceRow, head_lines
from core.data.readers.quotes import USUAL, quotes_of
from core.errors import StudioError

_DELIMITERS = (",", ";", "\t", "|")
# For a file of one column, whose text may contain all of the others.
_NO_DELIMITER = "\x1f"
_SAMPLE_LINES, _SAMPLE_CHARACTERS = 200, 2**18
# Share of the lines of a table that have the same number of cells.
_MIN_TABLE_SHARE = 0.95
_SEP_LINE = re.compile(r"""["']?sep=(.)["']? *$""", re.IGNORECASE)


def read(source: LineSource, tabs: bool = False) -> Iterator[SourceRow]:
    """Yield the records of a file as objects with the names of its header.

    Args:
        source: The file.
        tabs: Whether tabs are known to separate the cells, as they do in a .tsv file.

    Raises:
        StudioError: The header cannot be read, or names too many columns.
    """
    csv.field_size_limit(ROW_LIMIT)
    feed = _Feed(source)
    delimiter, quoting = _dialect(feed, source, tabs or ".tsv" in source.name.lower())
    quotes = quotes_of([line for _, line in feed.waiting if line], delimiter) if not quoting else USUAL
    feed.use(quotes.rewrite)
    for words in quotes.notes:
        source.note(words)
    reader = csv.reader(feed, delimiter=delimiter, quoting=quoting, strict=True, **quotes.options)
    header: list[str] | None = None
    names, repeats = None, []
    _skip_titles(feed, reader, _count_titles(feed, delimiter, quoting, source), source)
    while True:
        feed.begin()
        try:
            record = next(reader)
        except StopIteration:
            break
        except (csv.Error, _TooLong) as error:
            if header is None:
                raise StudioError(f"{source.name!r} has no readable header in line 1 ({error}).") from error
            yield _read_quotes_as_text(source, feed, header, delimiter) or feed.reject_first(str(error))
            continue
        if not record:
            continue
        if header is None:
            header, names = _header(record, _sample(feed.waiting, delimiter, quoting), source)
            if names:
                continue
        if record == names:
            repeats.append(feed.first)
            continue
        yield _row(source, feed, header, record)
    _note_repeats(source, repeats)


def _count_titles(feed: "_Feed", delimiter: str, quoting: int, source: LineSource) -> int:
    """Return how many records stand above the header.

    Raises:
        StudioError: The line of the header is not certain.
    """
    # Below an unpadded title, any delimiter may be the right one.
    tried = _DELIMITERS if delimiter == _NO_DELIMITER else (delimiter,)
    return max(count_titles(_sample(feed.waiting, each, quoting), source.name) for each in tried)


def _header(record: list[str], sample: list[list[str]], source: LineSource) -> tuple[list[str], list[str] | None]:
    """Return the names of the columns and the record that holds them; without one, they are numbered."""
    if not is_row(record, sample):
        return column_names(record, sample, source.name), record
    source.note("the first line looks like a row, not like names of columns; the columns are numbered")
    return column_names([f"column_{place}" for place in range(1, len(record) + 1)], sample, source.name), None


def _skip_titles(feed: "_Feed", reader: Iterator[list[str]], count: int, source: LineSource) -> None:
    """Skip records above the header, and note those with text."""
    while count:
        feed.begin()
        try:
            record = next(reader)
        except (csv.Error, _TooLong) as error:
            raise StudioError(f"{source.name!r} has no readable line above its header ({error}).") from error
        count -= bool(record)
        if text := " ".join(filter(None, map(str.strip, record))).strip(MARK):
            source.note(f"line {feed.first} ({text[:60]!r}) stands above the header and is no row; it is skipped")


def _note_repeats(source: LineSource, repeats: list[int]) -> None:
    if repeats:
        lines = "1 line repeats" if len(repeats) == 1 else f"{len(repeats):,} lines repeat"
        source.note(f"{lines} the header (the first is line {repeats[0]:,}); skipped, as a header is no row")


def _row(source: LineSource, feed: "_Feed", header: list[str], record: list[str], note: str = "") -> SourceRow:
    line, raw = feed.first, "".join(feed.used).rstrip("\r\n")
    if trouble := source.broken(raw):
        return SourceRow(line, None, raw, trouble)
    # Delimiters at the end of the row.
    while len(record) > len(header) and not record[-1]:
        record = record[:-1]
    # A row may end before the unnamed columns at the end of the header.
    if count_named(header) <= len(record) < len(header):
        record = record + [""] * (len(header) - len(record))
    if len(record) != len(header):
        return SourceRow(line, None, raw, f"has {len(record)} columns, the header has {len(header)}")
    row = dict(zip(header, record, strict=True))
    return SourceRow(line, row, json.dumps(row, ensure_ascii=False), note)


def _read_quotes_as_text(source: LineSource, feed: "_Feed", header: list[str], delimiter: str) -> SourceRow | None:
    """Return a tab-separated line with unmatched quotes, read with quotes as text; None if its width is wrong then."""
    if delimiter != "\t" or not feed.used or feed.used[0] == "":
        return None
    [record] = csv.reader([feed.used[0]], delimiter=delimiter, quoting=csv.QUOTE_NONE)
    if len(record) != len(header):
        return None
    feed.keep_first()
    return _row(source, feed, header, record, "has quotes that do not match; they are read as text")


def count_tab_cells(lines: list[str]) -> tuple[int, bool]:
    """Return how many cells nearly all records of lines have between tabs, and whether the first one holds names.

    Args:
        lines: The lines at the start of the file, with their ends.
    """
    records = _sample(enumerate(lines), "\t", _quoting_of_tabs(lines))
    if len(records) < 3:
        return 1, False
    width, count = Counter(map(len, records)).most_common(1)[0]
    if count < _MIN_TABLE_SHARE * len(records):
        return 1, False
    first = records[0]
    return width, len(first) == width and are_column_names(first) and not is_row(first, records[1:])


def _sample(lines: Iterable[tuple[int, str | None]], delimiter: str, quoting: int) -> list[list[str]]:
    """Return the records in lines that are read ahead, without those of empty lines."""
    records = []
    # The records before an error are a sample as well.
    with contextlib.suppress(csv.Error):
        texts = [line for _, line in lines if line]
        records.extend(record for record in csv.reader(texts, delimiter=delimiter, quoting=quoting) if record)
    return records


def _dialect(feed: "_Feed", source: LineSource, tabs: bool) -> tuple[str, int]:
    """Return the delimiter and the csv constant for the treatment of quotes."""
    feed.fill(_SAMPLE_LINES, _SAMPLE_CHARACTERS)
    if feed.waiting and (found := _SEP_LINE.match((feed.waiting[0][1] or "").rstrip("\r\n").lstrip(f"{MARK} "))):
        feed.waiting.popleft()
        source.note(f"the first line names {found[1]!r} as the delimiter")
        return found[1], csv.QUOTE_MINIMAL
    lines = [line for _, line in feed.waiting if line is not None]
    delimiter = "\t" if tabs else _detect_delimiter(lines)
    if tabs and "\t" not in next((line for line in lines if line.strip()), "") and (other := _shown_delimiter(lines)):
        source.note(f"{source.name!r} ends in .tsv and has {other!r} between its cells; it is read so")
        delimiter = other
    if delimiter == "\t":
        return delimiter, _quoting_of_tabs(lines)
    return delimiter, csv.QUOTE_MINIMAL


def _detect_delimiter(lines: list[str]) -> str:
    """Return the delimiter under which most rows have the width of the header; with ties, that of more columns."""
    best, best_score = _NO_DELIMITER, (0.0, 1)
    for delimiter in _DELIMITERS:
        widths = _widths(lines, delimiter)
        if not widths or widths[0] < 2:
            continue
        rows = widths[1:] or widths
        share = sum(width == widths[0] for width in rows) / len(rows)
        if (share, widths[0]) > best_score:
            best, best_score = delimiter, (share, widths[0])
    return best


def _shown_delimiter(lines: list[str]) -> str:
    """Return the delimiter that nearly all lines show; "" if none is certain."""
    delimiter = _detect_delimiter(lines)
    records = _sample(enumerate(lines), delimiter, csv.QUOTE_MINIMAL)
    widths = Counter(map(len, records))
    is_table = records and widths[len(records[0])] >= _MIN_TABLE_SHARE * len(records)
    return delimiter if is_table and delimiter != _NO_DELIMITER and are_column_names(records[0]) else ""


def _widths(lines: list[str], delimiter: str) -> list[int]:
    """Return the number of columns of the header and each record below it, without trailing empty ones."""
    records = _sample(enumerate(lines), delimiter, csv.QUOTE_MINIMAL)
    widths = []
    for record in records[count_titles(records) :]:
        while len(record) > 1 and not record[-1]:
            record = record[:-1]
        widths.append(len(record))
    return widths


def _quoting_of_tabs(lines: list[str]) -> int:
    """Return the treatment of quotes in a tab-separated file; in many of them a quote is an ordinary character."""
    # The last line of the sample may be cut in the middle of a quoted text.
    try:
        widths = {len(record) for record in csv.reader(lines[:-1] or lines, delimiter="\t", strict=True)}
    except csv.Error:
        return csv.QUOTE_NONE
    return csv.QUOTE_MINIMAL if len(widths - {0}) == 1 else csv.QUOTE_NONE


class _TooLong(Exception):
    """A record longer than ROW_LIMIT."""


class _Feed:
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
        """Reduce the current record to its first line and push the other lines back."""
        self.waiting.extendleft(reversed(list(zip(self._numbers[1:], self.used[1:], strict=True))))
        self.used, self._numbers = self.used[:1], self._numbers[:1]

    def reject_first(self, why: str) -> SourceRow:
        """Return the first line of the current record as unreadable, and push the other lines back."""
        self.keep_first()
        reason = why if why == TOO_LONG else f"has quotes that do not match ({why})"
        return SourceRow(self._numbers[0], None, self.used[0].rstrip("\r\n")[:2000], reason)
