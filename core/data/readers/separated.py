"""Reader of CSV and TSV files with a header; records that do not match it are reported.

Two habits of Excel are supported: a first line `sep=;` names the delimiter, and a delimiter at the end of a row does
not make a column. Remarks above the header that begin with "#" are skipped with a note, and the directives of an export
of Anki are followed. Otherwise the delimiter is detected: the one under which most rows of a sample have the width of
the header. Title lines above the header are skipped with a note.
"""

import contextlib
import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from core.data.readers.first_line import are_certain_names, describe_first_line, is_row
from core.data.readers.header import (
    are_column_names,
    column_names,
    count_named,
    count_remarks,
    count_titles,
    has_known_name,
)
from core.data.readers.header_groups import describe_line_below, names_below_groups
from core.data.readers.line_feed import LineFeed, TooLong
from core.data.readers.lines import MARK, ROW_LIMIT, LineSource, SourceRow
from core.data.readers.quotes import USUAL, quotes_of, quoting_of_tabs
from core.data.readers.remarks import Remarks, read_remarks
from core.errors import StudioError, reason_of
from core.system.counting import counted

_DELIMITERS = (",", ";", "\t", "|")
# For a file of one column, whose text may contain all of the others: a noncharacter of Unicode, which no text has.
_NO_DELIMITER = "\ufdd1"
_SAMPLE_LINES, _SAMPLE_CHARACTERS = 200, 2**18
# Share of the lines of a table that have the same number of cells.
_MIN_TABLE_SHARE = 0.95
_ABOVE = "stands above the header and is no row"
_BELOW = "describes the columns below the header and is no row"
_GROUPED = "names the columns below the groups in the line above it"
_SEP_LINE = re.compile(r"""["']?sep=(.)["']? *$""", re.IGNORECASE)
# NULL as MySQL and PostgreSQL write it.
_NULL = "\\N"


def read(source: LineSource, is_tsv: bool = False) -> Iterator[SourceRow]:
    """Yield the records of a file as objects with the names of its header.

    Args:
        source: The file.
        is_tsv: Whether tabs are known to separate the cells, as they do in a .tsv file.

    Raises:
        StudioError: The header cannot be read, or names too many columns.
    """
    csv.field_size_limit(ROW_LIMIT)
    feed = LineFeed(source)
    delimiter, quoting, header = _begin(feed, source, is_tsv or ".tsv" in source.name.lower())
    reader = _reader(feed, source, delimiter, quoting)
    names, repeats, nulls = None, [], 0
    if header is None:
        _skip(feed, reader, _count_titles(feed, delimiter, quoting, source), source, _ABOVE)
    while True:
        feed.begin()
        try:
            record = next(reader)
        except StopIteration:
            break
        except (csv.Error, TooLong) as error:
            yield _unreadable(source, feed, header, delimiter, error)
            continue
        if not record:
            continue
        if header is None:
            sample = _sample(feed.waiting, delimiter, quoting)
            header, names, (below, reason) = _header(record, sample, source)
            if names:
                _skip(feed, reader, below, source, reason)
                continue
        if record == names:
            repeats.append(feed.first)
            continue
        yield (row := _row(source, feed, header, record))
        nulls += list((row.row or {}).values()).count(None) if _NULL in record else 0
    _note_counts(source, repeats, nulls)


def _begin(feed: LineFeed, source: LineSource, is_tsv: bool) -> tuple[str, int, list[str] | None]:
    """Return the delimiter, the treatment of quotes, and the header if lines above the table name the columns."""
    feed.fill(_SAMPLE_LINES, _SAMPLE_CHARACTERS)
    above = _take_remarks(feed, source, is_tsv)
    if not above.delimiter:
        return *_dialect(feed, source, is_tsv), None
    sample = _sample(feed.waiting, above.delimiter, csv.QUOTE_MINIMAL)
    return above.delimiter, csv.QUOTE_MINIMAL, column_names(above.names, sample, source.name)


def _take_remarks(feed: LineFeed, source: LineSource, is_tsv: bool) -> Remarks:
    """Take the remarks above a table from the lines that are read ahead, with a note; nothing if they may be rows."""
    lines = [line or "" for _, line in feed.waiting]
    found = read_remarks(lines)
    if found.count and not found.delimiter:
        rest = lines[found.count :]
        delimiter = "\t" if is_tsv else _detect_delimiter(rest)
        [first, *_] = _sample(enumerate(rest), delimiter, csv.QUOTE_MINIMAL) or [[]]
        widths = {len(record) for record in _sample(enumerate(lines[: found.count]), delimiter, csv.QUOTE_NONE)}
        if len(first) < 2 or (len(first) in widths and not has_known_name(first)):
            return Remarks()
    for _ in range(found.count):
        feed.waiting.popleft()
    for words in found.notes:
        source.note(words)
    return found


