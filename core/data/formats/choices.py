"""Multiple choice: a question, its choices, and which of them is the answer.

The choices are a list of texts (MMLU), an object of letters and texts, an object of two lists (ARC), a list of objects,
or columns such as A, B, C and D. The answer is a letter, a number or the text of a choice, a list of flags, or a flag
of each choice (TruthfulQA, BIG-bench); the text of that choice is trained, and the question is followed by all choices,
one per line.
"""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from core.data.formats.cells import Cells, Row
from core.data.formats.columns import find_column, without_remark
from core.data.formats.conversation import Message, UnusableRow
from core.data.formats.flag_answers import FLAG_VALUES
from core.data.formats.values import Note, is_absent, is_missing, nested, text_of

# Fields of an object of two lists, and of an object for each choice: its text, its letter.
_TEXT_FIELDS = ("text", "texts", "content", "value", "choices", "choice", "option", "options", "answer")
_LABEL_FIELDS = ("label", "labels", "key", "letter", "id", "name", "index")
# Fields that say whether a choice is right.
_RIGHT_FIELDS = ("correct", "is_correct", "right", "is_right", "is_answer", "is_true", "is_right_answer", "fraction")
# A column of a choice ends with a letter or a number: A, option_a, opa, choice1, "Option A".
_COLUMN = re.compile(r"(.*?)([A-Za-z]|\d)")
_STEMS = ("", "option", "options", "choice", "choices", "op", "opt", "ending", "answer", "sol", "alternative", "选项")
# Spellings of a letter: B, (B), B), "B.", "option_b", "Answer: B".
_LETTER = re.compile(r"(?:(?:option|choice|answer|opt|op|ending)?[\s_:-]*)\(?([A-Za-z])\)?[.):]?", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d+(?:\.0)?")
# A choice with a letter of its own, such as "A) 21" or "(b) 22".
_LETTERED = re.compile(r"\(?([A-Za-z])[).:]\s*\S")
_MAX_LETTERS = 26
_LONGEST_LABEL = 3
_SHOWN_CHARACTERS = 40


class Choice(NamedTuple):
    """One choice.

    Attributes:
        label: Its letter or number.
        text: Its text; empty for a column that is empty in this row.
        is_right: Whether a flag says that it is the answer; None without a flag.
    """

    label: str
    text: str
    is_right: bool | None = None


def choice_columns(name: str, row: Row) -> list[str]:
    """Return the columns of choices from `name` on: A, B, C and D from "A"; empty if `name` is not the first of them.

    Args:
        name: The column of the first choice.
        row: Values by column name.
    """
    plain = without_remark(name)
    found = _COLUMN.fullmatch(plain)
    if found is None or find_column([re.sub(r"[\W_]+$", "", found[1])], _STEMS) is None:
        return []
    stem, mark, remark = found[1], found[2], name.removeprefix(plain)
    if mark not in ("a", "A", "0", "1"):
        return []
    columns = []
    while f"{stem}{mark}{remark}" in row:
        columns.append(f"{stem}{mark}{remark}")
        mark = str(int(mark) + 1) if mark.isdigit() else chr(ord(mark) + 1)
    return columns if len(columns) > 1 else []


def choices_of(value: Any, note: Note) -> list[Choice] | None:
    """Return the choices in a list or an object, or None if the value holds none.

    Args:
        value: A list of texts or of objects, an object of letters and texts or of two lists, or JSON of one of these.
        note: Callback for one sentence about each field that is not used.
    """
    value = nested(value)
    if isinstance(value, dict):
        return _from_object(value, note)
    if not isinstance(value, list) or len(value) < 2:
        return None
    if all(isinstance(item, dict) for item in value):
        key, label = _field(value[0], _TEXT_FIELDS), _field(value[0], _LABEL_FIELDS)
        if key is None or not all(_is_text(item.get(key)) for item in value):
            return None
        right = _field(value[0], _RIGHT_FIELDS)
        for name in {name for item in value for name in item} - {key, label, right}:
            note(f"the field {str(name)!r} of a choice is not used")
        labels = [
            str(item.get(label)) if label else letter for item, letter in zip(value, _letters(value), strict=True)
        ]
        flags = _flags([_right_flag(item.get(right), right) for item in value]) if right else None
        return [
            Choice(one, "" if item.get(key) is None else str(item[key]), flag)
            for one, item, flag in zip(labels, value, flags or [None] * len(value), strict=True)
        ]
    if not all(_is_text(item) for item in value):
        return None
    # A table that has as many columns for each row fills those that are not needed with null.
    found = [
        Choice(label, str(item)) for label, item in zip(_letters(value), value, strict=True) if not is_absent(item)
    ]
    return found if len(found) > 1 else None


def _from_object(value: dict[str, Any], note: Note) -> list[Choice] | None:
    key, label = _field(value, _TEXT_FIELDS), _field(value, _LABEL_FIELDS)
    texts, labels = value.get(key or ""), value.get(label or "")
    if isinstance(texts, list) and sum(not is_absent(text) for text in texts) > 1 and all(map(_is_text, texts)):
        for name in value.keys() - {key, label}:
            note(f"the field {str(name)!r} of the choices is not used")
        has_labels = isinstance(labels, list) and len(labels) == len(texts)
        if label and not has_labels:
            note(f"the field {label!r} of the choices is not used")
        marks = labels if has_labels else _letters(texts)
        flags = (_flags(labels) if has_labels else None) or [None] * len(texts)
        return [
            Choice(str(mark), str(text), flag)
            for mark, text, flag in zip(marks, texts, flags, strict=True)
            if not is_absent(text)
        ]
    if is_flag_map(value):
        flags = _flags(list(value.values())) or []
        return [
            Choice(letter, str(text), flag)
            for letter, text, flag in zip(_letters(list(value)), value, flags, strict=True)
        ]
    keys = [str(name) for name in value]
    if len(value) < 2 or not all(len(name) <= 2 for name in keys) or not all(map(_is_text, value.values())):
        return None
    _note_empty(value.values(), note)
    return [Choice(name, str(text)) for name, text in zip(keys, value.values(), strict=True) if not is_missing(text)]


def is_flag_map(value: Any) -> bool:
    """Return whether an object has texts of choices as its keys, each with a flag, of which one is true."""
    return isinstance(value, dict) and len(value) > 1 and _flags(list(value.values())) is not None


def _flags(values: list[Any]) -> list[bool] | None:
    """Return the flags that values spell, or None if one is no flag, or none of them is true."""
    flags = [FLAG_VALUES.get(str(value).strip().lower()) for value in values]
    return [flag is True for flag in flags] if None not in flags and True in flags else None


def _right_flag(value: Any, field: str) -> Any:
    """Return the flag of a choice; Moodle gives each its percentage of the points."""
    return str(value).removesuffix(".0") == "100" if find_column([field], ("fraction",)) else value


def _note_empty(texts: Iterable[Any], note: Note) -> None:
    """Note the choices that spell a missing value, such as "None", which may be meant as a choice."""
    for text in texts:
        if isinstance(text, str) and text.strip() and is_missing(text):
            note(f"the choice {text.strip()!r} is read as empty")


def _field(value: dict[str, Any], wanted: tuple[str, ...]) -> str | None:
    return find_column([str(name) for name in value], wanted)


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, int, float)) or value is None


