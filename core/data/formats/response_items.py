"""Items of OpenAI's Responses API: messages, reasoning, tool calls and results of tools, one after another in a list.

    [{"type": "reasoning", "summary": []}, {"type": "message", "role": "assistant", "content": [{…}]}]

They are read as turns: reasoning belongs to the answer after it, and calls that follow each other are one turn.
"""

from collections.abc import Iterator
from typing import Any

from core.data.formats.values import is_missing

_CALLS = ("function_call", "custom_tool_call", "mcp_call")
_RESULTS = ("function_call_output", "custom_tool_call_output")
# A tuple: the type of a foreign object may be a list, which no set can be asked for.
_TYPES = (
    "message", "reasoning", *_CALLS, *_RESULTS, "web_search_call", "file_search_call", "computer_call",
    "computer_call_output", "code_interpreter_call", "image_generation_call", "local_shell_call",
)  # fmt: skip
_CALL_FIELDS = ("name", "arguments", "input")


def are_items(value: Any) -> bool:
    """Return whether a value is a list of such items; some of them, but not all, may have a role and no type."""
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return False
    has_type = [isinstance(kind := item.get("type"), str) and kind in _TYPES for item in value]
    return any(has_type) and all(
        is_item or (item.get("type") is None and isinstance(item.get("role"), str))
        for is_item, item in zip(has_type, value, strict=True)
    )


def turns_of_items(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the turns that items stand for."""
    turns: list[dict[str, Any]] = []
    reasoning: list[str] = []
    for item in items:
        if item.get("type") == "reasoning":
            reasoning += _thoughts(item)
            continue
        turn = _turn(item)
        if turn.get("role") == "assistant" and reasoning:
            turn["reasoning_content"], reasoning = "\n\n".join(reasoning), []
        last = turns[-1] if turns else {}
        known, calls = last.get("tool_calls", []), turn.get("tool_calls")
        is_answer = last.get("role") == "assistant" and "reasoning_content" not in last
        if is_answer and isinstance(known, list) and isinstance(calls, list):
            last["tool_calls"] = [*known, *calls]
            last.update({key: value for key, value in turn.items() if key not in ("role", "content", "tool_calls")})
        else:
            turns.append(turn)
    if reasoning:
        # Reasoning without an answer is reported as a turn that cannot be read.
        turns.append({"role": "assistant", "reasoning_content": "\n\n".join(reasoning), "content": None})
    return turns


def _turn(item: dict[str, Any]) -> dict[str, Any]:
    kind = item.get("type", "message")
    if kind == "message":
        return {key: value for key, value in item.items() if key != "type"}
    if kind in _CALLS:
        call = {key: item[key] for key in _CALL_FIELDS if key in item}
        return {"role": "assistant", "content": "", "tool_calls": [call]}
    if kind in _RESULTS:
        return {"role": "tool", "content": item.get("output")}
    # A search or a picture is a part that no turn can hold.
    return {"role": "assistant", "content": [item]}


def _thoughts(item: dict[str, Any]) -> Iterator[str]:
    """Yield the texts of an item of reasoning: its content, or else its summary."""
    parts = item.get("content") or item.get("summary") or []
    for part in parts if isinstance(parts, list) else [parts]:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str) and not is_missing(text):
            yield text