def _reader(feed: LineFeed, source: LineSource, delimiter: str, quoting: int) -> Iterator[list[str]]:
    """Return the iterator over the records, in the habit of the quotes of the file."""
    quotes = quotes_of([line for _, line in feed.waiting if line], delimiter) if not quoting else USUAL
    feed.use(quotes.rewrite)
    for words in quotes.notes:
        source.note(words)
    return csv.reader(feed, delimiter=delimiter, quoting=quoting, strict=True, **quotes.options)


def _count_titles(feed: LineFeed, delimiter: str, quoting: int, source: LineSource) -> int:
    """Return how many records stand above the header.

    Raises:
        StudioError: The line of the header is not certain.
    """
    # Below an unpadded title, any delimiter may be the right one.
    tried = _DELIMITERS if delimiter == _NO_DELIMITER else (delimiter,)
    return max(count_titles(_sample(feed.waiting, each, quoting), source.name) for each in tried)


def _header(
    record: list[str], sample: list[list[str]], source: LineSource
) -> tuple[list[str], list[str] | None, tuple[int, str]]:
    """Return the names of the columns, the record with them or None, and how many records below are no rows and why."""
    if sample and (grouped := names_below_groups(record, sample[0], sample[1:])):
        if not are_certain_names(grouped, sample[1:]):
            source.note(describe_first_line(record))
        return column_names(grouped, sample[1:], source.name), record, (1, _GROUPED)
    if not is_row(record, sample):
        words = describe_line_below(record, sample[0], sample[1:]) if sample else ""
        if words or not are_certain_names(record, sample):
            source.note(words or describe_first_line(record))
        return column_names(record, sample, source.name), record, (count_remarks(sample), _BELOW)
    source.note("the first line looks like a row, not like names of columns; the columns are numbered")
    numbered = [f"column_{number}" for number in range(1, len(record) + 1)]
    return column_names(numbered, sample, source.name), None, (0, "")


def _skip(feed: LineFeed, reader: Iterator[list[str]], count: int, source: LineSource, reason: str) -> None:
    """Skip records above or below the header, and note those with text."""
    while count:
        feed.begin()
        try:
            record = next(reader)
        except (csv.Error, TooLong) as error:
            raise StudioError(
                f"Line {feed.first:,} of {source.name!r}, beside its header, cannot be read ({reason_of(error)}). "
                "Correct it, and open the file again."
            ) from error
        count -= bool(record)
        if text := " ".join(filter(None, map(str.strip, record))).strip(MARK):
            source.note(f"line {feed.first} ({text[:60]!r}) {reason}; it is not read as a row")


def _note_counts(source: LineSource, repeats: list[int], nulls: int) -> None:
    """Note the lines that repeat the header, and the number of missing values of a database."""
    if repeats:
        lines = "1 line repeats" if len(repeats) == 1 else f"{len(repeats):,} lines repeat"
        source.note(f"{lines} the header (the first is line {repeats[0]:,}); skipped, as a header is no row")
    if nulls:
        cells = "1 cell is" if nulls == 1 else f"{nulls:,} cells are"
        source.note(f"{cells} {_NULL}, which databases write for a missing value, and read as missing")


def _row(source: LineSource, feed: LineFeed, header: list[str], record: list[str], note: str = "") -> SourceRow:
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
        return SourceRow(line, None, raw, f"has {counted(len(record), 'column')}, the header has {len(header)}")
    row = {name: None if cell == _NULL else cell for name, cell in zip(header, record, strict=True)}
    return SourceRow(line, row, json.dumps(row, ensure_ascii=False), note)


def _unreadable(
    source: LineSource, feed: LineFeed, header: list[str] | None, delimiter: str, error: Exception
) -> SourceRow:
    """Return the row of a record with an error.

    Raises:
        StudioError: The record is the header.
    """
    if header is None:
        raise StudioError(
            f"{source.name!r} has no readable header in line {feed.first:,} ({reason_of(error)}). Correct it, and open "
            "the file again."
        ) from error
    return _read_quotes_as_text(source, feed, header, delimiter) or feed.reject_first(str(error))


def _read_quotes_as_text(source: LineSource, feed: LineFeed, header: list[str], delimiter: str) -> SourceRow | None:
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
    records = _sample(enumerate(lines), "\t", quoting_of_tabs(lines))
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


def _dialect(feed: LineFeed, source: LineSource, is_tsv: bool) -> tuple[str, int]:
    """Return the delimiter and the csv constant for the treatment of quotes."""
    if feed.waiting and (found := _SEP_LINE.match((feed.waiting[0][1] or "").rstrip("\r\n").lstrip(f"{MARK} "))):
        feed.waiting.popleft()
        source.note(f"the first line names {found[1]!r} as the delimiter")
        return found[1], csv.QUOTE_MINIMAL
    lines = [line for _, line in feed.waiting if line is not None]
    delimiter = "\t" if is_tsv else _detect_delimiter(lines)
    if is_tsv and "\t" not in next((line for line in lines if line.strip()), "") and (other := _shown_delimiter(lines)):
        source.note(f"{source.name!r} ends in .tsv and has {other!r} between its cells, which is the delimiter")
        delimiter = other
    if delimiter == "\t":
        return delimiter, quoting_of_tabs(lines)
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
