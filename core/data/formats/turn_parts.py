"""Content of one turn: a text, or typed parts such as texts, tool calls, tool results and reasoning."""

import json
from typing import Any

from core.data.formats.conversation import Role, UnusableRow
from core.data.formats.reasoning_marks import add_reasoning
from core.data.formats.turn_spellings import is_marked_text, join_marked
from core.data.formats.values import Note, is_absent, is_missing, join_texts, nested, text_of


def note_unused(fields: dict[str, Any], used: set[str | None], where: str, note: Note) -> None:
    """Note each field of an object that holds a value and is not in `used`."""
    for key, value in fields.items():
        if key not in used and not is_missing(value):
            note(f"the field {str(key)!r} of {where} is not used")


_TEXT_KEYS = ("text", "value", "content")
_CALL_PARTS = ("tool_use", "function_call", "functionCall")
_RESULT_PARTS = ("tool_result", "functionResponse")
# Gemini's parts have no "type": the name of their only field is their kind.
_PART_KINDS = ("functionCall", "functionResponse")


class Parts:
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
            note_unused(part, {"type", key, flag}, "a part of a turn", self.note)
            text = "" if key is None else text_of(part[key], "a part of a turn", self.note)
            (self.reasoning if flag and part[flag] else self.texts).append(text)
            self.are_pieces = self.are_pieces or "type" not in part
        elif kind in ("thinking", "reasoning") and key:
            note_unused(part, {"type", key}, "a part of a turn", self.note)
            self.reasoning.append(text_of(part[key], "a part of a turn", self.note))
        elif kind in _CALL_PARTS:
            self.add_call({k: v for k, v in part.items() if k != "type"})
        elif kind in _RESULT_PARTS and key:
            note_unused(part, {"type", key}, "a part of a turn", self.note)
            # The result of a tool may consist of typed parts again.
            inner = Parts(self.note)
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
        """Return the texts of the turn as one."""
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
