"""Parsing of lists of turns in every spelling of role and content that public datasets use.

Three kinds of fields of a turn change the message: the role and the content; flags such as `weight: 0`, which exclude
an answer from the loss; and reasoning, which is written before the answer in <think> tags or left out, by the reading
options. All other fields are reported in the notes of the row.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from core.data.formats.channels import join_channels
from core.data.formats.conversation import Message, Role, UnusableRow, usual_role
from core.data.formats.loss_flags import LOSS_KEYS, SKIP_KEYS, UNCLEAR_KEYS, loss_flag
from core.data.formats.reasoning_marks import add_reasoning
from core.data.formats.turn_spellings import is_marked_text, join_marked, with_role
from core.data.formats.values import Note, is_absent, is_missing, join_texts, nested, optional_text, text_of

ROLE_KEYS = ("role", "from", "sender", "speaker", "author")
CONTENT_KEYS = ("content", "value", "text", "message", "parts", "utterance")
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking", "thought")
CALL_KEYS = ("tool_calls", "function_call", "tool_call")
RoleOf = Callable[[str], Role | None]
# Names of the two fields of a question and its answer (Capybara and others).
PAIR_KEYS = (
    ("input", "output"), ("user", "assistant"), ("human", "assistant"), ("question", "answer"), ("prompt", "response"),
    ("prompt", "completion"), ("instruction", "output"), ("instruction", "response"), ("query", "response"),
)  # fmt: skip


def is_turn(value: Any) -> bool:
    """Return whether an object has a role and a content."""
    if not isinstance(value, dict):
        return False
    value = _usual_keys(value)
    return any(isinstance(value.get(key), str) for key in ROLE_KEYS) and any(
        key in value for key in (*CONTENT_KEYS, *CALL_KEYS)
    )


def _usual_keys(turn: dict[str, Any]) -> dict[str, Any]:
    """Return a turn with lower-case field names, or with the role found otherwise, if it has no role field."""
    return turn if any(key in turn for key in ROLE_KEYS) else with_role(turn, ROLE_KEYS)


def pair_keys(value: Any) -> tuple[str, str] | None:
    """Return the names of the fields that hold a question and its answer, or None."""
    if not isinstance(value, dict):
        return None
    return next((pair for pair in PAIR_KEYS if pair[0] in value and pair[1] in value), None)


def is_conversation(value: Any) -> bool:
    """Return whether a value is a list of turns or of question and answer pairs, also one written as text."""
    value = nested(value)
    return isinstance(value, list) and bool(value) and (is_turn(value[0]) or pair_keys(value[0]) is not None)


def speakers_of(turn: Any) -> list[str]:
    """Return the names in the fields of a turn that may hold its role."""
    usual = _usual_keys(turn) if isinstance(turn, dict) else {}
    return [usual[key] for key in ROLE_KEYS if isinstance(usual.get(key), str)]


def has_usual_speaker(rows: Iterable[Mapping[str, Any]], name: str) -> bool:
    """Return whether a turn in a column has a speaker of a usual role, or is a question with its answer."""
    turns = (turn for row in rows if is_conversation(row.get(name)) for turn in nested(row[name]))
    for turn in turns:
        if pair_keys(turn):
            return True
        if any(map(usual_role, speakers_of(turn))):
            return True
    return False


def read_turns(value: Any, note: Note, think: bool = True, role_of: RoleOf = usual_role) -> list[Message]:
    """Return the messages of a list of turns, of pairs, or of texts that alternate between user and assistant.

    Args:
        value: The list, or a text cell that spells it as JSON or as a Python literal.
        note: Callback for one sentence about each field that is not used.
        think: Whether to write reasoning into the answer; otherwise it is left out with a note.
        role_of: Returns the role of a speaker, or None for an unknown one.

    Raises:
        UnusableRow: The value is not such a list, or a turn cannot be parsed.
    """
    value = nested(value)
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        _note_unused(value, {"messages"}, "the conversation", note)
        value = value["messages"]
    if not isinstance(value, (list, tuple)):
        raise UnusableRow("the conversation is not a list of turns")
    if value and isinstance(value[0], str) and all(isinstance(turn, str) for turn in value):
        note("the texts of a list are read as turns by their position: user, assistant, user and so on")
        return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(value)]
    messages: list[Message] = []
    for turn in join_channels(list(value)):
        # Nearly all turns of public datasets take this path, so it comes first.
        if isinstance(turn, dict) and (plain := _plain_turn(turn, role_of)) is not None:
            messages.append(plain)
        elif pair := pair_keys(turn):
            messages += _read_pair(turn, pair, messages, note)
        elif isinstance(turn, dict):
            messages.append(read_turn(turn, note, think, role_of))
        else:
            raise UnusableRow("a turn is not an object with a role and a content")
    return messages


def _read_pair(turn: dict[str, Any], pair: tuple[str, str], before: list[Message], note: Note) -> list[Message]:
    """Return a question and its answer, with the system prompt in front of them and the flags of an answer's loss.

    XTuner's pairs have all of these. A system prompt that repeats the last one before changes nothing.
    """
    system = optional_text(turn["system"], "the system prompt of a turn", note) if "system" in turn else ""
    flags = {key: turn[key] for key in (*LOSS_KEYS, *SKIP_KEYS, *UNCLEAR_KEYS) if key in turn and key not in pair}
    _note_unused(turn, {*pair, *flags, "system"}, "a turn", note)
    question, answer = (text_of(turn[key], key, note) for key in pair)
    messages: list[Message] = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    if flags and loss_flag(flags, "assistant", note) is False:
        messages[1]["loss"] = False
    last = next((message["content"] for message in reversed(before) if message["role"] == "system"), "")
    return [{"role": "system", "content": system}, *messages] if system.strip() and system != last else messages


def read_turn(turn: dict[str, Any], note: Note, think: bool = True, role_of: RoleOf = usual_role) -> Message:
    """Return one turn as a message.

    Args:
        turn: The object with role, content and further fields.
        note: Callback for one sentence about each field that is not used.
        think: Whether to write reasoning into the answer; otherwise it is left out with a note.
        role_of: Returns the role of a speaker, or None for an unknown one.

    Raises:
        UnusableRow: The role is unknown, or the content is missing or not text.
    """
    turn = _usual_keys(turn)
    role_key = next((key for key in ROLE_KEYS if key in turn), "role")
    role = role_of(str(turn.get(role_key)))
    if role is None:
        raise UnusableRow(f"unknown role {str(turn.get(role_key))[:40]!r}; name it under Roles")
    content_key = next((key for key in CONTENT_KEYS if not is_missing(turn.get(key))), None)
    used = {role_key, content_key, *CALL_KEYS, *REASONING_KEYS, *LOSS_KEYS, *SKIP_KEYS, *UNCLEAR_KEYS}
    _note_unused(turn, used, "a turn", note)
    parts = _Parts(note)
    parts.add(turn.get(content_key) if content_key else _empty_content(turn))
    for key in CALL_KEYS:
        if not _is_no_call(turn.get(key)):
            parts.add_call(turn[key])
    for key in REASONING_KEYS:
        if not is_missing(turn.get(key)):
            parts.reasoning.append(text_of(turn[key], f"the field {key!r} of a turn", note))
    # Anthropic sends the results of tools in a user turn; a user turn of nothing else is a tool turn.
    if parts.results and role == "user" and not parts.texts:
        role = "tool"
    message: Message = {"role": role, "content": parts.content(f"the {role} turn", role, think)}
    if loss_flag(turn, role, note) is False:
        message["loss"] = False
    return message


def _plain_turn(turn: dict[str, Any], role_of: RoleOf) -> Message | None:
    """Return the message of a turn that has a role, a text and nothing else; None for any other turn."""
    if len(turn) != 2:
        return None
    role, content = (turn["role"], turn.get("content")) if "role" in turn else (turn.get("from"), turn.get("value"))
    known = role_of(role) if isinstance(role, str) and isinstance(content, str) else None
    return None if known is None else {"role": known, "content": content}


def _is_no_call(value: Any) -> bool:
    """Return whether a field holds no tool call; a call whose arguments are all null is a call."""
    return is_absent(value) or (not value if isinstance(value, (list, dict)) else is_missing(value))


def _empty_content(turn: dict[str, Any]) -> Any:
    """Return the content of a turn whose content is an empty text; None if the turn has no content field."""
    return next((turn[key] for key in CONTENT_KEYS if isinstance(turn.get(key), str)), None)


def _note_unused(fields: dict[str, Any], used: set[str | None], where: str, note: Note) -> None:
    for key, value in fields.items():
        if key not in used and not is_missing(value):
            note(f"the field {str(key)!r} of {where} is not used")


_TEXT_KEYS = ("text", "value", "content")
_CALL_PARTS = ("tool_use", "function_call", "functionCall")
_RESULT_PARTS = ("tool_result", "functionResponse")
# Gemini's parts have no "type": the name of their only field is their kind.
_PART_KINDS = ("functionCall", "functionResponse")


class _Parts:
    """Texts, tool calls, tool results and reasoning of one turn, collected from a text or from typed parts."""

    def __init__(self, note: Note):
        self.note = note
        self.texts: list[str] = []
        self.calls: list[Any] = []
        self.results: list[str] = []
        self.reasoning: list[str] = []
        # Whether the texts are pieces of one text, as Gemini's parts without a type, which are streamed.
        self.are_pieces = False

    def add(self, content: Any) -> None:
        """Add a content.

        Raises:
            UnusableRow: A part is not text, for example an image.
        """
        if is_marked_text(content):
            self.texts.append(join_marked(content, self.note))
        elif isinstance(content, (list, tuple)):
            for part in content:
                self._add_part(part)
        elif isinstance(content, dict) and content.keys() & {"type", "text", "value", "content"}:
            self._add_part(content)
        elif content is not None:
            self.texts.append(text_of(content, "a turn", self.note))

    def _add_part(self, part: Any) -> None:
        if not isinstance(part, dict):
            self.texts.append(text_of(part, "a part of a turn", self.note))
            return
        kind = str(part.get("type") or next((kind for kind in _PART_KINDS if kind in part), "text"))
        key = next((key for key in (kind, *_TEXT_KEYS) if not is_absent(part.get(key))), None)
        if kind in ("text", "input_text", "output_text") and (key or part.keys() <= {"type", *_TEXT_KEYS}):
            # Gemini marks the parts that are reasoning.
            flag = "thought" if isinstance(part.get("thought"), bool) else None
            _note_unused(part, {"type", key, flag}, "a part of a turn", self.note)
            text = "" if key is None else text_of(part[key], "a part of a turn", self.note)
            (self.reasoning if flag and part[flag] else self.texts).append(text)
            self.are_pieces = self.are_pieces or "type" not in part
        elif kind in ("thinking", "reasoning") and key:
            _note_unused(part, {"type", key}, "a part of a turn", self.note)
            self.reasoning.append(text_of(part[key], "a part of a turn", self.note))
        elif kind in _CALL_PARTS:
            self.add_call({k: v for k, v in part.items() if k != "type"})
        elif kind in _RESULT_PARTS and key:
            _note_unused(part, {"type", key}, "a part of a turn", self.note)
            # The result of a tool may consist of typed parts again.
            inner = _Parts(self.note)
            inner.add(part[key])
            self.results.append(inner.joined("a tool result"))
        else:
            raise UnusableRow(f"a turn holds a part of the type {kind[:40]!r}; only text can be trained")

    def add_call(self, call: Any) -> None:
        """Add a tool call: an object, or a text that spells one."""
        call = nested(call)
        if _contains_null(call):
            self.note("a tool call has null arguments; they are trained on unchanged")
        self.calls.append(call)

    def joined(self, name: str) -> str:
        return "".join(self.texts) if self.are_pieces else join_texts(self.texts, name, self.note)

    def content(self, name: str, role: Role, think: bool) -> str:
        """Return the whole turn as text.

        Raises:
            UnusableRow: The turn has no content.
        """
        if not (self.texts or self.calls or self.results):
            raise UnusableRow(f"{name} is empty")
        calls = [call if isinstance(call, str) else json.dumps(call, ensure_ascii=False) for call in self.calls]
        blocks = (self.joined(name), "\n".join(self.results), "\n".join(calls))
        text = join_texts(blocks, name, lambda sentence: None)
        reasoning = "\n\n".join(self.reasoning)
        if not reasoning:
            return text
        if role != "assistant":
            self.note(f"the reasoning of a {role} turn is not used")
            return add_reasoning(text, reasoning, think=False, note=lambda sentence: None)
        return add_reasoning(text, reasoning, think, self.note)


def _contains_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(item is None or _contains_null(item) for item in value.values())
    return isinstance(value, list) and any(map(_contains_null, value))
