"""Columns of context that hold a few words, such as the place of a translated text, and no passage of a question."""

from collections.abc import Iterator
from dataclasses import replace

from core.data.formats.columns import find_column
from core.data.formats.proposal import Columns, Proposal, Rows
from core.data.formats.reading import get_format
from core.data.formats.values import is_missing

_MIN_PASSAGE_WORDS = 3
_KINDS = ("category", "constant", "id")


def with_and_without_context(rows: Rows, found: Columns, pair: Proposal) -> Iterator[Proposal]:
    """Yield a pair; if its context is a few words, yield it with these and without, both with doubt."""
    name = _context(found, pair)
    texts = [str(row[name]) for row in rows if name and not is_missing(row.get(name))]
    if name is None or found[name].kind not in _KINDS or any(len(one.split()) >= _MIN_PASSAGE_WORDS for one in texts):
        yield pair
        return
    doubt = pair.doubt or f"{name!r} holds a few words, such as {texts[0]!r}, which may not belong to the question"
    yield replace(pair, doubt=doubt)
    yield replace(pair, reading=pair.reading.model_copy(update={"extra": {name: "ignore"}}), doubt=doubt)


def _context(found: Columns, pair: Proposal) -> str | None:
    slots, columns = get_format(pair.reading.format).slots, pair.reading.columns
    if "context" not in slots:
        return None
    return columns.get("context") or find_column(
        [name for name in found if name not in columns.values()], slots["context"]
    )
