"""Merged cells of a spreadsheet, of which a file has the value in the first row only, are reported."""

import json
import random

import pytest

from core.data import sources
from core.data.merged_cells import MergedCells

_RANDOM = random.Random(7)


def column(sizes):
    """Return a column of groups: a value and empty cells below it, by the sizes of the groups."""
    return [cell for at, size in enumerate(sizes) for cell in (f"Topic {at}", *[""] * (size - 1))]


def at_random(rows, share):
    return ["first", *(f"Context {row}" if _RANDOM.random() < share else None for row in range(rows))]


MERGED = {
    "equal groups": column([4] * 8),
    "pairs": column([2] * 5),
    "groups of several sizes": column([3, 5, 2, 6] * 6),
    "some groups of one row": column([4, 5, 1, 3, 6, 2] * 40),
    "spaces": [cell or "  " for cell in column([3] * 5)],
}
OTHERS = {
    "full": column([1] * 50),
    "few empty cells": column([1, 1, 1, 2] * 20),
    "a quarter at random": at_random(400, 0.25),
    "two thirds at random": at_random(400, 0.66),
    "a title alone": column([40]),
    "filled at the end": ["", *column([4] * 8)],
    "empty": [None] * 30,
}


@pytest.mark.parametrize("cells", [*MERGED.values(), *OTHERS.values()], ids=[*MERGED, *OTHERS])
def test_merged_cells_are_distinguished_from_other_empty_ones(cells):
    seen = MergedCells()
    # In batches, as the import reads them.
    for start in range(0, len(cells), 7):
        seen.count("topic", cells[start : start + 7])
    empty = sum(not (cell or "").strip() for cell in cells)
    expected = [f"the column 'topic' is empty in {empty} rows"] if cells in MERGED.values() else []
    assert [sentence.partition(",")[0] for sentence in seen.sentences()] == expected


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_report_of_an_opened_file_names_columns_with_merged_cells(settings, tmp_path, kind):
    rows = [(cell, f"What is fact {at}?", f"It is {at}.") for at, cell in enumerate(column([3] * 6))]
    names = ("system", "question", "answer")
    text = {
        "csv": "\n".join(",".join(row) for row in [names, *rows]),
        # pandas has null for them.
        "jsonl": "\n".join(json.dumps(dict(zip(names, [row[0] or None, *row[1:]], strict=True))) for row in rows),
    }[kind]
    path = tmp_path / f"sheet.{kind}"
    path.write_text(text)
    [note] = [note for note in sources.open_file(settings, path).complaints if "merged" in note]
    assert note.startswith("the column 'system' is empty in 12 rows, each time below a filled cell")
    assert "fill them down" in note
