"""Choice of the reader of a text file by its content, where that shows another kind than the ending of its name.

JSON lines and tables are often saved under .txt, and under each other's endings. Only certain content counts: text is
plain text, and a file is read by its ending, wherever there is a doubt.
"""

import csv
import io
import json
from collections import Counter
from typing import Any, Literal

from core.data.readers import json_repairs
from core.data.readers.first_line import is_row
from core.data.readers.header import are_column_names, has_known_name
from core.data.readers.lines import MARK, LineSource
from core.data.readers.remarks import count_remarks_above

Content = Literal["JSON lines", "JSON", "a table"]
# Characters at the start of the file that are judged.
_HEAD_CHARACTERS = 2**18
# The same number where the first line alone is longer than that.
_LONG_HEAD_CHARACTERS = 2**24
# Share of the lines that must be JSON objects, or have the number of cells of the header.
_MIN_SHARE = 0.95
# The fewest records of a table, with its header.
_MIN_RECORDS = 3
_DELIMITERS = (",", ";", "|")


def content_of(source: LineSource, ending: str) -> Content | None:
    """Return what a file holds if its content certainly differs from the ending of its name; None otherwise.

    Args:
        source: The file.
        ending: The ending of its name without that of a compression, such as ".txt".
    """
    is_json = ending in (".json", ".jsonl")
    size = _HEAD_CHARACTERS
    head = source.head(size)
    if len(head) == size and "\n" not in head.strip():
        head = source.head(size := _LONG_HEAD_CHARACTERS)
    is_cut = len(head) == size
    head = head.lstrip(f" \t\r\n{MARK}")
    if head.startswith(("{", "[", '"{')):
        return None if is_json else _json_in(head, is_cut)
    return _table_in(head, is_cut) if is_json or ending == ".txt" else None


def _json_in(head: str, is_cut: bool) -> Content | None:
    lines = [text for line in io.StringIO(head, newline="") if (text := line.strip().strip(MARK))]
    whole = lines[:-1] if is_cut else lines
    if whole and sum(map(_is_row_of_json, whole)) >= _MIN_SHARE * len(whole):
        return "JSON lines"
    # A document in several lines: its first object must be whole, and be followed by more of the list or the end.
    start = head[1:].lstrip() if head.startswith("[") else head
    try:
        value, end = json.JSONDecoder().raw_decode(start)
    except (ValueError, RecursionError):
        return None
    rest = start[end:].lstrip()
    follows = rest.startswith((",", "]")) if head.startswith("[") else not rest or rest.startswith("{")
    return "JSON" if value and _is_object(value) and follows else None


def _is_row_of_json(line: str) -> bool:
    """Return whether a line is an object, a text that spells one, or a list of objects."""
    if line.startswith("["):
        items = _decoded(line)
        return isinstance(items, list) and bool(items) and all(map(_is_object, items))
    value = _decoded(line)
    return _is_object(value) or (value is None and json_repairs.repair(line) is not None)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, str) and json_repairs.unwrap(value) is not None)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _table_in(head: str, is_cut: bool) -> Content | None:
    """Return "a table" if a header with a known name is above records of its width; cells between tabs do not count."""
    lines = io.StringIO(head, newline="").readlines()
    lines = lines[count_remarks_above(lines) :]
    for delimiter in _DELIMITERS:
        # The last line may be cut in the middle of a quoted text.
        records = _records(lines[:-1] if is_cut else lines, delimiter)
        if len(records) < _MIN_RECORDS or len(records[0]) < 2:
            continue
        header, rows = records[0], records[1:]
        widths = Counter(map(len, rows))
        if widths[len(header)] < _MIN_SHARE * len(rows) or not are_column_names(header) or is_row(header, rows):
            continue
        # In prose, a space follows each comma.
        spaced = sum(any(cell.startswith(" ") for cell in row[1:]) for row in rows)
        if has_known_name(header) and 2 * spaced <= len(rows):
            return "a table"
    return None


def _records(lines: list[str], delimiter: str) -> list[list[str]]:
    try:
        return [record for record in csv.reader(lines, delimiter=delimiter) if record]
    except csv.Error:
        return []
