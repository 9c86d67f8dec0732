"""Write docs/data-formats.md: the supported formats, and the result for public datasets.

The first table comes from core.data.formats, the second from parsing the rows in tests/helpers/public_shapes.py. Run it
with `python docs/make_formats.py`; a test fails if the page differs from what this script writes.
"""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core.data import formats  # noqa: E402
from core.data.formats import FORMATS, UnusableRow, get_format  # noqa: E402
from tests.helpers.public_shapes import SHAPES  # noqa: E402
from tests.helpers.shapes import Shape  # noqa: E402

PAGE = Path(__file__).with_name("data-formats.md")
_HEAD = """# Data formats

This page is written by `python docs/make_formats.py`.

The format is detected from the names of the columns and from their values. It is used if it fits more than half of the
rows and nothing about it is a guess. Otherwise the Data tab asks you to choose, and no row is usable until you do.
Names are compared without case, spaces and punctuation. The Data tab lists the columns that the format does not read:
each can be appended to the question, added to the system prompt, or left out.

In a turn, `weight: 0`, `train: false` and similar fields exclude an answer from the loss. Reasoning is written before
the answer in `<think>` tags or left out. Tool calls are written as JSON after the answer. Every other field is reported
in a note. A conversation inside a text cell is parsed as JSON or as a Python literal. Other values are converted to
text.
"""


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def format_rows() -> list[tuple[str, ...]]:
    """Return label, sign and slots of each format."""
    return [
        (
            form.label,
            form.sign,
            "; ".join(f"{slot}: {', '.join(names) or '(chosen by you)'}" for slot, names in form.slots.items()),
        )
        for form in FORMATS
        if form.name != "undecided"
    ]


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "(no usual name)"


def shape_row(shape: Shape) -> tuple[str, ...]:
    """Return name, columns, format and first row of a public dataset."""
    columns = ", ".join(shape.rows[0])
    found = formats.detect(shape.rows)
    if not found.is_sure:
        return shape.name, columns, "the page asks", found.evidence
    try:
        parsed = found.reading.read(shape.rows[0])
        roles = ", ".join(m["role"] + " (no loss)" * (m.get("loss") is False) for m in parsed.messages)
        rest = [f"not used: {', '.join(parsed.unread)}"] if parsed.unread else []
    except UnusableRow as error:
        roles, rest = f"left out: {error}", []
        parsed = None
    notes = [*rest, *(parsed.notes if parsed else [])]
    return shape.name, columns, get_format(found.reading.format).label, "; ".join([roles, *notes])


def page() -> str:
    """Return the whole page."""
    formats_table = table(("format", "recognized by", "parts and the usual names of their columns"), format_rows())
    shapes = table(("dataset", "columns", "read as", "first row"), [shape_row(shape) for shape in SHAPES])
    return f"{_HEAD}\n## Formats\n\n{formats_table}\n\n## Public datasets\n\n{shapes}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
