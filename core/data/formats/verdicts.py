"""Values of a flag or a status that say whether an answer is good."""

from typing import Any

_GOOD = frozenset(
    ("true", "1", "1.0", "good", "desirable", "yes", "accept", "accepted", "approve", "approved", "keep", "correct",
     "thumbs_up", "like", "submitted", "validated", "selected", "chosen")
)  # fmt: skip
_BAD = frozenset(
    ("false", "0", "0.0", "bad", "undesirable", "no", "reject", "rejected", "disapproved", "decline", "declined",
     "discard", "discarded", "wrong", "incorrect", "invalid", "thumbs_down", "dislike", "flagged", "deleted", "ignore",
     "ignored", "skip", "skipped", "draft", "pending", "cancelled", "canceled")
)  # fmt: skip


def verdict_of(value: Any) -> bool | None:
    """Return whether a value of a flag names a good answer, or None if it says neither good nor bad."""
    word = str(value).strip().lower()
    return True if word in _GOOD else False if word in _BAD else None
