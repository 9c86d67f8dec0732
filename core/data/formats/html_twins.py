"""Texts that a file holds twice, with and without the tags of HTML, such as body and body_text of a helpdesk.

Nobody wants to train on the tags where the plain text stands beside them: the plain text is used, and the other one is
reported like any column or field that is not used.
"""

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.data.formats.columns import Column, Row
from core.data.formats.values import is_missing

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
# A longer text is compared by its beginning.
_COMPARED_CHARACTERS = 20_000


def html_twins(rows: Sequence[Row], found: Mapping[str, Column]) -> set[str]:
    """Return the columns of HTML whose text is that of another column without tags, in most rows."""
    texts = [name for name, column in found.items() if column.kind in ("prose", "short")]
    tagged = [name for name in texts if 2 * sum(_is_html(row.get(name)) for row in rows) > len(rows)]
    return {name for name in tagged if any(_are_twins(rows, name, other) for other in texts if other not in tagged)}


def plain_field(fields: Mapping[str, Any], key: str) -> str:
    """Return the field that holds the plain text of the field `key`; that one if none does."""
    if not _is_html(fields[key]):
        return key
    wanted = _letters(fields[key])
    rest = (name for name, value in fields.items() if name != key and isinstance(value, str) and not _is_html(value))
    return next((name for name in rest if wanted and _letters(fields[name]) == wanted), key)


def _are_twins(rows: Sequence[Row], tagged: str, plain: str) -> bool:
    pairs = [(row[tagged], row[plain]) for row in rows if tagged in row and plain in row]
    filled = [(one, other) for one, other in pairs if not is_missing(one) and not is_missing(other)]
    return bool(filled) and 2 * sum(_letters(one) == _letters(other) for one, other in filled) > len(filled)


def _is_html(value: Any) -> bool:
    return isinstance(value, str) and "<" in value and _TAG.search(value) is not None


def _letters(value: Any) -> str:
    """Return the letters and digits of a text, without tags and with the characters that HTML escapes."""
    text = html.unescape(_TAG.sub(" ", str(value)[:_COMPARED_CHARACTERS]))
    return re.sub(r"[\W_]", "", text).casefold()