def _letters(items: list[Any]) -> list[str]:
    return [chr(ord("A") + i) if len(items) <= _MAX_LETTERS else str(i + 1) for i in range(len(items))]


def find_choice(choices: list[Choice], key: Any, from_one: bool = False) -> int | None:
    """Return the index of the choice that the answer names, or None.

    Args:
        choices: The choices.
        key: The answer: a label, a letter, a number or the text of a choice, or a list with a flag for each choice.
        from_one: Whether numbers are counted from 1; otherwise from 0.
    """
    key = nested(key)
    if isinstance(key, list) and len(key) == 1:
        key = key[0]
    if isinstance(key, list) and len(key) == len(choices) and (flags := _flags(key)):
        return flags.index(True)
    if is_missing(key) or isinstance(key, (bool, list, dict)):
        return None
    word = str(key).strip()
    labels = [choice.label.strip().lower() for choice in choices]
    letter = _LETTER.fullmatch(word)
    index = None
    if word.lower() in labels:
        index = labels.index(word.lower())
    elif _NUMBER.fullmatch(word):
        index = int(float(word)) - from_one
    elif word in (texts := [choice.text.strip() for choice in choices]):
        index = texts.index(word)
    elif letter and letter[1].lower() in labels:
        index = labels.index(letter[1].lower())
    elif letter and all(label.isdigit() for label in labels):
        # ARC numbers the choices of some rows, and names them by letters in others.
        index = ord(letter[1].lower()) - ord("a")
    return index if index is not None and 0 <= index < len(choices) and choices[index].text.strip() else None


