"""Questions to a judge about two answers, and what its replies say.

A judge tends to prefer the answer that it reads first (Zheng et al. 2023, "Judging LLM-as-a-Judge", section 3.3). So
each pair is asked about twice, with the answers exchanged, and a judge that contradicts itself has not preferred one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.data.formats import Message

Choice = Literal["A", "B", "tie"]
# The lane of a pair that won a row. "tie" also stands for two orders that contradict each other.
Preference = Literal["first", "second", "tie"]
ORDERS = (0, 1)
# Longer texts of one part of a question are cut, because judges have a limited context.
_MAX_CHARACTERS = 12_000
_SYSTEM = (
    "You compare two answers to the same question. Judge whether they are correct, helpful, and in the language and "
    "form that was asked for. Length and order do not count. If there is a reference, a good answer agrees with it, in "
    "any words. Reply with one line only: A if answer A is better, B if answer B is better, or TIE."
)
# The verdict may be wrapped in brackets, stars or a phrase such as "Verdict: A"; the last line that has one counts,
# because models that reason first state their verdict last.
# A longer line holds more than a verdict. The pattern takes quadratic time for a line of brackets or spaces.
_MAX_LINE_CHARACTERS = 200
_LINE = re.compile(
    r"^(?:[^\w\n]*(?:(?:final\s+)?(?:verdict|answer|better|winner|choice)\s*(?:is\s*)?[:=]?\s*)?(?:answer\s+)?)"
    r"[\[(*\"'`]*(A|B|TIE)[\])*\"'`.!]*\s*(?:is better[.!]?)?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Question:
    """One question to the judge.

    Attributes:
        prompt: Index of the prompt in its evaluation.
        order: 0 if answer A is that of the first lane, 1 if it is that of the second.
        messages: The conversation to send.
    """

    prompt: int
    order: int
    messages: list[Message]


def build_questions(
    prompt: int, conversation: Sequence[Message], reference: str, answers: tuple[str, str]
) -> list[Question]:
    """Return the questions about a pair of answers, one per order.

    Args:
        prompt: Index of the prompt.
        conversation: The turns that were answered.
        reference: The answer in the data; empty for none.
        answers: The answers of the first and of the second lane.
    """
    questions = []
    for order in ORDERS:
        shown = answers if order == 0 else answers[::-1]
        parts = [("Conversation", "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in conversation))]
        parts += [("Reference", reference)] if reference.strip() else []
        parts += [("Answer A", shown[0]), ("Answer B", shown[1])]
        text = "\n\n".join(f"[{title}]\n{_cut(content)}\n[End of {title.lower()}]" for title, content in parts)
        messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": f"{text}\n\nA, B or TIE?"}]
        questions.append(Question(prompt, order, messages))
    return questions


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]} … (cut)"


def parse_choice(reply: str) -> Choice | None:
    """Return what a reply chooses; None if no line of it is a verdict."""
    for line in reversed(reply.strip().splitlines()):
        line = line.strip()
        if len(line) <= _MAX_LINE_CHARACTERS and (found := _LINE.match(line)):
            letter = found[1].upper()
            return "tie" if letter == "TIE" else letter
    return None


def preference(choices: tuple[Choice, Choice]) -> Preference:
    """Return the lane that both orders prefer; "tie" if they prefer none or contradict each other.

    Args:
        choices: What the judge chose in order 0 and in order 1.
    """
    chosen = [_lane_of(choice, order) for order, choice in enumerate(choices)]
    return chosen[0] if chosen[0] == chosen[1] else "tie"


def is_consistent(choices: tuple[Choice, Choice]) -> bool:
    """Return whether both orders give the same preference."""
    return _lane_of(choices[0], 0) == _lane_of(choices[1], 1)


def _lane_of(choice: Choice, order: int) -> Preference:
    if choice == "tie":
        return "tie"
    return "first" if (choice == "A") == (order == 0) else "second"
