"""Conversion of cell values to text: missing values, lists inside a text cell, values of other types.

No value is changed silently: a function that changes one adds a sentence to the notes of the row.
"""

import ast
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from core.data.depth import is_too_deep
from core.data.formats.conversation import UnusableRow

Note = Callable[[str], None]

# Spellings of "no value" in optional columns: those of JSON, Python, pandas and databases (\N), and Alpaca's <noinput>.
_MISSING_WORDS = {"", "null", "none", "nan", "<na>", "{}", "[]", "<noinput>", r"\n"}
# Spellings of "nothing" that are noted where they stand for an answer, which may really be "None": those above, and
# those of spreadsheets, of deleted posts and of people who leave a cell for later.
_EMPTY_ANSWERS = _MISSING_WORDS - {"", "{}", "[]"} | {
    "n/a", "#n/a", "na", "-", "--", "---", "—", ".", "...", "…", "?", "??", "???", "nil", "undefined", "missing",
    "blank", "empty", "(blank)", "(empty)", "(null)", "(none)", "(leer)", "[blank]", "[empty]", "[null]", "[none]",
    "<null>", "<none>", "<empty>", "<blank>", "[deleted]", "[removed]", "<deleted>", "<removed>", "(deleted)",
    "(removed)", "[deleted by user]", "[removed by moderator]", "tbd", "tba", "tbc", "todo", "to do", "fixme", "xxx",
    "to be determined", "to be done", "[object object]", "no answer", "placeholder", "lorem ipsum", "no data",
    "no answer present", "no answer present.", "unanswerable", "[unanswerable]", "cannotanswer", "not answerable",
}  # fmt: skip
# Errors of Excel, LibreOffice and Google Sheets in any language: #REF!, #DIV/0!, #NAME?, #BEZUG!, #NV, Err:502.
_SPREADSHEET_ERROR = re.compile(r"#[^\W_]+(?:[/_ ][^\W_]+)?[!?]|#n/a|#nv|#nd|#error|err:\d+", re.IGNORECASE)
# A comma is the decimal sign of most of Europe; with a point beside it, it separates thousands.
_PLAIN_NUMBER = re.compile(r"[+-]?\d{1,30}(?:[.,]\d{1,30})?(?:[eE][+-]?\d{1,3})?")
# `ast` needs many times the memory of the text, so a longer cell is parsed as JSON only.
_MAX_LITERAL_CHARACTERS = 4 * 2**20
# pandas writes a NumPy array of dicts without commas: "[{...}\n {...}]". A line end inside a repr'd string is escaped.
_NUMPY_JOIN = re.compile(r"\}\s*\n\s*\{")
# NumPy writes an array of texts as "['one' 'two']", which Python would read as a single text. Every text is matched, so
# that no match begins at the quote that ends one.
_NUMPY_TEXTS = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(\s+(?=['"]))?""")
_NUMPY_ARRAY = re.compile(r"\barray\(\[|\],\s*dtype=\w+\)")

# Fields of an object of lists that hold the speakers and the texts of turns.
_LISTED_ROLES = ("role", "from", "speaker", "sender", "author")
_LISTED_TEXTS = ("content", "value", "text", "utterance", "message")


def is_absent(value: Any) -> bool:
    """Return whether a value is None or NaN; the text "none" is a value, for example a label."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, an empty list or object, or a text that spells one of these."""
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
    """Return the list or object that a text spells as JSON or as a Python literal; any other value unchanged.

    Only text that begins and ends like a list, an object or a NumPy array is parsed, which keeps prose cheap. An object
    of lists that holds turns is returned as a list of turns.
    """
    if not isinstance(value, str):
        return _turns_of_lists(value) if isinstance(value, dict) else value
    text = value.strip().removeprefix("\ufeff")
    if not text or text[0] not in "[{a" or text[-1] not in "]})":
        return value
    for parse in (json.loads, _python_literal):
        try:
            found = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, (list, dict)) and not is_too_deep(found):
            return _turns_of_lists(found) if isinstance(found, dict) else found
    return value


def _turns_of_lists(value: dict[str, Any]) -> Any:
    """Return the turns in an object of lists, as `datasets` stores a sequence of objects; other objects unchanged.

    {"role": ["user", "assistant"], "content": ["Why?", "So."]} holds two turns.
    """
    role = next((name for name in _LISTED_ROLES if name in value), None)
    content = next((name for name in _LISTED_TEXTS if name in value), None)
    if role is None or content is None or not all(isinstance(items, list) for items in value.values()):
        return value
    if not value[role] or not all(isinstance(name, str) for name in value[role]):
        return value
    if len({len(items) for items in value.values()}) != 1:
        return value
    return [dict(zip(value, items, strict=True)) for items in zip(*value.values(), strict=True)]


def unfold(row: Mapping[str, Any], names: Iterable[str]) -> Mapping[str, Any]:
    """Return a row in which the fields of an object are columns, if one of `names` is such a field.

    Args:
        row: Values by column name.
        names: Columns, and fields such as "answer.value" of the objects in the column "answer", at any depth.
    """
    for name in names:
        while name not in row:
            ends = [index for index, character in enumerate(name) if character == "." and name[:index] in row]
            value = nested(row[name[: ends[-1]]]) if ends else None
            if not isinstance(value, dict) or not value:
                break
            whole = name[: ends[-1]]
            row = {
                column: content
                for key, cell in row.items()
                for column, content in (
                    ((f"{whole}.{field}", part) for field, part in value.items()) if key == whole else ((key, cell),)
                )
            }
    return row


def is_named(name: str, columns: Collection[str]) -> bool:
    """Return whether a name is a column, or that of a field such as "answer.value" of the objects in one."""
    parts = name.split(".")
    return any(".".join(parts[:count]) in columns for count in range(len(parts), 0, -1))


def _python_literal(text: str) -> Any:
    """Evaluate a Python literal such as pandas writes for lists and dicts in a CSV cell.

    Raises:
        ValueError: The text is not a literal or too long. `ast` also raises SyntaxError, RecursionError, MemoryError.
    """
    if len(text) > _MAX_LITERAL_CHARACTERS:
        raise ValueError("too long")
    if "array(" in text:
        text = _NUMPY_ARRAY.sub(lambda found: "[" if found[0].startswith("array") else "]", text)
    if "[" in text:
        text = _NUMPY_TEXTS.sub(lambda found: f"{found[1]}," if found[2] else found[1], text)
    return ast.literal_eval(_NUMPY_JOIN.sub("},{", text))


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, str) for item in value)


