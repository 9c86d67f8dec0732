"""Requests to a model and its responses as the interfaces of OpenAI, Anthropic and Google write them, in a log.

A request holds the turns and the system prompt in fields of its own, a response the turn of the answer. Both are read
as turns; what else they hold, such as the name of the model, is reported by the reader of turns.
"""

from typing import Any

from core.data.formats.envelopes import find_text
from core.data.formats.response_items import are_items
from core.data.formats.values import Note, is_missing, nested

_SYSTEM_FIELDS = ("system", "systemInstruction", "system_instruction", "instructions")
# Fields that say why a model stopped, and the values of an answer that is cut or refused.
_REASON_FIELDS = ("finish_reason", "stop_reason", "finishReason")
_FAILED = frozenset(
    ("length", "max_tokens", "max_output_tokens", "content_filter", "safety", "recitation", "error", "abort", "refusal")
)  # fmt: skip
_MAX_LEVELS = 4


def request_of(value: Any) -> Any:
    """Return a request as an object with the list `messages`, the system prompt as its first turn; others unchanged."""
    value = nested(value)
    field = _turns_field(value)
    if field is None:
        return value
    system = next((name for name in _SYSTEM_FIELDS if not is_missing(value.get(name))), None)
    turns = [] if system is None else [{"role": "system", "content": _content(value[system])}]
    rest = {name: part for name, part in value.items() if name not in (field, system)}
    return {**rest, "messages": [*turns, *value[field]]} if turns or field != "messages" else value


def is_request(value: Any) -> bool:
    """Return whether a value is a request with turns, or an object with the list `messages`."""
    return _turns_field(nested(value)) is not None


def _turns_field(value: Any) -> str | None:
    """Return the field of a request that holds its turns: messages, contents of Google, input of OpenAI's Responses."""
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("messages"), list):
        return "messages"
    for field, needed in (("contents", "parts"), ("input", "role")):
        turns = value.get(field)
        are_objects = isinstance(turns, list) and bool(turns) and all(isinstance(turn, dict) for turn in turns)
        if are_objects and (needed in turns[0] or are_items(turns)):
            return field
    return None


def _content(system: Any) -> Any:
    return system["parts"] if isinstance(system, dict) and "parts" in system else system


def response_of(value: Any, name: str, note: Note) -> Any:
    """Return the turns in a response, with a note; a value that is none, or that holds one certain text, unchanged.

    Args:
        value: The value of an answer.
        name: What holds it, in notes.
        note: Callback for a sentence about the field that is used.
    """
    if not isinstance(value, dict) or find_text(value):
        return value
    if are_items(value.get("output")):
        note(f"of {name}, the field output is used and the others are not")
        return value["output"]
    if isinstance(value.get("role"), str) and isinstance(value.get("content"), list):
        return [value]
    candidates = value.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and len(candidates) == 1 else None
    content = first.get("content") if isinstance(first, dict) else None
    if isinstance(content, dict) and isinstance(content.get("parts"), list):
        note(f"of {name}, the field candidates[0].content is used and the others are not")
        return [content]
    return value


def failed_reason(value: Any, levels: int = _MAX_LEVELS) -> str:
    """Return why the answer in a response was cut or refused, such as "length"; "" where it was not."""
    if isinstance(value, list) and levels:
        return next((reason for item in value if (reason := failed_reason(item, levels - 1))), "")
    if not isinstance(value, dict) or not levels:
        return ""
    for name in _REASON_FIELDS:
        if isinstance(reason := value.get(name), str) and reason.lower() in _FAILED:
            return reason
    parts = (part for part in value.values() if isinstance(part, (dict, list)))
    return next((reason for part in parts if (reason := failed_reason(part, levels - 1))), "")


def is_response(value: Any) -> bool:
    """Return whether a value is a response whose turns are read."""
    value = nested(value)
    return response_of(value, "", lambda sentence: None) is not value
