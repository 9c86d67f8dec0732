"""Marked parts of a text in a column beside it: names with their positions, or a tag for each word.

An annotation tool writes them for a model that tags words. No format reads them, and the bare text is hardly what such
a file is for, so the page asks.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from core.data.formats.columns import Column, Row, find_column
from core.data.formats.values import is_missing, nested

_START_NAMES = ("start", "start_offset", "begin", "offset", "start_char", "char_start", "token_start", "beginOffset")
_LABEL_NAMES = ("label", "labels", "type", "entity", "entity_type", "entity_group", "tag", "class", "ner")
_TAG_WORDS = ("ner_tags", "tags", "pos_tags", "labels", "ner", "label", "chunk_tags", "bio_tags", "iob_tags")
_MAX_TAG_CHARACTERS = 20
# Number of the first rows whose words are compared with their tags.
_SURVEYED_ROWS = 50
_ADVICE = "and no format reads such marks; write what is to be found in the text into a column of answers"


def annotation_doubt(rows: Iterable[Row], found: Mapping[str, Column], taken: Iterable[str] = ()) -> str:
    """Return the doubt that a column marks parts of a text that is in another one; "" where none does.

    Args:
        rows: The rows.
        found: Properties of the columns by name.
        taken: Columns that the reading uses.
    """
    rows = list(rows)[:_SURVEYED_ROWS]
    lists = {name: _lists(rows, name) for name in found if name not in set(taken)}
    for name, values in lists.items():
        items = [item for value in values for item in value or ()]
        if items and all(map(_is_span, items)):
            return f"{name!r} marks parts of a text, such as names, by their positions, {_ADVICE}"
    for name, values in lists.items():
        if not find_column([name], _TAG_WORDS) or not _are_tags(values):
            continue
        words = next((other for other in lists if other != name and _fit(lists[other], values)), None)
        if words:
            return f"{name!r} holds a tag for each word of {words!r}, {_ADVICE}"
    return ""


def _lists(rows: list[Row], name: str) -> list[list[Any] | None]:
    """Return the list in each row of a column; None for a row without one."""
    values = [nested(row[name]) if name in row and not is_missing(row[name]) else None for row in rows]
    return [value if isinstance(value, list) else None for value in values]


def _is_span(item: Any) -> bool:
    if isinstance(item, dict):
        start = find_column(list(item), _START_NAMES)
        return start is not None and isinstance(item[start], int) and find_column(list(item), _LABEL_NAMES) is not None
    # [0, 5, "PERSON"] of spaCy, doccano and GLiNER.
    is_triple = isinstance(item, list) and len(item) == 3
    return is_triple and all(type(place) is int for place in item[:2]) and isinstance(item[2], str)


def _are_tags(values: list[list[Any] | None]) -> bool:
    items = [item for value in values for item in value or ()]
    is_short = all(type(item) is int or (isinstance(item, str) and len(item) <= _MAX_TAG_CHARACTERS) for item in items)
    return is_short and 2 * len(set(map(str, items))) <= len(items)


def _fit(words: list[list[Any] | None], tags: list[list[Any] | None]) -> bool:
    """Return whether the lists of a column hold texts, one for each tag of another column."""
    both = [(one, other) for one, other in zip(words, tags, strict=True) if one and other]
    return bool(both) and all(len(one) == len(other) and all(isinstance(w, str) for w in one) for one, other in both)
