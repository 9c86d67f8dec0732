r"""Quotes of separated files in other habits than `""`: backslashes before them, and spaces before quoted cells.

A habit is used only where the sample is no table without it, or where nearly all lines show it.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

# Share of the records that have the width of the header.
_MIN_SHARE = 0.95
_BACKSLASH = re.compile(r'\\["\\]|\\')


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


USUAL = Quotes({}, ())
_ESCAPED = Quotes({"escapechar": "\\"}, ('quotes inside cells are written as \\"; they are read so',), keep_backslashes)
_SPACED = Quotes({"skipinitialspace": True}, ("spaces before quoted cells are left out",))
_BOTH = Quotes(_ESCAPED.options | _SPACED.options, _ESCAPED.notes + _SPACED.notes, keep_backslashes)


def quotes_of(lines: list[str], delimiter: str) -> Quotes:
    """Return the habit of the quotes of a file.

    Args:
        lines: A sample of its lines, with their ends.
        delimiter: The delimiter of its cells.
    """
    opening = re.compile(rf'{re.escape(delimiter)} +"')
    spaced = any(opening.search(line) for line in lines)
    escaped = any('\\"' in line for line in lines)
    if not spaced and not escaped:
        return USUAL
    usual = _records(lines, delimiter, USUAL)
    if _is_table(usual):
        rows = usual[1:]
        quoted = sum(any(re.fullmatch(r' +".*"\s*', cell, re.DOTALL) for cell in row[1:]) for row in rows)
        return _SPACED if quoted >= _MIN_SHARE * max(1, len(rows)) else USUAL
    tried = [_ESCAPED] * escaped + [_SPACED] * spaced + [_BOTH] * (escaped and spaced)
    return next((habit for habit in tried if _is_table(_records(lines, delimiter, habit))), USUAL)


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
