"""Questions and answers of one conversation in two lists of the same length, or in numbered columns.

`questions = ["a", "b"], answers = ["c", "d"]` are two pairs of turns, and so are `Question 1`, `Answer 1`, `Question 2`
and `Answer 2`.
"""

import re
from typing import Any

from core.data.formats.cells import Cells
from core.data.formats.conversation import Message, UnusableRow
from core.data.formats.values import is_missing, nested, text_of
from core.system.counting import counted

_NUMBERED = re.compile(r"(\D*)(\d{1,3})(\D*)")
_MAX_NUMBERED = 100


def list_of_texts(value: Any) -> tuple[str, list[str]] | None:
    """Return the name of a field and its list of texts; None for a value without such a list.

    The field is the only one of an object with such a list; for a value that is a list itself, the name is "".
    """
    value = nested(value)
    if isinstance(value, list):
        return ("", value) if value and all(isinstance(item, str) for item in value) else None
    if not isinstance(value, dict):
        return None
    fields = [(str(key), item) for key, item in value.items() if not isinstance(item, dict) and list_of_texts(item)]
    return fields[0] if len(fields) == 1 and isinstance(fields[0][1], list) else None


def number_of(name: str) -> tuple[str, int, str] | None:
    """Return the parts of a numbered name before, of and after its only number, or None."""
    found = _NUMBERED.fullmatch(name)
    return (found[1], int(found[2]), found[3]) if found else None


def pair_turns(cells: Cells) -> list[Message]:
    """Return the questions of a row, each followed by its answer; the context is added to the first question.

    Raises:
        UnusableRow: The numbers of questions and answers differ, or both are empty.
    """
    questions, answers = _texts(cells, "questions"), _texts(cells, "answers")
    if len(questions) != len(answers):
        given = f"{counted(len(questions), 'question')} and {counted(len(answers), 'answer')}"
        raise UnusableRow(f"{given}; expected the same number of each")
    messages: list[Message] = []
    for question, answer in zip(questions, answers, strict=True):
        if is_missing(question) and is_missing(answer):
            continue
        messages.append({"role": "user", "content": text_of(question, "a question", cells.note)})
        messages.append({"role": "assistant", "content": text_of(answer, "an answer", cells.note)})
    if not messages:
        raise UnusableRow("questions and answers are empty")
    if (context := cells.text("context")).strip():
        messages[0]["content"] = f"{messages[0]['content']}\n\n{context}"
    return messages


def _texts(cells: Cells, slot: str) -> list[Any]:
    """Return the texts of a list, or those of the column and of the columns with the numbers that follow."""
    value, name = nested(cells.get(slot)), cells.column(slot)
    before, first, after = (name and number_of(name)) or ("", 0, "")
    if f"{before}{first + 1}{after}" in cells.row and isinstance(cells.get(slot), str | None):
        names = [f"{before}{i}{after}" for i in range(first, first + _MAX_NUMBERED)]
        names = names[: next((i for i, other in enumerate(names) if other not in cells.row), len(names))]
        cells.used.update(names)
        return [cells.row[other] for other in names]
    if isinstance(value, list):
        return value
    if (found := list_of_texts(value)) is None:
        raise UnusableRow(f"{slot} is empty" if is_missing(value) else f"{slot} is no list of texts")
    field, texts = found
    others = [key for key in value if str(key) != field and not is_missing(value[key])]
    for key in others:
        cells.note(f"the field {str(key)!r} of {slot} is not used")
    return texts
