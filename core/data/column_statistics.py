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
        self.text_numbers: dict[str, bool] = {}
        self.comma_numbers: dict[str, str | None] = {}
        self.merged_cells = MergedCells()

    def sentences(self) -> list[str]:
        """Return the sentences about problems of rows, and about irregular columns."""
        return [*self.complaints, *self.mixed(), *self.comma_sentences(), *self.merged_cells.sentences()]

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
            if kind == "number" or self.text_numbers.get(name):
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
