"""Reasoning of an answer, written in <think> tags before it or left out, by the reading options.

The reasoning is in a field of its turn, in a column of its row, or inside the answer between the special tokens of one
model, such as `<|begin_of_thought|>` (OpenThoughts). Another model knows none of these tokens and would learn them as
text.
"""

import re

from core.data.formats.conversation import Message
from core.data.formats.values import Note

# Beginning and end of the reasoning, then beginning and end of the answer; "" where there is none.
_STYLES = (
    ("<|begin_of_thought|>", "<|end_of_thought|>", "<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("<|channel|>analysis<|message|>", "<|end|>", "<|start|>assistant<|channel|>final<|message|>", "<|return|>"),
    ("[THINK]", "[/THINK]", "", ""),
    ("<seed:think>", "</seed:think>", "", ""),
    ("◁think▷", "◁/think▷", "", ""),
)
_Style = tuple[str, str, str, str]
_THINK = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)


def add_reasoning(answer: str, reasoning: str, think: bool, note: Note) -> str:
    """Return an answer after its reasoning in <think> tags, or the answer alone.

    Args:
        answer: The answer; reasoning that it repeats at its beginning is written once.
        reasoning: The reasoning, which may be in <think> tags already.
        think: Whether to keep the reasoning.
        note: Callback for one sentence if it is left out.
    """
    if tagged := _THINK.fullmatch(reasoning):
        reasoning = tagged[1].strip()
    # Servers give reasoning in a field of its own and often leave it in the text as well.
    if (written := _THINK.match(answer)) and written[1].split() == reasoning.split():
        answer = answer[written.end() :]
    if not think:
        note("the reasoning of an answer is left out")
        return answer
    return f"<think>\n{reasoning}\n</think>\n\n{answer}"


def read_reasoning_marks(messages: list[Message], think: bool, note: Note) -> list[Message]:
    """Return a conversation with the marked reasoning of its answers in <think> tags, or without it.

    A prompt that asks for the marks, as OpenThoughts' system prompt does, asks for the tags instead.

    Args:
        messages: The conversation.
        think: Whether to keep the reasoning.
        note: Callback for one sentence about what is changed.
    """
    found: list[Message] = []
    styles: set[_Style] = set()
    for message in messages:
        parts = _split(message["content"]) if message["role"] == "assistant" else None
        if message["role"] == "assistant" and "<think>" in message["content"].rpartition("</think>")[2]:
            note("the reasoning of an answer begins with <think> and never ends; it is trained as it is")
        if parts is None:
            found.append(message)
            continue
        style, reasoning, answer = parts
        styles.add(style)
        note(
            f"the reasoning of an answer between {style[0]!r} and {style[1]!r} is "
            + ("written in <think> tags" if think else "left out")
        )
        text = f"<think>\n{reasoning}\n</think>\n\n{answer}" if think and reasoning else answer
        found.append({**message, "content": text})
    return [_with_tags(message, styles) for message in found] if styles and think else found


def _split(content: str) -> tuple[_Style, str, str] | None:
    """Return the style, the reasoning and the answer of a text that begins with marked reasoning; None otherwise."""
    text = content.lstrip()
    # Most answers begin with a letter.
    if text[:1] not in "<[◁":
        return None
    for style in _STYLES:
        begin, end, answer_begin, answer_end = style
        close = text.find(end) if text.startswith(begin) else -1
        answer = text[close + len(end) :].strip().removeprefix(answer_begin).strip()
        if close < 0 or not answer:
            continue
        if answer_end:
            before, found, after = answer.rpartition(answer_end)
            answer = before.rstrip() + after if found else answer
        return style, text[len(begin) : close].strip(), answer
    return None


def _with_tags(message: Message, styles: set[_Style]) -> Message:
    """Return a prompt with <think> tags in place of the marks that its answers have."""
    text = message["content"]
    if message["role"] not in ("system", "user") or not any(style[0] in text for style in styles):
        return message
    for begin, end, answer_begin, answer_end in styles:
        text = text.replace(begin, "<think>").replace(end, "</think>")
        for mark in filter(None, (answer_begin, answer_end)):
            text = text.replace(mark, "")
    return {**message, "content": text}


def with_reasoning(messages: list[Message], reasoning: list[str], think: bool, note: Note) -> list[Message]:
    """Return a conversation with the reasoning of its row before its last answer, or without it.

    Args:
        messages: The conversation.
        reasoning: Texts of the columns of reasoning.
        think: Whether to keep the reasoning.
        note: Callback for one sentence about what is left out.
    """
    if not reasoning:
        return messages
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if not answers:
        note("the column of reasoning is not used, since there is no answer")
        return messages
    if len(answers) > 1:
        note("the reasoning of a column is that of the last answer")
    last = answers[-1]
    content = add_reasoning(messages[last]["content"], "\n\n".join(reasoning), think, note)
    return [*messages[:last], {**messages[last], "content": content}, *messages[last + 1 :]]
