"""Search for the rows of a JSON object whose keys are data: ids, categories, or the questions themselves."""

from collections.abc import Callable
from typing import Any

from core.data.formats.pair_names import LANGUAGES
from core.data.readers.header import has_known_name

# Pairs of split and row.
Rows = list[tuple[str | None, Any]]
Note = Callable[[str], None]
# A list whose elements have one of these fields is a conversation, not a list of rows.
TURN_KEYS = {"role", "from", "speaker", "sender"}
_MIN_ROWS = 3
# Share of the rows that have the fields of the first one.
_MIN_SHARE = 0.9
_QUESTION_ENDS = ("?", "？", "؟", ".", "!", ":")
_MIN_QUESTION_WORDS = 3


def rows_by_key(value: dict[str, Any], note: Note) -> Rows | None:
    """Return the rows in an object whose keys are data, or None.

    Args:
        value: The object.
        note: Callback for a sentence about the layout.
    """
    if has_known_name(list(value)):
        return None
    for find in (_by_id, _by_category, _by_question):
        if (found := find(value, note)) is not None:
            return found
    return None


def _are_alike(rows: list[Any]) -> bool:
    """Return whether rows are objects with the fields of the first one, which has content."""
    if not all(isinstance(row, dict) and row for row in rows) or TURN_KEYS & rows[0].keys():
        return False
    alike = sum(row.keys() == rows[0].keys() for row in rows)
    return alike >= _MIN_SHARE * len(rows) and len(rows[0]) > 1 and _has_content(rows[0])


def _has_content(row: dict[str, Any]) -> bool:
    """Return whether a row has a field of a known name, languages as fields, or messages as in the log of MultiWOZ."""
    # The keys of translations are languages.
    are_languages = all(name.lower().partition("-")[0] in LANGUAGES for name in row)
    return are_languages or has_known_name(list(row)) or any(map(_are_messages, row.values()))


def _are_messages(value: Any) -> bool:
    items = value if isinstance(value, list) else []
    return len(items) > 1 and all(isinstance(item, dict) and has_known_name(list(item)) for item in items)


def _with_key(row: dict[str, Any], key: str, name: str) -> dict[str, Any]:
    while name in row:
        name = f"{name}_key"
    return {name: key, **row}


def _by_id(value: dict[str, Any], note: Note) -> Rows | None:
    """Find the rows in {"q001": {"question": "x"}, "q002": {"question": "y"}}."""
    rows = list(value.values())
    are_ids = all(any(letter.isdigit() for letter in key) for key in value)
    if len(rows) < (2 if are_ids else _MIN_ROWS) or not _are_alike(rows):
        return None
    note("the file is an object of one object per row; their keys are read as the column 'id'")
    return [(None, _with_key(row, key, "id")) for key, row in value.items()]


def _by_category(value: dict[str, Any], note: Note) -> Rows | None:
    """Find the rows in {"billing": [{"question": "x"}], "login": [{"question": "y"}]}."""
    lists = list(value.values())
    if len(lists) < 2 or not all(isinstance(rows, list) and rows for rows in lists):
        return None
    if not _are_alike([row for rows in lists for row in rows]):
        return None
    note("the file is an object of lists of rows; the keys of the lists are read as the column 'category'")
    return [(None, _with_key(row, key, "category")) for key, rows in value.items() for row in rows]


def _by_question(value: dict[str, Any], note: Note) -> Rows | None:
    """Find the rows in {"Why is it so?": "Because.", "And now?": "Now not."}."""
    if len(value) < _MIN_ROWS or not all(map(_is_answer, value.values())):
        return None
    sentences = sum(map(_is_sentence, value))
    if sentences < _MIN_SHARE * len(value):
        return None
    note("the file is an object of questions and their answers; they are read as the columns 'question' and 'answer'")
    return [(None, {"question": key, "answer": answer}) for key, answer in value.items()]


def _is_sentence(key: str) -> bool:
    # Scripts without spaces have no words to count.
    return "？" in key or (key.rstrip().endswith(_QUESTION_ENDS) and len(key.split()) >= _MIN_QUESTION_WORDS)


def _is_answer(value: Any) -> bool:
    texts = value if isinstance(value, list) and value else [value]
    return all(isinstance(text, str) and text.strip() for text in texts)
