"""Proposals for a text that is written from the other columns, such as the description of a product.

Such a column holds the values of others in most rows: "This black lamp by Nordlys is made of oak."
"""

from collections.abc import Iterator
from dataclasses import replace

from core.data.formats.columns import find_column
from core.data.formats.proposal import Columns, Proposal, Rows, count_present, make_proposal
from core.data.formats.values import is_missing
from core.data.listing import list_some

_TITLE_NAMES = ("title", "name", "product_name", "product", "product_title", "item", "headline")
# A price such as "19.90" has the kind of an id.
_KINDS = ("category", "short", "number", "prose", "id")
_MIN_ATTRIBUTES = 3
_MIN_CHARACTERS, _MAX_CHARACTERS = 2, 60
_SHOWN = 4


def propose_described(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose the columns whose values a text names as the question of that text, always with doubt."""
    prose = [name for name, column in found.items() if column.kind == "prose"]
    text = max(prose, key=lambda name: found[name].characters, default=None)
    if text is None:
        return
    named = [name for name, column in found.items() if name != text and column.kind in _KINDS]
    named = [name for name in named if found[name].values > 1 and _is_in_text(rows, name, text)]
    if len(named) < _MIN_ATTRIBUTES:
        return
    title = find_column([name for name in found if name != text and found[name].kind in _KINDS], _TITLE_NAMES)
    asked = title or named[0]
    rest = [name for name in named if name != asked]
    shown = list_some(map(repr, (asked, *rest)), _SHOWN)
    doubt = (
        f"{text!r} names the values of {shown}, so it may be the answer to them; the question then has the values "
        "without the names of their columns, so write a column with both if the names matter"
    )
    evidence = f"a text in {text!r} that names the values of {shown}"
    slots = {"prompt": asked, "completion": text}
    one = make_proposal(found, "prompt_completion", slots, evidence, count_present(rows, asked, text), doubt)
    yield replace(one, reading=one.reading.model_copy(update={"extra": dict.fromkeys(rest, "context")}))


def _is_in_text(rows: Rows, name: str, text: str) -> bool:
    """Return whether the values of a column are short, and in the text of most rows that have both."""
    pairs = [
        (str(row[name]).strip().lower(), str(row[text]).lower())
        for row in rows
        if not is_missing(row.get(name)) and not is_missing(row.get(text))
    ]
    if not pairs or any(len(value) > _MAX_CHARACTERS for value, _ in pairs):
        return False
    return 2 * sum(len(value) >= _MIN_CHARACTERS and value in whole for value, whole in pairs) > len(pairs)