def row_choices(cells: Cells) -> list[Choice]:
    """Return the choices of a row, in one column or in several.

    Raises:
        UnusableRow: There are fewer than two.
    """
    name, value = cells.column("choices"), cells.get("choices")
    if name and (columns := choice_columns(name, cells.row)) and not isinstance(nested(value), (list, dict)):
        cells.used.update(columns)
        values = [cells.row[column] for column in columns]
        _note_empty(values, cells.note)
        while values and is_missing(values[-1]):
            values.pop()
        texts = ["" if is_missing(one) else text_of(one, "a choice", cells.note) for one in values]
        choices = [Choice(label, text) for label, text in zip(_letters(texts), texts, strict=True)]
    else:
        choices = choices_of(value, cells.note) or []
    if sum(bool(choice.text.strip()) for choice in choices) < 2:
        raise UnusableRow("the choices are missing" if is_missing(value) else "the choices are no list of texts")
    return choices


def choice_turns(cells: Cells) -> list[Message]:
    """Return the question with its context and its choices, and the text of the right choice as the answer.

    Raises:
        UnusableRow: The question or the choices are missing, or the answer names none of them.
    """
    question = text_of(cells.get("question"), "the question", cells.note)
    choices = row_choices(cells)
    from_one = "answer_from_1" in cells.reading.columns
    key = cells.get("answer_from_1" if from_one else "answer")
    if is_missing(key) and any(choice.is_right for choice in choices):
        return _turns(question, choices_with_letters(choices), _right_choice(choices, cells), cells)
    if is_missing(key):
        raise UnusableRow("the answer is missing, so that no choice is the right one")
    index = find_choice(choices, key, from_one)
    if index is None:
        raise UnusableRow(f"the answer {str(key)[:_SHOWN_CHARACTERS]!r} is none of the {len(choices)} choices")
    if _NUMBER.fullmatch(str(key).strip()) and str(key).strip() not in [choice.label for choice in choices]:
        cells.note(f"the answer is the number of a choice, counted from {int(from_one)}")
    return _turns(question, choices, index, cells)


def choices_with_letters(choices: list[Choice]) -> list[Choice]:
    """Return choices with letters in place of their labels, if these are the flags that say which is right."""
    are_flags = all(FLAG_VALUES.get(choice.label.strip().lower()) is choice.is_right for choice in choices)
    letters = _letters(choices)
    return (
        [choice._replace(label=letter) for choice, letter in zip(choices, letters, strict=True)]
        if are_flags
        else choices
    )


def _right_choice(choices: list[Choice], cells: Cells) -> int:
    right = [index for index, choice in enumerate(choices) if choice.is_right]
    several = f"; {len(right)} are marked as right, and the first of them is used" if len(right) > 1 else ""
    cells.note(f"the choice whose flag marks it as right is used as the answer{several}")
    return right[0]


def _turns(question: str, choices: list[Choice], index: int, cells: Cells) -> list[Message]:
    blocks = [question, cells.text("context"), "\n".join(_lines(choices))]
    return [
        {"role": "user", "content": "\n\n".join(block for block in blocks if block.strip())},
        {"role": "assistant", "content": choices[index].text},
    ]


def _lines(choices: list[Choice]) -> list[str]:
    marks = [found[1].upper() if (found := _LETTERED.match(choice.text)) else "" for choice in choices]
    if marks == _letters(marks):
        return [choice.text for choice in choices]
    # The names of labels, as in Prodigy, are no letters or numbers in front of a text.
    names = [choice.label for choice in choices]
    labels = _letters(choices) if any(len(name) > _LONGEST_LABEL for name in names) else names
    return [f"{label}. {one.text}" for label, one in zip(labels, choices, strict=True) if one.text.strip()]
