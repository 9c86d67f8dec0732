"""One reading that could fit the rows of a data set, and how its columns are named and its rows counted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.data.formats.columns import Column, Row, find_column
from core.data.formats.options import FormatName
from core.data.formats.reading import Reading, get_format
from core.data.formats.values import is_missing

# A column so called holds what is asked, never what is to be learned on its own.
QUESTION_NAMES = (
    "prompt",
    "question",
    "query",
    "instruction",
    "instructions",
    "input",
    "inputs",
    "problem",
    "request",
)


@dataclass(frozen=True)
class Proposal:
    """A reading that could fit.

    Attributes:
        evidence: what speaks for it.
        rows: how many rows show it.
        doubt: why the user should decide; "" when there is no doubt.
    """

    reading: Reading
    evidence: str
    rows: int
    doubt: str = ""

    @property
    def sure(self) -> bool:
        return not self.doubt


Rows = Sequence[Row]
Columns = dict[str, Column]


def make_proposal(
    found: Columns, form: FormatName, columns: dict[str, str | None], evidence: str, rows: int, doubt: str = ""
) -> Proposal:
    """Return a proposal that names a column only where the format would not find it by its usual name."""
    slots, every = get_format(form).slots, tuple(found)
    named = {slot: name for slot, name in columns.items() if name and find_column(every, slots[slot]) != name}
    return Proposal(Reading(format=form, columns=named), evidence, rows, doubt)


def count_filled(rows: Rows, name: str, test: Callable[[Any], bool]) -> int:
    return sum(name in row and not is_missing(row[name]) and test(row[name]) for row in rows)


def count_present(rows: Rows, *columns: str) -> int:
    return sum(all(name in row for name in columns) for row in rows)
