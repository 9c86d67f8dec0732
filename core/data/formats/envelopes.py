"""Texts inside nested values, such as the answer in the response of a gateway or an annotation of Label Studio.

A text is certain if lists of one value and objects with one field of text lead to it, beside bookkeeping only.
"""

from collections.abc import Callable, Sequence
from typing import Any

from core.data.formats.columns import Row
from core.data.formats.values import is_missing

# Fields that hold nothing but a list or an object on the way to a text.
_WRAPPERS = ("choices", "message", "annotations", "result", "value", "responses", "candidates", "parts")
_TEXTS = ("content", "text")
# Types of an object that holds a text; another type may be a part of an answer in JSON.
_TYPES = ("text", "output_text", "message", "textarea", "choices", "completion", "chat.completion")
# Fields beside these that say nothing about the text.
_BOOKKEEPING = frozenset(
    ("id", "index", "type", "role", "object", "created", "model", "usage", "finish_reason", "stop_reason", "status",
     "start", "end", "user_id", "completed_by", "was_cancelled", "from_name", "to_name", "created_at", "updated_at",
     "lead_time", "ground_truth", "origin", "unique_id", "task", "project", "system_fingerprint", "service_tier",
     "logprobs", "stop_sequence", "finishReason")
)  # fmt: skip


def find_text(value: Any) -> tuple[str, str] | None:
    """Return the path and the text of a nested value with one certain text, or None.

    A path is written as in JavaScript: "choices[0].message.content".
    """
    path = ""
    while not isinstance(value, str):
        if isinstance(value, list) and len(value) == 1:
            value, path = value[0], f"{path}[0]"
            continue
        key = _key(value) if isinstance(value, dict) else None
        if key is None:
            return None
        value, path = value[key], f"{path}.{key}" if path else key
    return (path, value) if path and value.strip() else None


def _key(value: dict[str, Any]) -> str | None:
    """Return the field of an object that leads to its text, or None if that is not certain."""
    filled = [key for key in value if not is_missing(value[key]) and key not in _BOOKKEEPING]
    if not is_missing(value.get("type")) and value["type"] not in _TYPES:
        return None
    is_wrapper = len(filled) == 1 and filled[0] in (*_WRAPPERS, *_TEXTS)
    return filled[0] if is_wrapper else None


def unwrap_text(value: Any, name: str, note: Callable[[str], None]) -> Any:
    """Return the certain text inside an object or a list of objects, with a note; any other value unchanged."""
    is_object = isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))
    # SQuAD's object with a list of texts is read by `answer_of`; JSON in a text may be the answer to learn.
    is_squad = isinstance(value, dict) and isinstance(value.get("text"), list)
    if not is_object or is_squad or (found := find_text(value)) is None:
        return value
    note(f"of {name}, the field {found[0]} is used and the others are not")
    return found[1]


def holds_one_text(rows: Sequence[Row], name: str) -> bool:
    """Return whether each value of a column of lists and objects has one certain text."""
    values = [row[name] for row in rows if name in row and not is_missing(row[name])]
    return bool(values) and all(find_text(value) for value in values)
