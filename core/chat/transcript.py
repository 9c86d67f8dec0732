"""Export of a conversation as JSON lines, for programs, and as Markdown, for people."""

import json
from typing import Any

from core.chat.conversation import Conversation
from core.chat.types import END_LABELS, GenerationResult
from core.chat.votes import contender_name
from core.system.counting import counted
from core.system.markdown import fenced, plain


def as_jsonl(conversation: Conversation) -> str:
    """Return a line per answer of the current lanes, all attempts included: messages, model, settings, how it ended."""
    lines = []
    for index, turn in enumerate(conversation.turns):
        for lane in range(len(conversation.lanes)):
            for number, answer in enumerate(turn.answers[lane]):
                lines.append(_line(conversation, index, lane, number, answer))
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def as_markdown(conversation: Conversation) -> str:
    """Return the conversation to read: each question with the answers that are shown."""
    parts = [f"# {plain(conversation.title())}", f"Base model: {plain(conversation.base)}"]
    for index, turn in enumerate(conversation.turns):
        # Fences keep the Markdown of questions and answers from changing the page.
        parts += [f"## Question {index + 1}", fenced(turn.prompt)]
        if turn.reference:
            parts += ["### Reference", fenced(turn.reference)]
        for lane in range(len(conversation.lanes)):
            if answer := turn.shown(lane):
                parts += [
                    f"### {plain(contender_name(answer))}",
                    fenced(answer.text),
                    _facts(answer),
                ]
    return "\n\n".join(parts) + "\n"


def _facts(answer: GenerationResult) -> str:
    if answer.labels:
        return "; ".join(f"{plain(label)} {share:.1%}" for label, share in answer.labels) + "."
    return f"{counted(answer.tokens, 'token')}, {END_LABELS[answer.end]}."


def _line(conversation: Conversation, index: int, lane: int, number: int, answer: GenerationResult) -> dict[str, Any]:
    turn = conversation.turns[index]
    return {
        "turn": index + 1,
        "lane": lane + 1,
        "try": number + 1,
        "base": conversation.base,
        "model": contender_name(answer),
        "messages": [*conversation.asked(lane, index), {"role": "assistant", "content": answer.text}],
        "reference": turn.reference,
        "tokens": answer.tokens,
        "end": answer.end,
        "settings": answer.settings,
        "labels": [list(pair) for pair in answer.labels],
        "verdict": turn.verdict,
    }
