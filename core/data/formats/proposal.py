"""A proposal of the format detection: a reading that could fit, its evidence and its doubt."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.data.formats import columns as names
from core.data.formats.columns import Column, Row, find_column
from core.data.formats.options import FormatName
from core.data.formats.reading import Reading, get_format
from core.data.formats.values import is_missing

# A column with one of these names holds questions, so it is never plain text to train on.
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
    """A reading that could fit the rows of a dataset.

    Attributes:
        reading: The format with its columns.
        evidence: What supports it.
        rows: Number of the first rows that support it.
        doubt: Why the user should decide; "" if there is no doubt.
        means_json: Whether an answer in JSON is meant, as for objects that are extracted from texts.
    """

    reading: Reading
    evidence: str
    rows: int
    doubt: str = ""
    means_json: bool = False

    @property
    def is_certain(self) -> bool:
        """Return whether the detection may choose this reading without asking."""
        return not self.doubt


Rows = Sequence[Row]
Columns = dict[str, Column]


def make_proposal(
    found: Columns, form: FormatName, columns: dict[str, str | None], evidence: str, rows: int, doubt: str = ""
) -> Proposal:
    """Return a proposal that maps a slot only if the format would not find its column by name.

    Args:
        found: Properties of the columns by name.
        form: The format.
        columns: The column of each slot, or None.
        evidence: What supports the proposal.
        rows: Number of rows that support it.
        doubt: Why the user should decide; "" if there is no doubt.
    """
    slots, every = get_format(form).slots, tuple(found)
    named = {slot: name for slot, name in columns.items() if name and find_column(every, slots[slot]) != name}
    return Proposal(Reading(format=form, columns=named), evidence, rows, doubt)


def count_filled(rows: Rows, name: str, test: Callable[[Any], bool]) -> int:
    """Return the number of rows whose column `name` holds a value that passes `test`."""
    return sum(name in row and not is_missing(row[name]) and test(row[name]) for row in rows)


def count_present(rows: Rows, *columns: str) -> int:
    """Return the number of rows that have all of the columns, empty or not."""
    return sum(all(name in row for name in columns) for row in rows)


def columns_beside(found: Columns, taken: set[str | None]) -> dict[str, str | None]:
    """Return the columns of the system prompt, the context and the tools among those not `taken`."""
    rest = [name for name in found if name not in taken and found[name].kind != "empty"]
    return {
        "system": find_column(rest, names.SYSTEM_NAMES),
        "context": find_column(rest, names.CONTEXT_NAMES),
        "tools": find_column(rest, names.TOOL_NAMES),
    }