def join_texts(texts: Sequence[str], name: str, note: Note) -> str:
    """Return texts joined by empty lines, except where one of them ends or begins with a space of its own.

    Args:
        texts: The texts, such as the paragraphs of an answer.
        name: What holds them, in notes.
        note: Callback for one sentence if there are several.
    """
    texts = [text for text in texts if text]
    if len(texts) < 2:
        return "".join(texts)
    note(f"{name} is a list of texts; they are joined by empty lines")
    joined = texts[0]
    for text in texts[1:]:
        joined += text if joined[-1].isspace() or text[0].isspace() else f"\n\n{text}"
    return joined


def text_of(value: Any, name: str, note: Note) -> str:
    """Return a value as text.

    Args:
        value: Text, a number, a boolean, or a list or object, which is written as JSON.
        name: Name of the value in notes and reasons ("instruction", "the user turn").
        note: Callback for one sentence about a value that was not text.

    Raises:
        UnusableRow: There is no value.
    """
    # The text "none" is text, but an empty list, or one of nothing but empty values, is no answer "[]".
    if not isinstance(value, str) and is_missing(value):
        raise UnusableRow(f"{name} is empty")
    if isinstance(value, str):
        return value
    if _is_list_of_texts(value):
        if len(value) > 1:
            note(f"{name} is a list of texts; they are joined by line ends")
        return "\n".join(value)
    kind = _KINDS.get(type(value), "an object")
    note(f"{name} is {kind}; it is written as text")
    return json.dumps(value, ensure_ascii=False)


_KINDS = {bool: "a flag", int: "a number", float: "a number", list: "a list", tuple: "a list", dict: "an object"}


def optional_text(value: Any, name: str, note: Note) -> str:
    """Return the text of an optional value; "" for every spelling of a missing value."""
    if is_missing(value):
        if isinstance(value, str) and value.strip():
            note(f"{name} {value.strip()!r} is read as empty")
        return ""
    return text_of(value, name, note)


def number_of_text(value: Any) -> float | None:
    """Return the number that a value is or spells, also with a decimal comma such as "0,5"; None for anything else."""
    if isinstance(value, (int, float)):
        return float(value)
    text = value.strip() if isinstance(value, str) else ""
    return float(text.replace(",", ".")) if _PLAIN_NUMBER.fullmatch(text) else None


def is_empty_answer(value: Any) -> bool:
    """Return whether an answer is nothing but a word such as "NULL", "TBD" or "[deleted]", or a spreadsheet's error."""
    text = value.strip() if isinstance(value, str) else ""
    return text.lower() in _EMPTY_ANSWERS or bool(_SPREADSHEET_ERROR.fullmatch(text))


def note_empty_answer(value: Any, name: str, note: Note) -> None:
    """Note an answer that is nothing but a word for no answer, or an error of a spreadsheet."""
    if is_empty_answer(value):
        note(f"{name} is {value.strip()!r}, which may stand for no answer; it is read as text")


def answer_of(value: Any, name: str, note: Note) -> str:
    """Return the answer in a value; of a list of accepted answers (SQuAD, Natural Instructions), the first.

    Args:
        value: Text, a list of accepted answers, or SQuAD's object with the list under "text".
        name: Name of the value in notes and reasons.
        note: Callback for one sentence about whatever is not used.

    Raises:
        UnusableRow: There is no value.
    """
    if not isinstance(value, str) and is_missing(value):
        raise UnusableRow(f"{name} is empty")
    if isinstance(value, dict) and isinstance(value.get("text"), (list, tuple)):
        unused = [key for key in value if key != "text" and not is_missing(value[key])]
        for key in unused:
            note(f"the field {str(key)!r} of {name} is not used")
        value = value["text"]
        if not value:
            raise UnusableRow(f"{name} is empty")
    if _is_list_of_texts(value):
        if len(set(value)) > 1:
            note(f"{name} is a list of answers; the first is used")
        note_empty_answer(value[0], name, note)
        return value[0]
    note_empty_answer(value, name, note)
    # A list of words that pandas wrote into a CSV file, or an answer in JSON: the text does not show which.
    if isinstance(value, str) and _is_list_of_texts(nested(value)):
        note(f"{name} is a list of texts written as text; brackets and quotes are trained as they are")
    return text_of(value, name, note)
