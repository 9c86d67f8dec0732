"""Proposals for a text that is written from the other columns, such as the description of a product, and the reverse.

Such a column holds the values of others in most rows: "This black lamp by Nordlys is made of oak." So does a text from
which an object is extracted.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from core.data.formats.columns import COMPLETION_NAMES, SURE_LABEL_NAMES, find_column
from core.data.formats.empty_answers import is_wrong_name
from core.data.formats.proposal import QUESTION_NAMES, Columns, Proposal, Rows, count_present, make_proposal
from core.data.formats.unused_parts import numbered_turns_doubt
from core.data.formats.values import is_missing, nested
from core.data.listing import list_some

_TITLE_NAMES = ("title", "name", "product_name", "product", "product_title", "item", "headline")
# A price such as "19.90" has the kind of an id.
_KINDS = ("category", "short", "number", "prose", "id")
_MIN_ATTRIBUTES = 3
_MIN_CHARACTERS, _MAX_CHARACTERS = 2, 60
_SHOWN = 4
_MIN_EXTRACTED = 2
# Columns that other proposals read.
_OTHER_NAMES = (*QUESTION_NAMES, *COMPLETION_NAMES, *SURE_LABEL_NAMES)
_MIN_PROSE, _MAX_PROSE = 3, 5


def propose_described(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose a text as the answer to the values that it names, or as the question of an object with them."""
    yield from _described(rows, found)
    yield from _extracted(rows, found)


def _described(rows: Rows, found: Columns) -> Iterator[Proposal]:
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


def _extracted(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose an object whose values stand in a text as the answer about it, written as JSON; always with doubt."""
    texts = [name for name, column in found.items() if column.kind in ("prose", "short")]
    for answer in (name for name, column in found.items() if column.kind in ("nested", "prose")):
        for text in texts:
            if text != answer and 2 * sum(_is_extracted(row.get(answer), row.get(text)) for row in rows) > len(rows):
                doubt = (
                    f"the values in {answer!r} stand in {text!r}, from which it may be extracted; it is written as JSON"
                )
                evidence = f"a text in {text!r} and what it says in {answer!r}"
                slots = {"prompt": text, "completion": answer}
                filled = count_present(rows, text, answer)
                one = make_proposal(found, "prompt_completion", slots, evidence, filled, doubt)
                yield replace(one, means_json=True)


def _is_extracted(value: Any, text: Any) -> bool:
    """Return whether most values of an object are a part of a text."""
    value = nested(value)
    if not isinstance(value, dict) or not isinstance(text, str):
        return False
    parts = [
        str(part).lower() for part in value.values() if isinstance(part, (str, int, float)) and not is_missing(part)
    ]
    return len(parts) >= _MIN_EXTRACTED and 2 * sum(part in text.lower() for part in parts) > len(parts)


def propose_in_order(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose the last of a few columns of prose as the answer to those before it, always with doubt."""
    prose = [name for name, column in found.items() if column.kind == "prose"]
    if not _MIN_PROSE <= len(prose) <= _MAX_PROSE or find_column(prose, _OTHER_NAMES):
        return
    *asked, answer = prose
    if is_wrong_name(answer) or "?" in "".join(prose) or numbered_turns_doubt(found):
        return
    shown = list_some(map(repr, asked), _SHOWN)
    doubt = f"{answer!r} may be the answer to {shown}"
    slots = {"prompt": asked[0], "completion": answer}
    evidence = f"texts in {shown} and an answer in {answer!r}"
    one = make_proposal(found, "prompt_completion", slots, evidence, count_present(rows, *prose), doubt)
    yield replace(one, reading=one.reading.model_copy(update={"extra": dict.fromkeys(asked[1:], "context")}))
