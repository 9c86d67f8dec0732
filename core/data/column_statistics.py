"""Statistics of the columns of a source, collected while its rows are imported.

The import streams rows whose columns are not known in advance. These counts decide afterwards which columns are stored,
with which type, and which irregularities are reported.
"""

import re
from collections.abc import Sequence

from core.data.merged_cells import MergedCells
from core.data.readers import SourceRow
from core.data.table import SHOWN_COMPLAINTS, Column
from core.errors import StudioError
from core.system.counting import counted

# Further columns are stored in `raw` only.
MAX_COLUMNS = 256
# Digits of any integer of 64 bits, and of the largest one.
_SAFE_DIGITS, _MAX_DIGITS = 18, 19
# Column names that are counted. A file in which every row has new names would need unbounded memory.
_MAX_COUNTED_NAMES = 10_000
# Names are repeated in many parts of the page.
_MAX_NAME_CHARACTERS = 1_000
# A number with or without a decimal comma. A point in it would be a separator of thousands, which is not read.
_COMMA_NUMBER = re.compile(r"[+-]?\d{1,15}(?:,\d{1,15})?")

_KIND_WORDS = {"text": "text", "number": "a number", "flag": "true or false", "nested": "a list or object"}


def describe_problem(read: SourceRow) -> str:
    """Return the problem of a row as a sentence with its line."""
    return f"line {read.line} {read.trouble}" if not read.trouble.startswith("the ") else read.trouble


def is_code(cell: str) -> bool:
    """Return whether a text of digits would lose some as a number: leading zeros, or those of more than 64 bits."""
    if cell[0] == "0" and len(cell) > 1 and cell[1].isdigit():
        return True
    digits = cell.removeprefix("-")
    return len(digits) > _SAFE_DIGITS and digits.isdecimal() and (len(digits) > _MAX_DIGITS or abs(int(cell)) >= 2**63)


def check_name(name: str, line: int) -> None:
    """Raise StudioError if the name of a column, first seen in a line, is too long to be one."""
    if len(name) > _MAX_NAME_CHARACTERS:
        raise StudioError(
            f"Line {line:,} has the name of a column with {len(name):,} characters ({name[:40]!r}…). Expected at most "
            f"{_MAX_NAME_CHARACTERS:,}: give the text a column of its own."
        )


