"""Values of a flag or a status that say whether an answer is good."""

from collections.abc import Sequence
from typing import Any

from core.data.formats import columns as names
from core.data.formats.columns import Row, name_words
from core.data.formats.values import is_missing

_GOOD = frozenset(
    ("true", "1", "1.0", "good", "desirable", "yes", "accept", "accepted", "approve", "approved", "keep", "correct",
     "thumbs_up", "like", "submitted", "validated", "selected", "chosen")
)  # fmt: skip
_BAD = frozenset(
    ("false", "0", "0.0", "bad", "undesirable", "no", "reject", "rejected", "disapproved", "decline", "declined",
     "discard", "discarded", "wrong", "incorrect", "invalid", "thumbs_down", "dislike", "flagged", "deleted", "ignore",
     "ignored", "skip", "skipped", "draft", "pending", "cancelled", "canceled")
)  # fmt: skip

# A flag with one of these words is true for a bad answer, and the format "rated" would read it as good.
_BAD_WORDS = frozenset(
    ("bad", "deleted", "exclude", "excluded", "flagged", "ignore", "ignored", "skip", "skipped", "rejected", "archived",
     "removed", "hidden", "superseded", "wrong", "incorrect", "invalid", "spam", "toxic", "error", "discard", "down",
     "obsolete", "outdated", "inactive", "disabled", "duplicate", "fuzzy", "needs")
)  # fmt: skip


def is_bad_flag(name: str) -> bool:
    """Return whether a flag of this name is true for an answer that is bad or does not count."""
    return bool(_BAD_WORDS & set(name_words(name)))


def verdict_of(value: Any) -> bool | None:
    """Return whether a value of a flag names a good answer, or None if it says neither good nor bad."""
    word = str(value).strip().lower()
    return True if word in _GOOD else False if word in _BAD else None


def verdict_doubt(rows: Sequence[Row], answer: str) -> str:
    """Return the doubt that a column named like an answer judges the rows, as in Prodigy; "" where it does not."""
    filled = (row[answer] for row in rows if answer in row and not is_missing(row[answer]))
    values = {str(value).strip().lower() for value in filled}
    return f"{answer!r} may say which answers are good" if values <= names.JUDGMENT_WORDS else ""
