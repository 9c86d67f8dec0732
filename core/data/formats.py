"""What a row of instruction data means: six formats read into one conversation, three written out again.

A conversation is a list of messages, each with a role ("system", "user", "assistant", "tool") and a content.
Nothing here knows files or tokens.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

Role = Literal["system", "user", "assistant", "tool"]
ExportFormat = Literal["llama2", "guanaco", "messages"]


class Message(TypedDict):
    role: Role
    content: str


class UnusableRow(ValueError):
    """Why a row cannot become a conversation with at least one answer."""


_ROLES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}


def _text(value: Any, field: str) -> str:
    if value is None:
        raise UnusableRow(f"{field} is empty")
    if not isinstance(value, str):
        raise UnusableRow(f"{field} is not text")
    return value


def _message(role: Any, content: Any) -> Message:
    known = _ROLES.get(str(role).lower())
    if known is None:
        raise UnusableRow(f"unknown role {str(role)[:40]!r}")
    return {"role": known, "content": _text(content, f"the {known} turn")}


def _turns(value: Any, role_key: str, content_key: str) -> list[Message]:
    if not isinstance(value, (list, tuple)):
        raise UnusableRow("the conversation is not a list of turns")
    if not all(isinstance(turn, dict) for turn in value):
        raise UnusableRow("a turn is not an object with a role and a content")
    return [_message(turn.get(role_key), turn.get(content_key)) for turn in value]


def parse_messages(row: dict[str, Any]) -> list[Message]:
    return _turns(row.get("messages", row.get("conversation")), "role", "content")


def parse_sharegpt(row: dict[str, Any]) -> list[Message]:
    messages = _turns(row.get("conversations"), "from", "value")
    system = row.get("system")
    return (
        [{"role": "system", "content": system}, *messages] if isinstance(system, str) and system.strip() else messages
    )


def parse_alpaca(row: dict[str, Any]) -> list[Message]:
    instruction = _text(row.get("instruction"), "instruction")
    context = row.get("input")
    prompt = f"{instruction}\n\n{context}" if isinstance(context, str) and context.strip() else instruction
    return [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": _text(row.get("output"), "output")},
    ]


_PROMPT_KEYS = ("prompt", "question", "query")
_COMPLETION_KEYS = ("completion", "response", "answer")


def parse_prompt_completion(row: dict[str, Any]) -> list[Message]:
    prompt = next((row[key] for key in _PROMPT_KEYS if key in row), None)
    completion = next((row[key] for key in _COMPLETION_KEYS if key in row), None)
    if isinstance(prompt, (list, tuple)) and isinstance(completion, (list, tuple)):
        return _turns([*prompt, *completion], "role", "content")
    return [
        {"role": "user", "content": _text(prompt, "prompt")},
        {"role": "assistant", "content": _text(completion, "completion")},
    ]


_GUANACO_MARK = re.compile(r"### (Human|Assistant): ?")


def parse_guanaco(row: dict[str, Any]) -> list[Message]:
    before, *parts = _GUANACO_MARK.split(_text(row.get("text"), "text"))
    if not parts:
        raise UnusableRow("no '### Human:' mark")
    pairs = zip(parts[::2], parts[1::2], strict=True)
    messages = [_message(role, content) for role, content in pairs]
    return [{"role": "system", "content": before.strip()}, *messages] if before.strip() else messages


_LLAMA2_TURN = re.compile(r"(?:<s>)?\[INST\](.*?)\[/INST\](.*?)(?=(?:<s>)?\[INST\]|\Z)", re.DOTALL)
_LLAMA2_SYSTEM = re.compile(r"\A\s*<<SYS>>\n?(.*?)\n?<</SYS>>\s*", re.DOTALL)


def parse_llama2(row: dict[str, Any]) -> list[Message]:
    messages: list[Message] = []
    for prompt, answer in _LLAMA2_TURN.findall(_text(row.get("text"), "text")):
        if not messages and (system := _LLAMA2_SYSTEM.match(prompt)):
            messages.append({"role": "system", "content": system.group(1)})
            prompt = prompt[system.end() :]
        messages.append({"role": "user", "content": prompt.removeprefix(" ").removesuffix(" ")})
        answer, ended = answer.rstrip().removesuffix("</s>"), answer.rstrip().endswith("</s>")
        if answer.strip() or ended:
            messages.append({"role": "assistant", "content": answer.removeprefix(" ").removesuffix(" ")})
    if not messages:
        raise UnusableRow("no '[INST]' mark")
    return messages


@dataclass(frozen=True)
class Format:
    """One way to write a conversation: its name, how it is recognised, how a row of it is read."""

    name: str
    label: str
    sign: str  # what gives it away, told to the user
    recognises: Callable[[dict[str, Any]], bool]
    parse: Callable[[dict[str, Any]], list[Message]]


def _marked(mark: str) -> Callable[[dict[str, Any]], bool]:
    return lambda row: isinstance(row.get("text"), str) and mark in row["text"]


FORMATS: tuple[Format, ...] = (
    Format("messages", "messages", "a list of turns with role and content",
           lambda r: isinstance(r.get("messages", r.get("conversation")), (list, tuple)), parse_messages),
    Format("sharegpt", "ShareGPT", "a column 'conversations' with from and value",
           lambda r: isinstance(r.get("conversations"), (list, tuple)), parse_sharegpt),
    Format("alpaca", "Alpaca", "columns 'instruction' and 'output'",
           lambda r: "instruction" in r and "output" in r, parse_alpaca),
    Format("prompt_completion", "prompt and completion", "a prompt column and a completion column",
           lambda r: any(k in r for k in _PROMPT_KEYS) and any(k in r for k in _COMPLETION_KEYS),
           parse_prompt_completion),
    Format("guanaco", "Guanaco text", "'### Human:' marks in the column 'text'", _marked("### Human:"), parse_guanaco),
    Format("llama2", "Llama-2 text", "'[INST]' marks in the column 'text'", _marked("[INST]"), parse_llama2),
)  # fmt: skip


def detect(rows: Iterable[dict[str, Any]]) -> Format | None:
    """The format that most of `rows` show, or None when no row shows any."""
    votes = dict.fromkeys(range(len(FORMATS)), 0)
    for row in rows:
        for index, form in enumerate(FORMATS):
            if form.recognises(row):
                votes[index] += 1
                break
    best = max(votes, key=lambda index: votes[index])
    return FORMATS[best] if votes[best] else None


def problem(messages: list[Message]) -> str | None:
    """Why `messages` hold nothing to learn, or None when they do."""
    turns = [message for message in messages if message["role"] != "system"]
    if not any(turn["content"].strip() for turn in turns):
        return "no text"
    if turns[0]["role"] == "assistant":
        return "starts with an answer"
    if not any(turn["role"] == "assistant" and turn["content"].strip() for turn in turns):
        return "no answer"
    return None


def ends_on_user(messages: list[Message]) -> bool:
    return bool(messages) and messages[-1]["role"] != "assistant"


def until_last_answer(messages: list[Message]) -> list[Message]:
    """`messages` without the turns after the last answer: there is nothing to learn from them."""
    last = max((i for i, message in enumerate(messages) if message["role"] == "assistant"), default=-1)
    return messages[: last + 1]


def to_guanaco(messages: list[Message]) -> str:
    names = {"user": "Human", "assistant": "Assistant", "tool": "Human"}
    system = "".join(f"{m['content']}\n" for m in messages if m["role"] == "system")
    turns = (f"### {names[m['role']]}: {m['content']}" for m in messages if m["role"] != "system")
    return system + "".join(turns)


def to_llama2(messages: list[Message]) -> str:
    """Meta's documented form: <s>[INST] user [/INST] answer </s>, the system prompt inside the first user turn."""
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


def to_row(messages: list[Message], form: ExportFormat) -> dict[str, Any]:
    """One exported row: {"messages": [...]} or {"text": "..."}."""
    if form == "messages":
        return {"messages": [{"role": m["role"], "content": m["content"]} for m in messages]}
    return {"text": to_llama2(messages) if form == "llama2" else to_guanaco(messages)}


EXPORT_FORMATS: tuple[str, ...] = get_args(ExportFormat)
EXPORT_LABELS: dict[str, str] = {"llama2": "Llama-2 text", "guanaco": "Guanaco text", "messages": "messages"}
