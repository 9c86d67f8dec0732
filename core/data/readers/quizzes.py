"""Reader of quizzes of Moodle in its two text formats, GIFT and Aiken: each question is a row.

    ::Title:: How old is it? {=Ten years ~Two years#Older.}       Which port does HTTPS use?
                                                                  A. 80
    // a comment, and a category for the next questions            B. 443
    $CATEGORY: Biology/Cells                                      ANSWER: B

Where each question has choices, these are a list beside the letter of the right one. Otherwise the choices are written
below the question, since a number, a text or several choices may be its answer.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from core.data.readers.gift import Question, parse_question
from core.data.readers.lines import TOO_LONG, LineSource, SourceRow

Style = Literal["GIFT", "Aiken"]
Lines = Iterable[tuple[int, str | None]]
_CHOICE = re.compile(r"\s*([A-Z])[.)]\s+(\S.*)")
_ANSWER = re.compile(r"\s*ANSWER:\s*([A-Z])\s*", re.IGNORECASE)
_CATEGORY = re.compile(r"\$CATEGORY:\s*(.+)")
_MIN_QUESTIONS = 2
# Share of the blocks of text that must be questions.
_MIN_SHARE = 0.8
# A question and its choices have at most this many lines.
_MAX_LINES = 200


class _Block(NamedTuple):
    line: int
    text: str
    category: str
    trouble: str = ""


def style_of_quiz(lines: list[str]) -> tuple[Style, bool] | None:
    """Return the format of a quiz, and whether each question of the sample has choices; None for another text.

    Args:
        lines: The lines at the start of the file.
    """
    numbered = list(enumerate(lines))
    for style, blocks, parse in (
        ("Aiken", _aiken_blocks(numbered), _parse_aiken),
        ("GIFT", _gift_blocks(numbered), parse_question),
    ):
        parsed = [parse(block.text) for block in blocks]
        questions = [one for one in parsed if one is not None and (one.choices or one.answers)]
        if len(questions) >= _MIN_QUESTIONS and len(questions) >= _MIN_SHARE * len(parsed):
            return style, all(one.right is not None for one in parsed if one)
    return None


def read_quiz(source: LineSource, lines: Lines, style: Style, has_choices: bool) -> Iterator[SourceRow]:
    """Yield the questions of a quiz; a block that is none is a row with its trouble.

    Args:
        source: The file.
        lines: Its numbered lines.
        style: Its format.
        has_choices: Whether each question has choices, so that they are a column of their own.
    """
    source.note(f"{source.name!r} is a quiz of Moodle ({style}); each question is a row")
    blocks, parse = (_aiken_blocks(lines), _parse_aiken) if style == "Aiken" else (_gift_blocks(lines), parse_question)
    for block in blocks:
        trouble = block.trouble or source.broken(block.text)
        found = None if trouble else parse(block.text)
        if found is None:
            yield SourceRow(block.line, None, block.text, trouble or f"is no question of a quiz ({style})")
            continue
        row = _row(found, block.category, has_choices)
        yield SourceRow(block.line, row, json.dumps(row, ensure_ascii=False))


def _row(question: Question, category: str, has_choices: bool) -> dict[str, Any]:
    beside = {
        name: value
        for name, value in (
            ("title", question.title),
            ("category", category),
            ("feedback", question.feedback),
            ("other_answers", list(question.answers[1:])),
        )
        if value
    }
    if has_choices:
        letter = None if question.right is None else chr(ord("A") + question.right)
        return {"question": question.text, "choices": list(question.choices), "answer": letter, **beside}
    listed = "\n".join(question.choices)
    text = f"{question.text}\n\n{listed}" if listed else question.text
    return {"question": text, "answer": next(iter(question.answers), None), **beside}


def _gift_blocks(lines: Lines) -> Iterator[_Block]:
    """Yield the texts between empty lines, without comments, with the category that stands above them."""
    block: list[str] = []
    first, category = 0, ""
    for number, line in lines:
        if line is None:
            yield _Block(number, "", category, TOO_LONG)
            continue
        text = line.strip().lstrip("\ufeff")
        found = _CATEGORY.fullmatch(text)
        if text and not found and not text.startswith("//"):
            first = number if not block else first
            block.append(text)
        if block and (not text or found or len(block) > _MAX_LINES):
            yield _Block(first, "\n".join(block), category)
            block = []
        category = found[1] if found else category
    if block:
        yield _Block(first, "\n".join(block), category)


def _aiken_blocks(lines: Lines) -> Iterator[_Block]:
    """Yield the texts up to each line that names the answer; empty lines do not matter."""
    block: list[str] = []
    first = 0
    for number, line in lines:
        if line is None:
            yield _Block(number, "", "", TOO_LONG)
            continue
        if text := line.strip().lstrip("\ufeff"):
            first = number if not block else first
            block.append(text)
            if _ANSWER.fullmatch(text) or len(block) > _MAX_LINES:
                yield _Block(first, "\n".join(block), "")
                block = []
    if block:
        yield _Block(first, "\n".join(block), "")


def _parse_aiken(text: str) -> Question | None:
    *above, last = text.split("\n")
    answer = _ANSWER.fullmatch(last)
    start = next((index for index, line in enumerate(above) if _CHOICE.fullmatch(line)), 0)
    found = [_CHOICE.fullmatch(line) for line in above[start:]]
    choices = tuple(match[2].strip() for match in found if match)
    letters = [match[1] for match in found if match]
    if answer is None or not start or len(choices) < 2 or len(choices) < len(found):
        return None
    if letters != [chr(ord("A") + index) for index in range(len(letters))] or answer[1].upper() not in letters:
        return None
    right = letters.index(answer[1].upper())
    return Question("\n".join(above[:start]), choices, (choices[right],), right)
