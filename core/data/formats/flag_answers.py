"""The answer about a text with several labels in columns of 0 and 1: the names of the labels that apply."""

from core.data.formats.cells import Cells
from core.data.formats.conversation import UnusableRow

FLAG_VALUES = {
    "1": True, "1.0": True, "true": True, "yes": True, "0": False, "0.0": False, "false": False, "no": False,
}  # fmt: skip
# The answer where no label applies; “Label names” may rename it like any other.
_NONE = "none"


def answer_of_flags(cells: Cells, flags: list[str]) -> str:
    """Return the names of the labels that apply to a text, as the answer.

    Args:
        cells: The cells of a row.
        flags: The columns of labels.

    Raises:
        UnusableRow: A value is neither 0 nor 1.
    """
    applies = {name: FLAG_VALUES.get(str(cells.row.get(name)).strip().lower()) for name in flags}
    if unknown := [name for name, value in applies.items() if value is None]:
        shown = str(cells.row.get(unknown[0]))[:40]
        raise UnusableRow(f"the label {unknown[0]!r} is {shown!r}; expected 0 or 1")
    found = [name for name, value in applies.items() if value] or [_NONE]
    cells.applied.update(("labels", name) for name in found if name in cells.reading.labels)
    return ", ".join(cells.reading.labels.get(name, name) for name in found)
