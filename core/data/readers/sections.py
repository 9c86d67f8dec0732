"""Rows that hold a list of questions with their answers, such as the categories of an FAQ: each question is a row.

The turns of one conversation are no such list: the name of the list must say that it holds questions, and no item may
have a role or the number of a turn.
"""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from core.data.formats import columns as usual
from core.data.formats.columns import find_column
from core.data.readers.json_keys import TURN_KEYS, Note
from core.data.readers.lines import SourceRow

_LIST_NAMES = (
    "questions", "faqs", "faq", "qas", "qa", "qa_pairs", "qa_list", "question_answer_pairs", "questions_and_answers",
    "faq_items", "flashcards", "cards", "entries", "items", "quiz", "problems", "exercises",
)  # fmt: skip
_TURN_NUMBERS = frozenset(("turn", "turn_id", "turn_number", "turn_index"))
_PROMPTS = (*usual.PROMPT_NAMES, "front", "term", "title", "name")
_ANSWERS = (*usual.COMPLETION_NAMES, "back", "definition", "acceptedAnswer")
# Rows that must all be such sections.
_SAMPLE_ROWS = 20


def expand(rows: Iterator[SourceRow], note: Note) -> Iterator[SourceRow]:
    """Yield the questions of rows that are sections; other rows unchanged.

    Args:
        rows: The rows of a file.
        note: Callback for a sentence about the layout.
    """
    head = list(itertools.islice(rows, _SAMPLE_ROWS))
    names = {_list_name(found.row) for found in head if found.row is not None}
    name = names.pop() if len(names) == 1 else None
    rows = itertools.chain(head, rows)
    if name is None:
        yield from rows
        return
    note(
        f"each row holds questions with their answers in {name!r}; each of them is read as a row of its own, with the "
        "fields beside the list"
    )
    for found in rows:
        yield from _questions(found, name) if _list_name(found.row) == name else [found]


def _list_name(row: dict[str, Any] | None) -> str | None:
    """Return the field of a row with a list of questions, or None if the row is no section."""
    name = find_column(list(row), _LIST_NAMES) if row else None
    if row is None or name is None or not _are_questions(row[name]):
        return None
    is_flat = all(not isinstance(value, (list, dict)) or not value for other, value in row.items() if other != name)
    has_answer = find_column([other for other in row if other != name], usual.COMPLETION_NAMES)
    return name if is_flat and not has_answer else None


def _are_questions(value: Any) -> bool:
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return False
    return all(
        find_column(list(item), _PROMPTS)
        and find_column(list(item), _ANSWERS)
        and not (TURN_KEYS | _TURN_NUMBERS) & {str(key).lower() for key in item}
        for item in value
    )


def _questions(found: SourceRow, name: str) -> Iterator[SourceRow]:
    above = {key: value for key, value in (found.row or {}).items() if key != name}
    for item in (found.row or {})[name]:
        beside = {(f"{name}_{key}" if key in item else key): value for key, value in above.items()}
        row = beside | item
        yield found._replace(row=row, raw=json.dumps(row, ensure_ascii=False))
