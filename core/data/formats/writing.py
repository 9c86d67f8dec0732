"""Conversion of conversations to the rows of the export formats.

Each row is parsed again as soon as it is written: it is exported only if parsing gives the same conversation. A
conversation that a format cannot represent is refused with the reason.
"""

from typing import Any, Literal, get_args

from core.data.formats.conversation import Message, UnusableRow, is_plain
from core.data.formats.reading import Reading
from core.data.formats.repeated_marks import find_end_mark

ExportFormat = Literal["llama2", "guanaco", "messages", "sharegpt", "alpaca", "prompt_completion", "text"]
EXPORT_FORMATS: tuple[str, ...] = get_args(ExportFormat)
EXPORT_LABELS: dict[str, str] = {
    "llama2": "Llama-2 text",
    "guanaco": "Guanaco text",
    "messages": "messages",
    "sharegpt": "ShareGPT",
    "alpaca": "Alpaca",
    "prompt_completion": "prompt and completion",
    "text": "plain text",
}


class UnwritableRow(ValueError):
    """A conversation that a format cannot represent; the message gives the reason."""


def to_guanaco(messages: list[Message]) -> str:
    """Return a conversation as text with '### Human:' and '### Assistant:' marks."""
    names = {"user": "Human", "assistant": "Assistant"}
    system = "".join(f"{m['content']}\n" for m in messages if m["role"] == "system")
    turns = (f"### {names[m['role']]}: {m['content']}" for m in messages if m["role"] != "system")
    return system + "".join(turns)


def to_llama2(messages: list[Message]) -> str:
    """Return a conversation in Meta's form: <s>[INST] user [/INST] answer </s>, the system prompt in the first turn."""
    system = "\n".join(m["content"] for m in messages if m["role"] == "system")
    prefix = f"<<SYS>>\n{system}\n<</SYS>>\n\n" if system else ""
    parts = []
    for message in messages:
        if message["role"] == "assistant":
            parts.append(f" {message['content']} </s>")
        elif message["role"] != "system":
            parts.append(f"<s>[INST] {prefix}{message['content']} [/INST]")
            prefix = ""
    return "".join(parts)


def _turns(messages: list[Message]) -> list[dict[str, Any]]:
    return [{"role": m["role"], "content": m["content"], **_weight(m)} for m in messages]


def _weight(message: Message) -> dict[str, int]:
    """Return the field that marks an answer without loss in OpenAI's fine-tuning files."""
    return {"weight": 0} if message.get("loss") is False else {}


def _sharegpt(messages: list[Message]) -> dict[str, Any]:
    names = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
    return {"conversations": [{"from": names[m["role"]], "value": m["content"], **_weight(m)} for m in messages]}


def _alpaca(messages: list[Message]) -> dict[str, Any]:
    system = [m["content"] for m in messages if m["role"] == "system"]
    turns = [m for m in messages if m["role"] != "system"]
    if not turns or len(turns) % 2 or any(m["role"] != ("user", "assistant")[i % 2] for i, m in enumerate(turns)):
        raise UnwritableRow("Alpaca holds pairs of a question and an answer only")
    pairs = [[a["content"], b["content"]] for a, b in zip(turns[::2], turns[1::2], strict=True)]
    instruction, output = pairs.pop()
    return {
        "instruction": instruction,
        "input": "",
        "output": output,
        "system": "\n".join(system),
        "history": pairs,
    }


def _prompt_completion(messages: list[Message], as_turns: bool) -> dict[str, Any]:
    if not as_turns and [m["role"] for m in messages] == ["user", "assistant"]:
        return {"prompt": messages[0]["content"], "completion": messages[1]["content"]}
    return {"prompt": _turns(messages[:-1]), "completion": _turns(messages[-1:])}


_MARKS = {
    "guanaco": ("### Human:", "### Assistant:"),
    "llama2": ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "</s>", "<s>"),
}


def to_row(messages: list[Message], form: ExportFormat, as_turns: bool = False) -> dict[str, Any]:
    """Return one exported row.

    Args:
        messages: The conversation.
        form: The format.
        as_turns: Write prompt and completion as lists of turns even if two texts would do.

    Raises:
        UnwritableRow: Parsing the row would not give the same conversation.
    """
    if is_plain(messages) != (form == "text"):
        raise UnwritableRow(
            f"plain text has no turns for {EXPORT_LABELS[form]}; write it as plain text"
            if is_plain(messages)
            else "a conversation is not plain text; choose a format with turns"
        )
    row = _write(messages, form, as_turns)
    try:
        parsed = Reading(format=form).parse(row)
    except UnusableRow:
        parsed = None
    if parsed != messages:
        raise UnwritableRow(_refusal(messages, form))
    return row


def _write(messages: list[Message], form: ExportFormat, as_turns: bool) -> dict[str, Any]:
    roles = {m["role"] for m in messages}
    if "tool" in roles and form not in ("messages", "sharegpt", "prompt_completion"):
        raise UnwritableRow(f"{EXPORT_LABELS[form]} has no tool turns")
    if any(m.get("loss") is False for m in messages) and form not in ("messages", "sharegpt"):
        raise UnwritableRow(f"{EXPORT_LABELS[form]} cannot mark an answer as excluded from the loss")
    match form:
        case "messages":
            return {"messages": _turns(messages)}
        case "sharegpt":
            return _sharegpt(messages)
        case "alpaca":
            return _alpaca(messages)
        case "prompt_completion":
            return _prompt_completion(messages, as_turns)
        case "text":
            return {"text": messages[0]["content"]}
        case "guanaco":
            return {"text": to_guanaco(messages)}
        case "llama2":
            return {"text": to_llama2(messages)}


def _refusal(messages: list[Message], form: ExportFormat) -> str:
    for mark in _MARKS.get(form, ()):
        if any(mark in m["content"] for m in messages):
            return f"a turn holds the mark {mark!r}, which {EXPORT_LABELS[form]} would read as a turn's end"
    marks = [find_end_mark(m["content"]) for m in messages if m["role"] == "assistant"]
    if mark := next(filter(None, marks), ""):
        return f"an answer ends with {mark!r}, which may be read as the mark of a template"
    if [m["role"] for m in messages].count("system") > 1 or "system" in [m["role"] for m in messages[1:]]:
        return f"{EXPORT_LABELS[form]} has one system turn, at the beginning"
    why = "spaces at their ends, or an empty turn"
    return f"a reader of {EXPORT_LABELS[form]} could not separate these turns again ({why})"
