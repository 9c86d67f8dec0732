"""Turns that hold a rendered conversation: the marks of a template inside a column or a turn.

Some datasets store the text that was sent to a model: a prompt column of "<s>[INST] question [/INST]", an answer that
ends with "</s>", a first turn with the system prompt in <<SYS>>. As it is, the marks would be trained on as words
and the template would add its own around them. `unwrap` gives the turns that were meant.
"""

import re
from collections.abc import Sequence

from core.data.formats.conversation import Message, Role, UnusableRow
from core.data.formats.marks import (
    GUANACO,
    MARK_STYLES,
    TOOL_WORDS,
    MarkStyle,
    parse_guanaco,
    parse_llama2,
    parse_style,
    speaker_role,
    split_llama2_system,
    split_turns,
    without_system_label,
)
from core.data.formats.repeated_marks import cut_end_marks
from core.data.formats.turns import RoleOf
from core.data.formats.values import Note

_LLAMA2 = MarkStyle("Llama 2", re.compile(r"\[INST\]"), re.compile(r"\[(/?INST)\]"), ("</s>",))
# Speakers at the start of a line. Certain only in a prompt that stops where the assistant is to speak (BELLE).
_LINES = MarkStyle("Human and Assistant on lines", re.compile(r"(?:\A\s*|\n[ \t]*)(?:Human|User): ?"),
                   re.compile(rf"(?:\A\s*|\n[ \t]*)(Human|User|Assistant|AI|{TOOL_WORDS}): ?"), ("</s>",))  # fmt: skip
_STYLES = (_LLAMA2, GUANACO, *MARK_STYLES, _LINES)
# Special tokens of chat templates that begin or end a turn, wherever they are in a text.
_TURN_MARK = re.compile(
    r"<extra_id_[0-9]>|</?(?:start|end)_of_turn>|\[/?INST\]|</?<SYS>>|\[/?SYSTEM_PROMPT\]|"
    r"<(?:\||｜)(?:im_start|im_end|im_sep|start_header_id|end_header_id|eot_id|system|user|assistant|User|Assistant|"
    r"prompter|human|bot|end|endofturn|end_of_turn|eot|START_OF_TURN_TOKEN|END_OF_TURN_TOKEN|USER_TOKEN|CHATBOT_TOKEN)"
    r"(?:\||｜)>"
)
_TURN_NAMES = {"system": "the system prompt", "user": "a question", "assistant": "an answer", "tool": "a tool turn"}
_START = re.compile(r"\A\s*(?:<s>|<bos>|<\|begin_of_text\|>)?\s*")


def unwrap(messages: list[Message], note: Note, role_of: RoleOf) -> list[Message]:
    """Return a conversation with the turns that its questions hold.

    Args:
        messages: The conversation as its columns spell it.
        note: Callback for one sentence about everything that is read differently.
        role_of: Returns the role of a speaker, or None for an unknown one.

    Raises:
        UnusableRow: A question holds a whole conversation with its answer.
    """
    found: list[Message] = []
    for message in messages:
        waiting = found[-1] if found and found[-1]["role"] == "user" else None
        if message["role"] == "assistant" and waiting:
            turns = _rendered(waiting["content"], message, note, role_of)
            found = [*found, message] if turns is None else _join(found[:-1], turns)
        elif message["role"] == "user" and not any(m["role"] == "user" for m in found):
            found = _join(found, _split_system(message, note))
        else:
            found.append(message)
    return found


def _join(before: list[Message], turns: list[Message]) -> list[Message]:
    """Return both lists as one, with one system turn where both have one."""
    if turns and turns[0]["role"] == "system" and before and before[-1]["role"] == "system":
        content = f"{before[-1]['content']}\n\n{turns[0]['content']}"
        return [*before[:-1], {"role": "system", "content": content}, *turns[1:]]
    return [*before, *turns]


def _split_system(message: Message, note: Note) -> list[Message]:
    """Return a first question as the system turn in its <<SYS>> marks and the question after them."""
    system, question = split_llama2_system(message["content"])
    if system is None:
        return [message]
    note("the text in <<SYS>> marks of the first question is read as the system prompt")
    return [{"role": "system", "content": system}, {"role": "user", "content": question}]


