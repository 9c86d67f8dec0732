"""Write docs/data-formats.md: the formats, the options, and how public data sets are read.  python docs/make_formats.py

Everything is taken from the code (`core.data.formats`) and from the rows that the tests open (tests/public_shapes.py).
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from public_shapes import Shape

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]

HEAD = """# Data formats

How the rows of a data set become conversations. The format is found from the first rows: it must fit a clear majority
of them and leave no doubt. The page shows its evidence and the second choice. Where no format is sure, the page and
`python -m core data about NAME` ask, list the likely readings, and no row counts as usable until one is chosen.

Column names are compared without case, spaces and punctuation. Columns of less usual names are found by what they hold;
they stand in the form under *Columns*. A column that the format does not read is listed by name; it can be used as
context (added to the first question), in the system prompt, or ignored. Whatever else of a row is changed or left out
becomes a note of that row. Nothing is dropped without one.

This page is made by `python docs/make_formats.py`; a test holds it to the code.
"""


def page() -> str:
    """Return the whole text."""
    from public_shapes import SHAPES

    return "\n".join([HEAD, *_formats(), "", *_options(), "", *_shapes(SHAPES), ""])


def _formats() -> list[str]:
    from core.data.formats import FORMATS

    lines = [
        "## Formats",
        "",
        "| format | recognised by | parts, and the names that their columns usually have |",
        "|---|---|---|",
    ]
    for form in FORMATS:
        if form.name == "undecided":
            continue
        parts = [
            f"**{slot}**{'' if slot in form.needed else ' (optional)'}: {', '.join(f'`{name}`' for name in names)}"
            for slot, names in form.slots.items()
        ]
        lines.append(f"| {form.label} (`{form.name}`) | {_cell(form.sign)} | {'<br>'.join(parts)} |")
    return lines


def _options() -> list[str]:
    from core.data.formats import Reading

    lines = [
        "## Options",
        "",
        "The form *How the rows are read*, `python -m core data read` and the call `/read_as` have the same options.",
        "",
        "| option | on the page | meaning |",
        "|---|---|---|",
    ]
    fields = Reading.model_fields.items()
    return lines + [f"| `{name}` | {field.title} | {_cell(field.description or '')} |" for name, field in fields]


def _shapes(shapes: "tuple[Shape, ...]") -> list[str]:
    lines = [
        "## Public data sets",
        "",
        f"{len(shapes)} shapes, rebuilt in a few rows each from their cards (tests/public_shapes.py).",
        "",
        "| data set | columns | read as | turns of a row | not used unless chosen | notes |",
        "|---|---|---|---|---|---|",
    ]
    return lines + [_shape(shape) for shape in shapes]


def _shape(shape: "Shape") -> str:
    from core.data.formats import UnusableRow, by_name, detect

    columns = ", ".join(f"`{name}`" for name in shape.rows[0])
    found = detect(shape.rows)
    assert found is not None, f"{shape.name} holds no text"
    if not found.is_sure:
        return f"| {shape.name} | {columns} | *the page asks* | | | {_cell(_sentence(found.evidence))} |"
    parsed = None
    for row in shape.rows:
        try:
            parsed = found.reading.read(row)
            break
        except UnusableRow:
            continue
    assert parsed is not None, f"no row of {shape.name} can be used"
    turns = ", ".join(message["role"] + _silent(message) for message in parsed.messages)
    unread = ", ".join(f"`{name}`" for name in parsed.unread)
    notes = "; ".join(parsed.notes)
    return f"| {shape.name} | {columns} | {by_name(found.reading.format).label} | {turns} | {unread} | {_cell(notes)} |"


def _silent(message: dict[str, Any]) -> str:
    return " (not learned)" if message.get("loss") is False else ""


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _cell(text: str) -> str:
    """Return a text for a cell: on one line, without what Markdown would read as markup."""
    for mark in ("\\", "|", "<", "*", "_", "`"):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


if __name__ == "__main__":
    (PROJECT / "docs" / "data-formats.md").write_text(page(), encoding="utf-8")
