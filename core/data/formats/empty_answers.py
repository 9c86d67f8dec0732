"""Columns of answers that are mostly words for no answer, such as "None" or "N/A", and names of wrong answers.

UltraFeedback has the columns `correct_answers` and `incorrect_answers`, which are ["None"] in nearly all of its rows.
"""

from typing import Any

from core.data.formats.columns import name_words
from core.data.formats.proposal import Rows
from core.data.formats.values import is_absent, is_empty_answer, nested
from core.data.listing import of_first_rows

# Words in the name of a column of wrong answers, which must not be trained on.
_WRONG_WORDS = frozenset(
    ("incorrect", "wrong", "bad", "negative", "negatives", "neg", "negs", "rejected", "false", "distractor",
     "distractors", "hallucinated")
)  # fmt: skip
# A column with more such words than this share of its answers holds hardly any.
_NEARLY_ALL = 0.8


def is_wrong_name(name: str) -> bool:
    """Return whether a column is named as one of wrong answers: `incorrect_answers`, `bad_response`."""
    return bool(_WRONG_WORDS & set(name_words(name)))


def has_no_answers(rows: Rows, name: str) -> bool:
    """Return whether nearly all answers of a column are words for no answer."""
    answers = _answers(rows, name)
    return bool(answers) and sum(map(is_empty_answer, answers)) >= _NEARLY_ALL * len(answers)


def empty_answers_doubt(rows: Rows, name: str) -> str:
    """Return the doubt that most answers of a column are words for no answer; "" where few are."""
    answers = _answers(rows, name)
    empty = [answer for answer in answers if is_empty_answer(answer)]
    if 2 * len(empty) <= len(answers):
        return ""
    return (
        f"{name!r} is {empty[0].strip()!r} or the like in {of_first_rows(len(empty), len(rows))}, which may stand "
        "for no answer; choose another column, or leave such rows out"
    )


def _answers(rows: Rows, name: str) -> list[Any]:
    """Return the answers of a column: its values, or the first one of each list."""
    values = [nested(row[name]) for row in rows if name in row and not is_absent(row[name])]
    return [value[0] if isinstance(value, list) and value else value for value in values if value not in ("", [])]
