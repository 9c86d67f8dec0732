"""Columns that mark rows as deleted, archived or replaced, and statuses of rows that were discarded.

The first rows show whether the page asks (`withdrawn_doubt`); each row that is marked has a note (`withdrawn_notes`),
since the marked ones may come later in the file.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from core.data.formats.answer_choice import STATUS_VALUES
from core.data.formats.columns import find_column, name_words
from core.data.formats.flag_answers import FLAG_VALUES
from core.data.formats.proposal import Columns, Rows
from core.data.formats.values import is_missing
from core.data.listing import of_first_rows

# Columns of flags that are true for a row that no longer counts, and of those that are false for it.
_WITHDRAWN_NAMES = (
    "deleted", "archived", "removed", "hidden", "retired", "withdrawn", "retracted", "obsolete", "outdated",
    "superseded", "replaced", "deprecated", "inactive", "trashed", "unpublished", "revoked", "soft_deleted",
)  # fmt: skip
_CURRENT_NAMES = ("active", "current", "published", "latest", "current_version", "latest_version")
_YES, _NO = frozenset(("true", "1", "1.0", "yes", "y", "t")), frozenset(("false", "0", "0.0", "no", "n", "f"))
# Columns that are filled only in a row that no longer counts: a date, a person, or the row that replaces it.
_WITHDRAWN_ENDS = ("at", "on", "by", "date", "time", "reason")
_REPLACED_NAMES = ("merged_into", "duplicate_of", "newer_version", "date_deleted", "deletion_date", "date_archived")
_STATE_NAMES = ("status", "state", "record_status", "lifecycle", "visibility")
_MOST_CHARACTERS = 16
# Words of any column of statuses that say that a row does not count.
_DISCARDED = frozenset(word for word, counts in STATUS_VALUES.items() if not counts and word not in FLAG_VALUES) - {
    "draft", "pending", "skipped", "invalid",
}  # fmt: skip


def withdrawn_doubt(rows: Rows, found: Columns, taken: Iterable[str | None]) -> str:
    """Return the doubt that a column marks rows that were deleted, archived or replaced; "" where there is none."""
    for name in found:
        if name in set(taken):
            continue
        values = [str(row[name]).strip() for row in rows if name in row and not is_missing(row[name])]
        marked = [value for value in values if _is_withdrawn(name, value.lower())]
        if not marked and _dates_a_withdrawal(name) and len(values) < len(rows):
            marked = [value for value in values if value.lower() not in _NO]
        if marked:
            return (
                f"{name!r} may mark rows that were deleted or replaced ({marked[0][:40]!r} in "
                f"{of_first_rows(len(marked), len(rows))}); leave such rows out"
            )
    return ""


@lru_cache(maxsize=4096)
def _is_withdrawn(name: str, value: str) -> bool:
    """Return whether a flag or a state in lower case says that a row no longer counts."""
    flag = re.sub(r"^(?:is|was|has_been)(?:_|(?=[A-Z]))", "", name)
    if find_column([flag], (*_WITHDRAWN_NAMES, "draft")):
        return value in _YES
    if find_column([flag], _CURRENT_NAMES):
        return value in _NO
    return bool(find_column([name], _STATE_NAMES)) and value in _WITHDRAWN_NAMES


@lru_cache(maxsize=4096)
def _dates_a_withdrawal(name: str) -> bool:
    """Return whether a column is named like `deleted_at` or `superseded_by`."""
    if find_column([name], _REPLACED_NAMES):
        return True
    *words, end = name_words(name) or [""]
    return end in _WITHDRAWN_ENDS and bool(words) and words[-1] in _WITHDRAWN_NAMES


def withdrawn_notes(cells: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each cell that says that its row was deleted, replaced or discarded.

    Args:
        cells: The values of the columns that the reading does not use.
    """
    notes = []
    for name, value in cells.items():
        # A flag or a status is a short word; everything else is passed over quickly.
        word = "" if isinstance(value, (list, dict)) else str(value)[: _MOST_CHARACTERS + 1].strip().lower()
        is_dated = _dates_a_withdrawal(name) and not is_missing(value) and word not in _NO
        if is_dated or (0 < len(word) <= _MOST_CHARACTERS and _is_withdrawn(name, word)) or word in _DISCARDED:
            shown = "filled" if is_dated else repr(word)
            notes.append(f"the column {name!r} is {shown}, which may mark a row that does not count; it is trained")
    return notes
