"""A conversation as files that other programs and people read."""

import json
from typing import Any

from core.chat.conversation import Answer, Conversation
from core.chat.votes import contender_name
from core.system.markdown import fenced


def as_jsonl(kept: Conversation) -> str:
    """A line an answer, every try included: the messages up to it, who gave it, with which settings, how it ended."""
    lines = []
    for at, turn in enumerate(kept.turns):
        for lane in range(len(kept.lanes)):
            for number, answer in enumerate(turn.answers[lane]):
                lines.append(_line(kept, at, lane, number, answer))
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _line(kept: Conversation, at: int, lane: int, number: int, answer: Answer) -> dict[str, Any]:
    said = {"role": "assistant", "content": answer.text}
    return {
        "turn": at + 1, "lane": lane + 1, "try": number + 1, "base": kept.base, "model": contender_name(answer),
        "messages": [*kept.asked(lane, at), said], "reference": kept.turns[at].reference, "tokens": answer.tokens,
        "end": answer.end, "settings": answer.settings, "verdict": kept.turns[at].verdict,
    }  # fmt: skip


def as_markdown(kept: Conversation) -> str:
    """The conversation to read: each question, and the answers that are shown to it."""
    parts = [f"# {kept.title()}", f"Base model: {kept.base}"]
    for at, turn in enumerate(kept.turns):
        parts += [f"## Question {at + 1}", fenced(turn.prompt)]
        if turn.reference:
            parts += ["### Reference", fenced(turn.reference)]
        for lane in range(len(kept.lanes)):
            if answer := turn.shown(lane):
                parts += [
                    f"### {contender_name(answer)}",
                    fenced(answer.text),
                    f"{answer.tokens} tokens, {answer.end}.",
                ]
    return "\n\n".join(parts) + "\n"
