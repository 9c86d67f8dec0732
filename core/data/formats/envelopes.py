"""Texts inside nested values, such as the answer in the response of a gateway or an annotation of Label Studio.

A text is certain if lists of one value and objects with one field of text lead to it, beside bookkeeping only.
"""

from collections.abc import Callable, Sequence
from typing import Any

from core.data.formats.columns import TOOL_NAMES, Row
from core.data.formats.conversation import UnusableRow
from core.data.formats.values import is_missing, nested, optional_text

# Fields that hold nothing but a list or an object on the way to a text.
_WRAPPERS = ("choices", "message", "annotations", "result", "value", "responses", "candidates", "parts", "generations")
_TEXTS = ("content", "text")
# Types of an object that holds a text; another type may be a part of an answer in JSON.
_TYPES = (
    "text",
    "output_text",
    "message",
    "textarea",
    "choices",
    "completion",
    "chat.completion",
    "ChatGeneration",
    "Generation",
)
# Fields of a message, of a choice, and of a generation.
_MESSAGE_FIELDS = frozenset(("role", "content", "message", "text", "kwargs"))
# Fields beside these that say nothing about the text.
_BOOKKEEPING = frozenset(
    ("id", "index", "type", "role", "object", "created", "model", "usage", "finish_reason", "stop_reason", "status",
     "start", "end", "user_id", "completed_by", "was_cancelled", "from_name", "to_name", "created_at", "updated_at",
     "lead_time", "ground_truth", "origin", "unique_id", "task", "project", "system_fingerprint", "service_tier",
     "logprobs", "stop_sequence", "finishReason", "result_count", "draft_created_at", "parent_prediction",
     "parent_annotation", "last_action", "last_created_by", "bulk_created", "updated_by", "import_id", "prediction",
     "annotation_id", "project_id", "task_id", "score", "model_version",
     "generation_info", "llm_output", "run")
)  # fmt: skip
# Flags of an annotation that was skipped, and of the one that is right. The first text of several others is used.
_CANCELLED = ("was_cancelled", "cancelled", "canceled", "skipped")
_RIGHT = "ground_truth"
# Statuses of an answer that does not count, as in an export of Argilla.
_UNFINISHED = ("draft", "discarded", "pending", "rejected", "cancelled", "canceled", "skipped", "declined", "deleted")
# The fewest fields of an object with an answer of one of several kinds: a number, a date or a text.
_MIN_KINDS = 3
_FINISHED = ("submitted", "completed", "accepted", "approved", "validated")


def find_text(value: Any) -> tuple[str, str] | None:
    """Return the path and the text of a nested value with one certain text, or None.

    A path is written as in JavaScript: "choices[0].message.content".
    """
    path = ""
    while not isinstance(value, str):
        index = _index(value) if isinstance(value, list) else None
        if index is not None:
            value, path = value[index], f"{path}[{index}]"
            continue
        key = _key(value) if isinstance(value, dict) else None
        if key is None:
            return None
        value, path = value[key], f"{path}.{key}" if path else key
    return (path, value) if path and value.strip() else None


def find_call(value: Any) -> tuple[str, dict[str, Any]] | None:
    """Return the path and the message of a nested value that leads to one message with tool calls, or None.

    Such a message has no text, or one beside the calls, so that `find_text` finds none.
    """
    path = ""
    while not isinstance(value, dict) or not _is_call(value):
        if isinstance(value, list) and len(value) == 1:
            value, path = value[0], f"{path}[0]"
            continue
        key = _key(value) if isinstance(value, dict) else None
        if key is None or key not in _WRAPPERS:
            return None
        value, path = value[key], f"{path}.{key}" if path else key
    return path, value


def take_tools(value: Any, note: Callable[[str], None]) -> tuple[Any, str]:
    """Return the messages of a request to a model without its tools, and the tools as text; "" if there are none.

    Args:
        value: An object with messages, or any other value, which is returned unchanged.
        note: Callback for a sentence about the tools.
    """
    has_turns = isinstance(value, dict) and isinstance(value.get("messages"), list)
    if not has_turns or (name := next((name for name in TOOL_NAMES if name in value), None)) is None:
        return value, ""
    tools = optional_text(value[name], f"the field {name!r} of the conversation", note)
    rest = {key: part for key, part in value.items() if key != name}
    return rest, tools or ""


def _is_call(value: dict[str, Any]) -> bool:
    calls = value.get("tool_calls")
    return isinstance(value.get("role"), str) and isinstance(calls, list) and bool(calls)


def _index(value: list[Any]) -> int | None:
    """Return the index of the only item of a list, or of the annotation that counts; None where that is not certain."""
    if not all(isinstance(item, dict) and (_CANCELLED[0] in item or _status(item)) for item in value):
        return 0 if len(value) == 1 and not is_cancelled(value[0]) else None
    kept = [index for index, item in enumerate(value) if not is_cancelled(item)]
    right = [index for index in kept if value[index].get(_RIGHT) is True]
    return next(iter(right + kept), None)


