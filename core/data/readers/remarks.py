"""Lines above a table that begin with "#": remarks of the program that wrote it, and the directives of Anki.

An export of Anki begins with lines such as `#separator:tab` and `#tags column:3`. They name the delimiter and some of
the columns; no line below them is a header.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_DIRECTIVE = re.compile(
    r"#(separator|html|tags|columns|notetype|deck|guid|if matches|(?:notetype|deck|tags|guid) column):(.*)",
    re.IGNORECASE,
)
_SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "colon": ":", "space": " "}
# Anki separates by tabs unless the file says otherwise.
_USUAL = "tab"
# A note of two fields has these in Anki's usual types.
_SIDES = ("front", "back")
_MAX_REMARKS = 50
# A remark is "# exported by …"; a name of a column is "#id".
_REMARK = re.compile(r"#+[ !]|##")


@dataclass(frozen=True)
class Remarks:
    """Lines above a table.

    Attributes:
        count: Number of the lines.
        delimiter: The delimiter that they name; "" if they name none.
        names: The names of the columns, if the lines are directives of Anki.
        notes: Sentences about the lines.
    """

    count: int = 0
    delimiter: str = ""
    names: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def count_remarks_above(lines: Sequence[str]) -> int:
    """Return how many lines at the start of a file are remarks or directives."""
    texts = [line.strip("\ufeff \t\r\n") for line in lines[:_MAX_REMARKS]]
    is_above = [bool(_REMARK.match(text) or _DIRECTIVE.fullmatch(text)) for text in texts]
    count = is_above.index(False) if False in is_above else 0
    return count if count < len(lines) else 0


def read_remarks(lines: Sequence[str]) -> Remarks:
    """Return the remarks or directives above a table.

    Args:
        lines: The lines at the start of the file.
    """
    count = count_remarks_above(lines)
    above = [line.strip("\ufeff \t\r\n") for line in lines[:count]]
    found = [match for text in above if (match := _DIRECTIVE.fullmatch(text))]
    if len(found) < count or not any(match[1].lower() == "separator" for match in found):
        shown = f"line 1 ({above[0][:60]!r})" if above else ""
        words = f"{shown} begins with '#'" if count == 1 else f"lines 1 to {count}, from {shown} on, begin with '#'"
        return Remarks(count, notes=[f"{words}; skipped, as remarks above the table are no rows"] if count else [])
    values = {match[1].lower(): match[2].strip() for match in found}
    delimiter = _SEPARATORS.get(values["separator"].lower(), values["separator"][:1] or _SEPARATORS[_USUAL])
    first = next((line for line in lines[count:] if line.strip()), "")
    if len(names := _names(values, delimiter, first)) < len(_SIDES):
        return Remarks()
    notes = ["the file is an export of Anki: its first lines name the delimiter and the columns, and are no rows"]
    if values.get("html", "").lower() == "true":
        notes.append("the export of Anki holds HTML ('#html:true'); its tags are kept as text")
    return Remarks(count, delimiter, names, notes)


def _names(values: dict[str, str], delimiter: str, first: str) -> list[str]:
    """Return the names of the columns of an export of Anki.

    Args:
        values: The values of the directives by name.
        delimiter: The delimiter.
        first: The first line of the table.
    """
    if columns := values.get("columns"):
        return columns.split(delimiter)
    given = {
        int(value): name.split()[0] for name, value in values.items() if name.endswith("column") and value.isdigit()
    }
    width = max([first.count(delimiter) + 1, *given])
    fields = [number for number in range(1, width + 1) if number not in given]
    texts = dict(zip(fields, _SIDES, strict=True)) if len(fields) == len(_SIDES) else {}
    return [given.get(number) or texts.get(number) or f"field_{number}" for number in range(1, width + 1)]
