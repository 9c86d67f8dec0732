"""Columns with merged cells of a spreadsheet, which a saved file has as one filled cell and empty ones below it.

Only the first row of each merged cell keeps its value: a topic, a context or an instruction for several rows would be
learned with one of them. A filled cell hardly ever follows another one in such a column, unlike where cells are empty
at random, as in a column of optional contexts.
"""

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from operator import and_

from core.data.table import SHOWN_COMPLAINTS
from core.system.counting import counted

# Rows from whose cells a column is judged.
_JUDGED_ROWS = 10_000
_MIN_FILLED = 4
# Pairs of filled cells, one below the other, that chance makes: their number from which none is no chance any more
# (the probability is exp(-2.5), 8 %). Where there are some, they are fewer by this share, and by this many of the
# standard deviations of a Poisson distribution (0.1 %).
_MIN_CHANCE_PAIRS, _MAX_SHARE, _DEVIATIONS = 2.5, 0.6, 3.0


class MergedCells:
    """Counts of empty cells below filled ones, by column."""

    def __init__(self) -> None:
        self._empty: Counter[str] = Counter()
        # A byte for each of the first cells: 1 if it is filled.
        self._heads: dict[str, bytearray] = {}

    def count(self, name: str, cells: Sequence[str | None]) -> None:
        """Count further cells of a column of text."""
        head = self._heads.setdefault(name, bytearray())
        # A column without an empty cell at its beginning has no merged ones.
        if len(head) >= _JUDGED_ROWS and not self._empty[name]:
            return
        filled = bytes(bool(cell and not cell.isspace()) for cell in cells)
        self._empty[name] += filled.count(0)
        head += filled[: _JUDGED_ROWS - len(head)]

    def sentences(self) -> list[str]:
        """Return a sentence about each column whose empty cells look like merged ones."""
        found = [name for name, head in self._heads.items() if _are_merged(bytes(head))]
        return [
            f"the column {name!r} is empty in {counted(self._empty[name], 'row')}, each time below a filled cell, as "
            "merged cells of a spreadsheet are in a saved file, so these rows are read without its value; if they "
            "were merged, unmerge them, fill them down, and save the file again"
            for name in found[:SHOWN_COMPLAINTS]
        ]


def _are_merged(filled: bytes) -> bool:
    """Return whether empty cells follow filled ones as below merged cells: in equal runs, or more than by chance."""
    count = filled.count(1)
    if count < _MIN_FILLED or not filled[0] or 3 * filled.count(0) < len(filled):
        return False
    *runs, last = map(len, filled.split(b"\1")[1:])
    if len(set(runs)) == 1 and last <= runs[0]:
        return True
    pairs, by_chance = sum(map(and_, filled, filled[1:])), count * count / len(filled)
    if not pairs:
        return by_chance >= _MIN_CHANCE_PAIRS
    return pairs <= _MAX_SHARE * by_chance and by_chance - pairs >= _DEVIATIONS * sqrt(by_chance)
