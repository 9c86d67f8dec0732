"""Rows of JSON lines that are lists: a table below a list of names, or a conversation each."""

import json
from collections.abc import Callable
from typing import Any

from core.data.readers.first_line import is_row
from core.data.readers.header import are_column_names
from core.data.readers.lines import MARK
from core.errors import StudioError
from core.system.counting import counted

LIST_COLUMN = "messages"
# Returns the fields in a list, or the trouble why it is no row.
RowOfList = Callable[[list[Any]], dict[str, Any] | str]


def is_list_per_line(head: str) -> bool:
    """Return whether the first two lines are a list each, such as one conversation per line."""
    first, _, rest = head.partition("\n")
    return first.startswith("[") and rest.lstrip().startswith("[") and isinstance(_decode(first), list)


def names_of_lists(head: str, name: str) -> list[str] | None:
    """Return the names in the first list of a file, or None if its lists are conversations.

    Args:
        head: The first lines, the last of which may be cut.
        name: Name of the file for the user.

    Raises:
        StudioError: The lines are rows of a table without names of its columns.
    """
    first, *others = [row for line in head.split("\n") if isinstance(row := _decode(line), list)]
    if not all(isinstance(cell, str) for cell in first):
        return None
    if not first or not are_column_names(first) or is_row(first, others):
        raise StudioError(
            f"Each line of {name!r} is a list, and the first one ({json.dumps(first, ensure_ascii=False)[:80]}) does "
            'not name the columns. Write a list of their names into line 1, such as ["question", "answer"].'
        )
    return first


def row_of_list(names: list[str] | None) -> RowOfList:
    """Return a function that turns a list into a row with these names; None for a list that is one conversation."""

    def read(cells: list[Any]) -> dict[str, Any] | str:
        if names is None:
            return {LIST_COLUMN: cells}
        if cells == names:
            return "repeats the names of the columns"
        if len(cells) != len(names):
            return f"has {counted(len(cells), 'cell')}, the first list has {counted(len(names), 'name')}"
        return dict(zip(names, cells, strict=True))

    return read


def _decode(line: str) -> Any:
    try:
        return json.loads(line.strip().lstrip(MARK))
    except (ValueError, RecursionError):
        return None