def is_cancelled(value: Any) -> bool:
    """Return whether a value is an answer that was skipped or is a draft, or a list of nothing but such answers."""
    if isinstance(value, list):
        return bool(value) and all(map(is_cancelled, value))
    if not isinstance(value, dict):
        return False
    return any(value.get(name) in (True, "true", "True") for name in _CANCELLED) or _status(value) in _UNFINISHED


def _status(value: dict[str, Any]) -> str:
    """Return the status of an answer in lower case; "" for an object without one, or with one of something else."""
    status = str(value.get("status")).lower()
    return status if status in (*_UNFINISHED, *_FINISHED) else ""


def _is_empty(value: Any) -> bool:
    """Return whether a value is a list of annotations, none of which has a result."""
    items = value if isinstance(value, list) else []
    return bool(items) and all(
        isinstance(item, dict) and "result" in item and is_missing(item["result"]) for item in items
    )


def _key(value: dict[str, Any]) -> str | None:
    """Return the field of an object that leads to its text, or None if that is not certain."""
    filled = [key for key in value if not is_missing(value[key]) and key not in _BOOKKEEPING]
    if not is_missing(value.get("type")) and value["type"] not in _TYPES:
        return None
    is_wrapper = len(filled) == 1 and filled[0] in (*_WRAPPERS, *_TEXTS)
    return filled[0] if is_wrapper else None


def is_error(value: Any) -> bool:
    """Return whether a value is what an interface answers to a request that failed, such as OpenAI's or Google's."""
    if not isinstance(value, dict) or not isinstance(error := value.get("error"), dict):
        return False
    beside = {key for key, part in value.items() if not is_missing(part)} - {"error", "type", "request_id", "id"}
    return not beside and isinstance(error.get("message"), str) and bool(error.keys() & {"type", "code", "status"})


def only_value(value: dict[str, Any]) -> str | None:
    """Return the field of an object of answers of several kinds that alone has a value, as in DROP; None otherwise."""
    filled = [key for key in value if not is_missing(value[key])]
    if len(filled) != 1 or len(value) < _MIN_KINDS:
        return None
    found = value[filled[0]]
    is_text = isinstance(found, (str, int, float)) or (
        isinstance(found, list) and all(isinstance(item, str) for item in found)
    )
    return filled[0] if is_text and filled[0] not in (*_WRAPPERS, *_TEXTS) else None


def unwrap_text(value: Any, name: str, note: Callable[[str], None]) -> Any:
    """Return the certain text inside an object or a list of objects, with a note; any other value unchanged.

    Raises:
        UnusableRow: The value is an error, or holds nothing but answers that were cancelled, are drafts or empty.
    """
    is_object = isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))
    # SQuAD's object with a list of texts is read by `answer_of`; JSON in a text may be the answer to learn.
    if is_object and is_cancelled(value):
        raise UnusableRow(f"{name} holds nothing but answers that are cancelled, drafts or discarded")
    if is_error(value):
        raise UnusableRow(f"{name} is the error of a request")
    if is_object and _is_empty(value):
        raise UnusableRow(f"{name} holds annotations without a result")
    if isinstance(value, dict) and (only := only_value(value)):
        note(f"of {name}, only the field {only!r} has a value, which is used")
        return value[only]
    is_squad = isinstance(value, dict) and isinstance(value.get("text"), list)
    if not is_object or is_squad or (found := find_text(value)) is None:
        return value
    note(f"of {name}, the field {found[0]} is used and the others are not")
    if isinstance(value, list) and any(map(is_cancelled, value)):
        note(f"{name} has answers that are cancelled, drafts or discarded, which are not used")
    return found[1]


def spelled_envelope(value: Any) -> Any:
    """Return the object that a text spells, if it is a message or a response with messages; other values unchanged.

    Logs of requests hold such texts. Any other object in a text may be the answer to learn.
    """
    found = nested(value) if isinstance(value, str) else None
    return found if isinstance(found, dict) and _is_response(found) else value


def _is_response(value: dict[str, Any]) -> bool:
    if isinstance(value.get("role"), str) and "content" in value:
        return True
    inner = [value[key] for key in ("messages", "message", "choices", "generations") if key in value]
    while inner and isinstance(inner[0], list):
        inner = inner[0]
    return bool(inner) and isinstance(inner[0], dict) and bool(_MESSAGE_FIELDS & inner[0].keys())


def holds_answer(rows: Sequence[Row], name: str) -> bool:
    """Return whether `holds_one_text`, of a column that is not named as drafts or as the predictions of a model."""
    return name.lower() not in ("predictions", "drafts") and holds_one_text(rows, name)


def holds_one_text(rows: Sequence[Row], name: str) -> bool:
    """Return whether each value of a column of lists and objects has one certain text."""
    values = [row[name] for row in rows if name in row and not is_missing(row[name])]
    values = [value for value in values if not is_cancelled(value) and not _is_empty(value)]
    return bool(values) and all(find_text(value) for value in values)
