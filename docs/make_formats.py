"""Writes docs/data-formats.md: the formats that are read, and how the rows of public data sets are read.

The first table comes from core.data.formats, the second from the rows in tests/helpers/public_shapes.py, read as a
user's would be. `python docs/make_formats.py`; a test fails when the page is not what this script writes.
"""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core.data import formats  # noqa: E402
from core.data.formats import FORMATS, UnusableRow, get_format  # noqa: E402
from tests.helpers.public_shapes import SHAPES, Shape  # noqa: E402

PAGE = Path(__file__).with_name("data-formats.md")
_HEAD = """# Data formats

This page is written by `python docs/make_formats.py`.

A format is proposed by the names of columns and by what stands in them, and taken when it fits more than half of the
rows and nothing about it is a guess. Otherwise the Data tab asks, and no row counts as usable until a reading is
chosen. Names are compared without case, spaces and punctuation. What a row holds and no format reads is named with the
data set: a column can be put behind the question, into the system prompt, or left out.

In a turn, `weight: 0`, `train: false` and their like keep an answer out of the loss; reasoning is put before the answer
in `<think>` tags or left out; tool calls are written as JSON behind the answer; every other field is named in a note. A
conversation inside a text cell is read as JSON or as a Python literal. Values that are not text are written as text.
"""


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def format_rows() -> list[tuple[str, ...]]:
    """Return label, sign and parts of each format."""
    return [
        (form.label, form.sign, "; ".join(f"{slot}: {', '.join(names)}" for slot, names in form.slots.items()))
        for form in FORMATS
        if form.name != "undecided"
    ]


def shape_row(shape: Shape) -> tuple[str, ...]:
    """Return how one public data set is read."""
    columns = ", ".join(shape.rows[0])
    found = formats.detect(shape.rows)
    if not found.is_sure:
        return shape.name, columns, "the page asks", found.evidence
    try:
        parsed = found.reading.read(shape.rows[0])
        roles = ", ".join(m["role"] + " (not learned)" * (m.get("loss") is False) for m in parsed.messages)
        rest = [f"not used: {', '.join(parsed.unread)}"] if parsed.unread else []
    except UnusableRow as error:
        roles, rest = f"left out: {error}", []
        parsed = None
    notes = [*rest, *(parsed.notes if parsed else [])]
    return shape.name, columns, get_format(found.reading.format).label, "; ".join([roles, *notes])


def page() -> str:
    """Return the whole page."""
    formats_table = table(("format", "recognised by", "parts and the columns they are found in"), format_rows())
    shapes = table(("data set", "columns", "read as", "first row"), [shape_row(shape) for shape in SHAPES])
    return f"{_HEAD}\n## Formats\n\n{formats_table}\n\n## Public data sets\n\n{shapes}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
