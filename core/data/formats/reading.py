"""How the rows of a data set are read as conversations: eight formats, and what the user may say about each."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from core.data.formats.conversation import Message, Role, UnusableRow

FormatName = Literal["messages", "sharegpt", "alpaca", "prompt_completion", "guanaco", "llama2", "label", "text"]
Row = dict[str, Any]


class Reading(BaseModel):
    """How rows are read. Empty fields mean: as the format has it."""

    model_config = ConfigDict(extra="forbid")

    format: FormatName = Field(title="Read as", description="What the rows are: found by looking at the first of them.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        title="Columns",
        description="Which column holds what the format calls so, where it has another name: prompt = question.",
    )
    prompt: str = Field(
        "{text}\n\nWhat is the {label}?",
        title="Prompt for a label",
        description="What is asked about a text with a label: {text} is the text, {label} the label column's name. "
        "The answer is the label.",
    )
    labels: dict[str, str] = Field(
        default_factory=dict, title="Label names", description="What a label is called in the answer: 1 = positive."
    )
    placeholders: dict[str, str] = Field(
        default_factory=dict,
        title="Placeholders",
        description="What is put in the place of {{name}} and the like: name = Ada.",
    )

    @field_validator("prompt")
    @classmethod
    def _holds_the_text(cls, value: str) -> str:
        if "{text}" not in value:
            raise ValueError("expected {text} somewhere in it, where the text goes")
        return value

    @field_validator("columns", "labels", "placeholders", mode="before")
    @classmethod
    def _from_lines(cls, value: Any) -> Any:
        """A form gives lines of `name = value`."""
        if not isinstance(value, str):
            return value
        pairs = [line.partition("=") for line in value.splitlines() if line.strip()]
        if bad := [name for name, sign, _ in pairs if not sign or not name.strip()]:
            raise ValueError(f"expected lines such as name = value, not {bad[0].strip()!r}")
        return {name.strip(): text.strip() for name, _, text in pairs}

    def parse(self, row: Row) -> list[Message]:
        """The conversation of a row. Raises UnusableRow when it is none."""
        messages = by_name(self.format).parse(row, self)
        if not self.placeholders:
            return messages
        return [{**m, "content": self._filled(m["content"])} for m in messages]

    def _filled(self, text: str) -> str:
        return PLACEHOLDER.sub(lambda found: self.placeholders.get(found[1], found[0]), text)

    def cell(self, row: Row, slot: str) -> Any:
        """What `row` has for `slot`: the column the user named, else the first of the usual names; None if neither."""
        if column := self.columns.get(slot):
            return row.get(column)
        return next((row[name] for name in by_name(self.format).slots[slot] if name in row), None)


PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")

_ROLES: dict[str, Role] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant", "chatgpt": "assistant",
    "function_call": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool",
}  # fmt: skip


def _text(value: Any, field: str) -> str:
    if value is None:
        raise UnusableRow(f"{field} is empty")
    if not isinstance(value, str):
        raise UnusableRow(f"{field} is not text")
    return value


def _turn(role: Any, content: Any, calls: Any) -> Message:
    known = _ROLES.get(str(role).lower())
    if known is None:
        raise UnusableRow(f"unknown role {str(role)[:40]!r}")
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text") or "") for part in content)
    if calls:  # the call is what the model answers
        content = (content or "") + json.dumps(calls, ensure_ascii=False)
    return {"role": known, "content": _text(content, f"the {known} turn")}


def _turns(value: Any, role_key: str = "role", content_key: str = "content") -> list[Message]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, (list, tuple)):
        raise UnusableRow("the conversation is not a list of turns")
    if not all(isinstance(turn, dict) for turn in value):
        raise UnusableRow("a turn is not an object with a role and a content")
    return [_turn(turn.get(role_key), turn.get(content_key), turn.get("tool_calls")) for turn in value]


def _with_system(row: Row, reading: Reading, messages: list[Message]) -> list[Message]:
    """The system prompt and the tools of columns of their own become the system turn."""
    system, tools = reading.cell(row, "system"), reading.cell(row, "tools")
    said = [system] if isinstance(system, str) and system.strip() else []
    if tools and tools != "[]":
        words = tools if isinstance(tools, str) else json.dumps(tools, ensure_ascii=False)
        said.append(f"You may call these tools:\n{words}")
    if said and messages and messages[0]["role"] == "system":
        said.insert(0, messages[0]["content"])
        messages = messages[1:]
    return [{"role": "system", "content": "\n\n".join(said)}, *messages] if said else messages


def _messages(row: Row, reading: Reading) -> list[Message]:
    return _with_system(row, reading, _turns(reading.cell(row, "messages")))


def _sharegpt(row: Row, reading: Reading) -> list[Message]:
    return _with_system(row, reading, _turns(reading.cell(row, "conversations"), "from", "value"))


def _alpaca(row: Row, reading: Reading) -> list[Message]:
    instruction = _text(reading.cell(row, "instruction"), "instruction")
    context, history = reading.cell(row, "input"), reading.cell(row, "history") or []
    if isinstance(history, str):
        try:
            history = json.loads(history)
        except (ValueError, RecursionError) as error:
            raise UnusableRow("history is not a list of pairs") from error
    if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in history):
        raise UnusableRow("history is not a list of pairs")
    messages: list[Message] = []
    for asked, answered in [*history, (instruction, reading.cell(row, "output"))]:
        messages.append({"role": "user", "content": _text(asked, "instruction")})
        messages.append({"role": "assistant", "content": _text(answered, "output")})
    if isinstance(context, str) and context.strip():
        messages[-2]["content"] = f"{instruction}\n\n{context}"
    return _with_system(row, reading, messages)


def _prompt_completion(row: Row, reading: Reading) -> list[Message]:
    prompt, completion = reading.cell(row, "prompt"), reading.cell(row, "completion")
    if _listed(prompt) and _listed(completion):
        return [*_turns(prompt), *_turns(completion)]
    return [
        {"role": "user", "content": _text(prompt, "prompt")},
        {"role": "assistant", "content": _text(completion, "completion")},
    ]


def _listed(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, str) and value.startswith('[{"role"'))


_GUANACO_MARK = re.compile(r"### (Human|Assistant): ?")


def _guanaco(row: Row, reading: Reading) -> list[Message]:
    before, *parts = _GUANACO_MARK.split(_text(reading.cell(row, "text"), "text"))
    if not parts:
        raise UnusableRow("no '### Human:' mark")
    pairs = zip(parts[::2], parts[1::2], strict=True)
    messages = [_turn(role, content, None) for role, content in pairs]
    return [{"role": "system", "content": before.strip()}, *messages] if before.strip() else messages


_LLAMA2_TURN = re.compile(r"(?:<s>)?\[INST\](.*?)\[/INST\](.*?)(?=(?:<s>)?\[INST\]|\Z)", re.DOTALL)
_LLAMA2_SYSTEM = re.compile(r"\A <<SYS>>\n(.*?)\n<</SYS>>\n\n|\A\s*<<SYS>>\n?(.*?)\n?<</SYS>>\s*", re.DOTALL)


def _llama2(row: Row, reading: Reading) -> list[Message]:
    messages: list[Message] = []
    for prompt, answer in _LLAMA2_TURN.findall(_text(reading.cell(row, "text"), "text")):
        if not messages and (system := _LLAMA2_SYSTEM.match(prompt)):
            messages.append({"role": "system", "content": system[1] if system[1] is not None else system[2]})
            prompt = " " + prompt[system.end() :]
        messages.append({"role": "user", "content": prompt.removeprefix(" ").removesuffix(" ")})
        answer, ended = answer.rstrip().removesuffix("</s>"), answer.rstrip().endswith("</s>")
        if answer.strip() or ended:
            messages.append({"role": "assistant", "content": answer.removeprefix(" ").removesuffix(" ")})
    if not messages:
        raise UnusableRow("no '[INST]' mark")
    return messages


def _label(row: Row, reading: Reading) -> list[Message]:
    text, label = _text(reading.cell(row, "text"), "the text"), reading.cell(row, "label")
    if label is None or not str(label).strip():
        raise UnusableRow("the label is empty")
    asked = reading.prompt.replace("{label}", reading.columns.get("label") or "label").replace("{text}", text.strip())
    answer = reading.labels.get(str(label), str(label))
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def _plain(row: Row, reading: Reading) -> list[Message]:
    return [{"role": "text", "content": _text(reading.cell(row, "text"), "text")}]


@dataclass(frozen=True)
class Format:
    """One way to write a conversation into columns.

    Attributes:
        sign: what gives it away, told to the user.
        slots: what it looks for in a row, with the names that such columns usually have.
        needed: the slots without which there is no row.
    """

    name: FormatName
    label: str
    sign: str
    slots: dict[str, tuple[str, ...]]
    needed: tuple[str, ...]
    parse: Callable[[Row, Reading], list[Message]]


_TEXT = ("text", "content", "document")
_MORE = {"system": ("system",), "tools": ("tools",)}

FORMATS: tuple[Format, ...] = (
    Format("messages", "messages", "a list of turns with role and content",
           {"messages": ("messages", "conversation", "conversations"), **_MORE}, ("messages",), _messages),
    Format("sharegpt", "ShareGPT", "a list of turns with from and value",
           {"conversations": ("conversations", "conversation"), **_MORE}, ("conversations",), _sharegpt),
    Format("alpaca", "Alpaca", "columns for an instruction and an output",
           {"instruction": ("instruction",), "input": ("input",), "output": ("output",), "history": ("history",),
            **_MORE}, ("instruction", "output"), _alpaca),
    Format("prompt_completion", "prompt and completion", "a prompt column and a completion column",
           {"prompt": ("prompt", "question", "query"), "completion": ("completion", "response", "answer")},
           ("prompt", "completion"), _prompt_completion),
    Format("guanaco", "Guanaco text", "'### Human:' marks in a text", {"text": _TEXT}, ("text",), _guanaco),
    Format("llama2", "Llama-2 text", "'[INST]' marks in a text", {"text": _TEXT}, ("text",), _llama2),
    Format("label", "text with a label", "a text and a column of few, short, repeated values",
           {"text": _TEXT, "label": ("label",)}, ("text", "label"), _label),
    Format("text", "plain text", "text without marks of turns: for continued pre-training",
           {"text": _TEXT}, ("text",), _plain),
)  # fmt: skip

FORMAT_NAMES: tuple[str, ...] = get_args(FormatName)
_BY_NAME = {form.name: form for form in FORMATS}


def by_name(name: FormatName) -> Format:
    return _BY_NAME[name]
