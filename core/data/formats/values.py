"""Cell values as text: what counts as missing, conversations that lie inside a text cell, and values of other types.

Nothing is dropped here in silence: a function that changes a value adds a sentence to the row's notes.
"""

import ast
import json
import math
import re
from collections.abc import Callable
from typing import Any

from core.data.depth import is_too_deep
from core.data.formats.conversation import UnusableRow

Note = Callable[[str], None]

# Spellings of "nothing" in columns that may be left out: JSON's, Python's and pandas'.
_MISSING_WORDS = {"", "null", "none", "nan", "<na>", "{}", "[]", "<noinput>"}
# Spellings of "nothing" that are noted where they stand for an answer, which may really be "None".
_EMPTY_ANSWERS = {"null", "none", "nan", "<na>", "n/a", "#n/a", "na", "-"}
_LONGEST_LITERAL = 4 * 2**20  # characters that `ast` is given; a longer cell is read as JSON only
# pandas writes a NumPy array of dicts without commas: "[{...}\n {...}]". A line end inside a repr'd string is escaped.
_NUMPY_JOIN = re.compile(r"\}\s*\n\s*\{")
_NUMPY_ARRAY = re.compile(r"\barray\(\[|\],\s*dtype=\w+\)")


def is_absent(value: Any) -> bool:
    """Return whether there is no value at all: None or NaN. The text "none" is a value, such as a label."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_missing(value: Any) -> bool:
    """Return whether a value says "nothing here": None, NaN, an empty list or object, or a spelling of these."""
    if is_absent(value):
        return True
    if isinstance(value, str):
        return value.strip().lower() in _MISSING_WORDS
    if not isinstance(value, (list, tuple, dict)):
        return False
    # Inside a list or an object a word such as "none" is text. No nested calls: values may be nested deeper than calls.
    waiting: list[Any] = [value]
    while waiting:
        container = waiting.pop()
        for item in container.values() if isinstance(container, dict) else container:
            if isinstance(item, (list, tuple, dict)):
                waiting.append(item)
            elif not (is_absent(item) or item == ""):
                return False
    return True


def nested(value: Any) -> Any:
    """Return the list or object that a text cell spells, as JSON or as a Python literal; `value` itself otherwise.

    Only text that begins like a list of turns, of pairs or of texts, or like an object, is tried.
    """
    if not isinstance(value, str):
        return value
    text = value.strip().removeprefix("\ufeff")
    if not text or text[0] not in "[{a" or text[-1] not in "]})":
        return value
    for parse in (json.loads, _python_literal):
        try:
            found = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, (list, dict)) and not is_too_deep(found):
            return found
    return value


def _python_literal(text: str) -> Any:
    """Evaluate a Python literal as pandas writes lists and dicts into a CSV cell.

    Raises:
        ValueError, SyntaxError, RecursionError, MemoryError: the text is no literal, or too long to be tried.
    """
    if len(text) > _LONGEST_LITERAL:
        raise ValueError("too long")
    if "array(" in text:
        text = _NUMPY_ARRAY.sub(lambda found: "[" if found[0].startswith("array") else "]", text)
    return ast.literal_eval(_NUMPY_JOIN.sub("},{", text))


def text_of(value: Any, name: str, note: Note) -> str:
    """Return a value as text.

    Args:
        value: text, a number, a flag, or a list or object, which is written as JSON.
        name: what the value is, for notes and reasons ("instruction", "the user turn").
        note: takes a sentence about a value that was not text.

    Raises:
        UnusableRow: there is no value.
    """
    if is_absent(value):
        raise UnusableRow(f"{name} is empty")
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, str) for item in value):
        if len(value) > 1:
            note(f"{name} is a list of texts; they are joined by line ends")
        return "\n".join(value)
    kind = _KINDS.get(type(value), "an object")
    note(f"{name} is {kind}; it is written as text")
    return json.dumps(value, ensure_ascii=False)


_KINDS = {bool: "a flag", int: "a number", float: "a number", list: "a list", tuple: "a list", dict: "an object"}


def optional_text(value: Any, name: str, note: Note) -> str:
    """Return the text of a value that a row may lack: "" where it is missing, however that is spelled."""
    if is_missing(value):
        if isinstance(value, str) and value.strip():
            note(f"{name} {value.strip()!r} is read as empty")
        return ""
    return text_of(value, name, note)


def answer_of(value: Any, name: str, note: Note) -> str:
    """Return the answer in a value. Of a list of accepted answers, as SQuAD and Natural Instructions have, the first.

    Raises:
        UnusableRow: there is no value.
    """
    if isinstance(value, dict) and isinstance(value.get("text"), (list, tuple)):
        unused = [key for key in value if key != "text" and not is_missing(value[key])]
        for key in unused:
            note(f"the field {str(key)!r} of {name} is not used")
        value = value["text"]
        if not value:
            raise UnusableRow(f"{name} is empty")
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, str) for item in value):
        if len(set(value)) > 1:
            note(f"{name} is a list of answers; the first is used")
        return value[0]
    if isinstance(value, str) and value.strip().lower() in _EMPTY_ANSWERS:
        note(f"{name} is {value.strip()!r}, which may stand for no answer; it is read as text")
    return text_of(value, name, note)