def _rendered(prompt: str, answer: Message, note: Note, role_of: RoleOf) -> list[Message] | None:
    """Return the turns of a rendered prompt and its answer; None for an ordinary question."""
    mentioned = ""
    for style in _STYLES:
        if not style.sign.search(prompt):
            continue
        text = answer["content"].strip()
        mark = style.mark.match(text)
        if mark and _role(mark[1], role_of) == "assistant":
            text = text[mark.end() :]
        elif not _waits(style, prompt, role_of):
            mentioned = mentioned or (style.name if style is not _LINES else "")
            continue
        note(f"the marks of the style {style.name} in a question are read as turns")
        return _parse(style, prompt, {**answer, "content": text}, note, role_of)
    # Only now it is certain that the marks of no style are read as turns.
    if mentioned:
        note(f"a question holds marks of the style {mentioned}; they are trained as its text")
    return None


def _role(name: str, role_of: RoleOf) -> Role | None:
    return "assistant" if name.lower() == "/inst" else speaker_role(name.lower(), role_of)


def _waits(style: MarkStyle, prompt: str, role_of: RoleOf) -> bool:
    """Return whether a prompt stops after the mark of an answer, or is certainly rendered by its first mark."""
    # Llama 3's mark ends with two line breaks, which a stripped prompt has lost.
    turns = split_turns(style, prompt.rstrip() + "\n\n")
    roles = [_role(name, role_of) for name, _ in turns]
    if turns and not turns[-1][1].strip() and roles[-1] == "assistant":
        return True
    # An earlier answer and a last question, each with a special token at the beginning of a line.
    if style.has_tokens and roles[:1] == ["assistant"] and roles[-1] == "user":
        return all(prompt[: mark.start()].endswith("\n") for mark in style.mark.finditer(prompt))
    # A text that begins with a mark that is no word is a rendered conversation.
    return style.has_tokens and bool(style.mark.match(_START.sub("", prompt)))


def _parse(style: MarkStyle, prompt: str, answer: Message, note: Note, role_of: RoleOf) -> list[Message]:
    prompt = prompt.rstrip()
    if style.sign.search(answer["content"]):
        # The answer goes on with further questions, so that both columns are one text.
        turns = _parse_text(style, f"{prompt}\n\n{answer['content']}", note, role_of)
        if answer.get("loss") is False:
            turns = [{**turn, "loss": False} if turn["role"] == "assistant" else turn for turn in turns]
        return turns
    turns = _parse_text(style, prompt + "\n\n", note, role_of)
    content = cut_end_marks(answer["content"])
    if turns and turns[-1]["role"] == "assistant":
        if prompt.endswith(style.ends):
            raise UnusableRow(f"the question holds a whole conversation in the style {style.name} with its answer")
        # The prompt writes the beginning of the answer.
        content = f"{turns.pop()['content']}\n{content}"
    return [*turns, {**answer, "content": content}]


def _parse_text(style: MarkStyle, text: str, note: Note, role_of: RoleOf) -> list[Message]:
    if style is _LLAMA2:
        return [{**turn, "content": turn["content"].strip()} for turn in parse_llama2(text, note)]
    if style is GUANACO:
        turns: list[Message] = [{**turn, "content": turn["content"].strip()} for turn in parse_guanaco(text)]
        return [turn for turn in turns if turn["content"]]
    return parse_style(text, style, note, role_of)


def note_turn_marks(messages: list[Message], note: Note, known: Sequence[str]) -> None:
    """Note the marks of turns that a turn still holds and that no note names.

    Args:
        messages: The conversation as it is trained.
        note: Callback for one sentence about each kind of turn.
        known: The notes so far.
    """
    for message in messages:
        text = message["content"]
        if message["role"] == "text" or not ("<" in text or "[" in text):
            continue
        mark = _TURN_MARK.search(text)
        is_mentioned = message["role"] == "user" and any("question holds marks" in sentence for sentence in known)
        if mark and not is_mentioned and not any(mark[0] in sentence for sentence in known):
            note(f"{_TURN_NAMES[message['role']]} holds the mark {mark[0]!r} of a turn; it is trained as text")


def without_system_labels(messages: list[Message], note: Note) -> list[Message]:
    """Return messages whose system prompts do not begin with the label of one, with a note about each label."""
    found: list[Message] = []
    for message in messages:
        if message["role"] == "system":
            content, label = without_system_label(message["content"])
            if label and content.strip():
                note(f"the label {label!r} of a system prompt is left out")
                message = {**message, "content": content}
        found.append(message)
    return found
