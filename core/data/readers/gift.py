"""Parser of one question in GIFT, Moodle's text format: its text, its choices and its answers.

The answers stand in braces: {=right ~wrong}, {TRUE}, {#3.5:0.1}, {=one -> first =two -> second}, and {} for an essay.
Text on both sides of the braces is a sentence with a gap.
"""

import re
from typing import NamedTuple

_TITLE = re.compile(r"::(.*?)::\s*", re.DOTALL)
_FORMAT = re.compile(r"\[(?:html|markdown|plain|moodle)\]\s*")
_BRACES = re.compile(r"\{([^{}]*)\}", re.DOTALL)
_TRUTH = re.compile(r"\s*(T|TRUE|F|FALSE)\s*(?:#(.*))?", re.DOTALL | re.IGNORECASE)
_WEIGHT = re.compile(r"\s*%(-?[\d.]+)%\s*")
_PAIR = re.compile(r"\s*->\s*")
_GAP = "_____"
# Escaped characters are replaced by these of the private area of Unicode while a question is parsed.
_ESCAPED = {f"\\{sign}": chr(0xE000 + index) for index, sign in enumerate("~=#{}:")}


class Question(NamedTuple):
    """One question of a quiz.

    Attributes:
        text: The question.
        choices: Its choices; for pairs, the texts of both sides.
        answers: The texts that are right, the best one first; empty for an essay or a description.
        right: Index of the right choice, if exactly one is right.
        title: Its title.
        feedback: The remarks that a student gets.
    """

    text: str
    choices: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    right: int | None = None
    title: str = ""
    feedback: str = ""


def parse_question(text: str) -> Question | None:
    """Return a question, or None if the text is none; an essay and a description have no answers."""
    for spelled, sign in _ESCAPED.items():
        text = text.replace(spelled, sign)
    text = text.replace("\\n", "\n")
    title = ""
    if found := _TITLE.match(text):
        title, text = _plain(found[1]), text[found.end() :]
    text = text[found.end() :] if (found := _FORMAT.match(text)) else text
    braces = _BRACES.search(text)
    if braces is None:
        # A description has a title; other text is no part of a quiz.
        return Question(_plain(text), title=title) if title and "{" not in text else None
    before, after = _plain(text[: braces.start()]), _plain(text[braces.end() :])
    question = f"{before} {_GAP} {after}" if after else before
    inside, _, general = braces[1].partition("####")
    answered = _answered(inside)
    if not question or answered is None:
        return None
    choices, answers, right, feedback = answered
    remarks = "\n".join(filter(None, (*feedback, _plain(general))))
    return Question(question, choices, answers, right, title, remarks)


_Answered = tuple[tuple[str, ...], tuple[str, ...], int | None, list[str]]


def _answered(inside: str) -> _Answered | None:
    """Return the choices, the answers, the index of the only right choice, and the remarks; None for other braces."""
    if not inside.strip():
        return (), (), None, []
    if truth := _TRUTH.fullmatch(inside):
        right = int(truth[1].upper().startswith("F"))
        remarks = [_plain(remark) for remark in (truth[2] or "").split("#")]
        return ("True", "False"), (("True", "False")[right],), right, [remark for remark in remarks if remark]
    if inside.lstrip().startswith("#"):
        inside = inside.lstrip()[1:]
        marked = re.split(r"[=~]", inside)
        # A number with its tolerance, or a range.
        numbers = [_WEIGHT.sub("", part.partition("#")[0]).strip().partition(":")[0] for part in marked]
        return (), tuple(filter(None, map(_plain, numbers))), None, []
    parts = re.findall(r"([=~])([^=~]*)", inside)
    if not parts:
        return None
    feedback = [remark for _, part in parts if (remark := _plain(part.partition("#")[2]))]
    bodies = [(sign, part.partition("#")[0]) for sign, part in parts]
    if all(_PAIR.search(body) for _, body in bodies):
        return _pairs([_PAIR.split(body, maxsplit=1) for _, body in bodies], feedback)
    return _chosen(bodies, feedback)


def _pairs(pairs: list[list[str]], feedback: list[str]) -> _Answered:
    both = [(_plain(left), _plain(right)) for left, right in pairs]
    sides = (*(left for left, _ in both if left), "", *sorted({right for _, right in both}))
    answer = "\n".join(f"{left} -> {right}" for left, right in both if left)
    return sides, (answer,), None, feedback


def _chosen(bodies: list[tuple[str, str]], feedback: list[str]) -> _Answered:
    texts = tuple(_plain(_WEIGHT.sub("", body, count=1)) for _, body in bodies)
    weights = [float(found[1]) if (found := _WEIGHT.match(body)) else 100.0 * (sign == "=") for sign, body in bodies]
    rights = [index for index, weight in enumerate(weights) if weight > 0]
    if not any(sign == "~" for sign, _ in bodies):
        # Accepted answers without choices, the best one first.
        return (), tuple(texts[index] for index in sorted(rights, key=lambda one: -weights[one])), None, feedback
    full = [index for index in rights if weights[index] == 100]
    if len(full) == 1:
        return texts, (texts[full[0]],), full[0], feedback
    return texts, ("\n".join(texts[index] for index in rights),) if rights else (), None, feedback


def _plain(text: str) -> str:
    """Return a text with its escaped characters and without white space around it."""
    for spelled, sign in _ESCAPED.items():
        text = text.replace(sign, spelled[1:])
    return text.strip()
