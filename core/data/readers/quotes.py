r"""Quotes of separated files in other habits than `""`: backslashes before them, and spaces before quoted cells.

A habit is used only where the sample is no table without it, or where nearly all lines show it. MySQL also writes a
backslash before every line end and every backslash inside a cell. It is recognized by all of them: a text that only
breaks a command at the end of a line has other backslashes or line ends, or no quotes with backslashes and no \N.
"""

import contextlib
import csv
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

# Share of the records that have the width of the header.
_MIN_SHARE = 0.95
_BACKSLASH = re.compile(r'\\["\\]|\\')
_MYSQL_BACKSLASH = re.compile(r'\\["\\\r\n]|\\')
_ESCAPED_END = re.compile(r"(?<!\\)(?:\\\\)*\\\r?\n?\Z")
_PAIR = re.compile(r"\\(.)", re.DOTALL)
# Characters that MySQL writes after a backslash: quotes, backslashes, the end of a line, NULL and the character NUL.
_MYSQL_PAIRS = frozenset('"\\\r\nN0')


class Quotes(NamedTuple):
    """Habit of the quotes of a file.

    Attributes:
        options: Arguments of csv.reader.
        notes: Sentences about the habit.
        rewrite: Function that turns a line of the file into one for csv.reader.
    """

    options: dict[str, Any]
    notes: tuple[str, ...]
    rewrite: Callable[[str], str] = str


def keep_backslashes(line: str) -> str:
    r"""Return a line with all backslashes doubled that escape neither a quote nor a backslash, so that they stay."""
    return _BACKSLASH.sub(lambda found: found[0] if len(found[0]) > 1 else "\\\\", line)


def _keep_other_backslashes(line: str) -> str:
    """Return a line as `keep_backslashes` does, in which backslashes escape the ends of lines as well."""
    return _MYSQL_BACKSLASH.sub(lambda found: found[0] if len(found[0]) > 1 else "\\\\", line)


USUAL = Quotes({}, ())
_ESCAPED = Quotes(
    {"escapechar": "\\"}, ('quotes inside cells are written as \\"; they are read as quotes',), keep_backslashes
)
_SPACED = Quotes({"skipinitialspace": True}, ("spaces before quoted cells are left out",))
_BOTH = Quotes(_ESCAPED.options | _SPACED.options, _ESCAPED.notes + _SPACED.notes, keep_backslashes)
_MYSQL = Quotes(
    {"escapechar": "\\"},
    ("quotes and line ends inside cells are written with a backslash, as MySQL does; they are read without it",),
    _keep_other_backslashes,
)


def quotes_of(lines: list[str], delimiter: str) -> Quotes:
    """Return the habit of the quotes of a file.

    Args:
        lines: A sample of its lines, with their ends.
        delimiter: The delimiter of its cells.
    """
    opening = re.compile(rf'{re.escape(delimiter)} +"')
    spaced = any(opening.search(line) for line in lines)
    escaped = any('\\"' in line for line in lines)
    if (escaped or any("\\N" in line for line in lines)) and _is_of_mysql(lines, delimiter):
        return _MYSQL
    if not spaced and not escaped:
        return USUAL
    usual = _records(lines, delimiter, USUAL)
    if _is_table(usual):
        rows = usual[1:]
        quoted = sum(any(re.fullmatch(r' +".*"\s*', cell, re.DOTALL) for cell in row[1:]) for row in rows)
        return _SPACED if quoted >= _MIN_SHARE * max(1, len(rows)) else USUAL
    tried = [_ESCAPED] * escaped + [_SPACED] * spaced + [_BOTH] * (escaped and spaced)
    return next((habit for habit in tried if _is_table(_records(lines, delimiter, habit))), USUAL)


def _is_of_mysql(lines: list[str], delimiter: str) -> bool:
    """Return whether a backslash is before every line end inside the cells, and no other has a meaning of its own."""
    if set(_PAIR.findall("".join(lines))) - _MYSQL_PAIRS:
        return False
    reader = csv.reader(map(keep_backslashes, lines), delimiter=delimiter, strict=True, **_ESCAPED.options)
    inner: list[str] = []
    start = 0
    # The sample may end within a record, whose lines are not counted.
    with contextlib.suppress(csv.Error):
        for _ in reader:
            inner += lines[start : reader.line_num - 1]
            start = reader.line_num
    return bool(inner) and all(map(_ESCAPED_END.search, inner)) and _is_table(_records(lines, delimiter, _MYSQL))


def _is_table(records: list[list[str]]) -> bool:
    rows = records[1:]
    return bool(rows) and Counter(map(len, rows))[len(records[0])] >= _MIN_SHARE * len(rows)


def _records(lines: list[str], delimiter: str, habit: Quotes) -> list[list[str]]:
    """Return the records of a sample, the last of which may be cut; nothing if the quotes do not match."""
    records: list[list[str]] = []
    reader = csv.reader(map(habit.rewrite, lines), delimiter=delimiter, strict=True, **habit.options)
    try:
        records.extend(record for record in reader if record)
    except csv.Error as error:
        return records if "unexpected end of data" in str(error) else []
    return records


def are_quotes_text(lines: list[str], widths: set[int]) -> bool:
    """Return whether quotes are ordinary characters: some stand inside a cell that is not quoted, and none is doubled.

    A program that quotes cells quotes each one with a quote inside. Then '"Yes."' is a text with its quotes.

    Args:
        lines: The lines at the start of a tab-separated file.
        widths: Numbers of cells of its records, with quoted cells.
    """
    records = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    # Cells that span lines are quoted.
    if {len(record) for record in records} - {0} != widths - {0}:
        return False
    quoting = [cell for record in records for cell in record if '"' in cell]
    is_bare = any(not cell.startswith('"') for cell in quoting)
    return is_bare and not any(cell.startswith('"') and '""' in cell[1:-1] for cell in quoting)


def quoting_of_tabs(lines: list[str]) -> int:
    """Return the treatment of quotes in a tab-separated file; in many of them a quote is an ordinary character."""
    # The last line of the sample may be cut in the middle of a quoted text.
    try:
        widths = {len(record) for record in csv.reader(lines[:-1] or lines, delimiter="\t", strict=True)}
    except csv.Error:
        return csv.QUOTE_NONE
    return csv.QUOTE_MINIMAL if len(widths - {0}) == 1 and not are_quotes_text(lines, widths) else csv.QUOTE_NONE