class ColumnStatistics:
    """Counts of rows, splits and kinds of values, collected by the first pass.

    Attributes:
        rows: Number of rows.
        unreadable: Rows that could not be read.
        uncounted: Cells in columns past the limit of counted names.
        splits: Rows by split.
        complaints: The first problems of rows, with their lines.
        kinds: For each column, the number of values of each kind and the line of the first one.
        whole: For columns of numbers, whether all are integers that fit into 64 bits.
        large: For columns of numbers with integers of more than 64 bits, the first of these.
        text_numbers: For columns of text, whether all cells spell numbers.
        comma_numbers: For columns of text whose cells all spell numbers with a comma, such as "0,5", the first of them;
            None for other columns.
        merged_cells: Empty cells below filled ones.
    """

    def __init__(self) -> None:
        self.rows = self.unreadable = self.uncounted = 0
        self.splits: dict[str, int] = {}
        self.complaints: list[str] = []
        self.kinds: dict[str, dict[str, tuple[int, int]]] = {}
        self.whole: dict[str, bool] = {}
        self.large: dict[str, int] = {}
        self.text_numbers: dict[str, bool] = {}
        self.comma_numbers: dict[str, str | None] = {}
        self.merged_cells = MergedCells()

    def sentences(self) -> list[str]:
        """Return the sentences about problems of rows, and about irregular columns."""
        return [
            *self.complaints, *self.mixed(), *self.comma_sentences(), *self.large_sentences(),
            *self.merged_cells.sentences(),
        ]  # fmt: skip

    def note_problem(self, read: SourceRow) -> None:
        """Count the trouble of a row."""
        self.unreadable += read.row is None
        if len(self.complaints) < SHOWN_COMPLAINTS:
            self.complaints.append(describe_problem(read))

    def count_cell(self, name: str, kind: str, line: int) -> None:
        """Count a value of a column."""
        check_name(name, line)
        if name not in self.kinds and len(self.kinds) >= _MAX_COUNTED_NAMES:
            self.uncounted += 1
            return
        kinds = self.kinds.setdefault(name, {})
        count, first = kinds.get(kind, (0, line))
        kinds[kind] = (count + 1, first)

    def count_number(self, name: str, value: float) -> None:
        """Count a number of a column that is not stored as text."""
        if type(value) is int and abs(value) < 2**63:
            return
        self.whole[name] = False
        if type(value) is int:
            self.large.setdefault(name, value)

    def large_sentences(self) -> list[str]:
        """Return sentences about columns that are read as text for their long numbers, and about those not stored."""
        found = [
            f"the column {name!r} has integers of more than 64 bits, such as {str(value)[:40]}, and is read as text, "
            "because as numbers they would lose digits"
            for name, value in list(self.large.items())[:SHOWN_COMPLAINTS]
        ]
        more = sum(kinds.keys() != {"nested"} for kinds in self.kinds.values()) - MAX_COLUMNS
        if more > 0:
            found.append(
                f"{counted(more, 'column')} after the first {MAX_COLUMNS} can be read as parts of a row, but not "
                "shown, sorted or filtered by themselves"
            )
        return found

    def look_for_commas(self, name: str, cells: Sequence[str | None]) -> None:
        """Look for numbers with a decimal comma in further cells of a column of text."""
        if self.comma_numbers.get(name, "") is None:
            return
        given = [cell.strip() for cell in cells if cell and cell.strip()]
        if not all(map(_COMMA_NUMBER.fullmatch, given)):
            self.comma_numbers[name] = None
        elif first := next((cell for cell in given if "," in cell), None):
            self.comma_numbers.setdefault(name, first)

    def comma_sentences(self) -> list[str]:
        """Return sentences about columns of numbers with a comma, which filters and histograms take for text."""
        found = [(name, first) for name, first in self.comma_numbers.items() if first]
        return [
            f"the column {name!r} holds numbers with a comma, such as {first!r}, and is read as text; write a point in "
            "place of the comma to filter by them as numbers"
            for name, first in found[:SHOWN_COMPLAINTS]
        ]

    def columns(self) -> list[Column]:
        """Return the columns to store with their types; a column of several kinds is text."""
        found = []
        for name, kinds in self.kinds.items():
            plain = kinds.keys() - {"nested"}
            if not plain or len(found) >= MAX_COLUMNS:
                continue
            kind = next(iter(plain)) if len(plain) == 1 else "text"
            if name in self.large:
                kind = "text"
            elif kind == "number" or self.text_numbers.get(name):
                kind = "integer" if self.whole.get(name, True) else "number"
            found.append(Column(name=name, kind=kind))
        return found

    def nested(self) -> list[str]:
        """Return the columns that hold lists or objects only."""
        return [name for name, kinds in self.kinds.items() if kinds.keys() == {"nested"}]

    def mixed(self) -> list[str]:
        """Return sentences about columns with values of several kinds, with the line of the first unusual one."""
        sentences = []
        if self.uncounted:
            sentences.append(
                f"{counted(self.uncounted, 'cell')} in columns past the first {_MAX_COUNTED_NAMES:,} "
                f"{'is' if self.uncounted == 1 else 'are'} not read"
            )
        for name, kinds in self.kinds.items():
            if len(kinds) < 2:
                continue
            usual = max(kinds, key=lambda kind: kinds[kind][0])
            odd = [
                f"{_KIND_WORDS[kind]} in {count:,} (first: line {first})"
                for kind, (count, first) in kinds.items()
                if kind != usual
            ]
            rows = counted(kinds[usual][0], "row")
            sentences.append(f"the column {name!r} is {_KIND_WORDS[usual]} in {rows}, but {' and '.join(odd)}")
        return sentences[:SHOWN_COMPLAINTS]
