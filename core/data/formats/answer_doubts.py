"""Values beside or inside the answers that say that another text is the better answer, or that an answer is bad."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from core.data.formats.answer_choice import are_marks, is_discarded, numbers_of
from core.data.formats.api_bodies import failed_reason
from core.data.formats.columns import find_column, name_words
from core.data.formats.conversation import usual_role
from core.data.formats.doubts import holds, second_answers
from core.data.formats.proposal import Columns, Rows, count_filled
from core.data.formats.turns import CONTENT_KEYS, ROLE_KEYS, is_conversation, pair_keys
from core.data.formats.values import is_missing, nested

# Columns of the right answer beside the one that a model gave.
REFERENCE_NAMES = (
    "reference", "references", "ground_truth", "ground_truths", "gold", "ideal", "expected", "human_reference",
)  # fmt: skip
# Columns with one value for each answer of a list.
_RANK_NAMES = ("rank", "ranks", "ranking", "rankings", "score", "scores", "rating", "ratings", "votes", "preferences")
# Words of a column with one flag for each answer of a list, true for one that is right.
_RIGHT_WORDS = frozenset(
    ("correct", "correctness", "right", "valid", "verified", "verify", "pass", "passed", "passes", "success", "solved",
     "accepted", "good", "label", "labels", "score", "scores", "reward", "rewards", "matches", "match", "true")
)  # fmt: skip
_STATUS_NAMES = ("status", "state", "outcome", "result", "finish_reason", "stop_reason")
# Columns of the status of an HTTP response, which is a failure from 400 on.
_HTTP_NAMES = ("status", "status_code", "http_status", "http_status_code", "http_code", "response_status",
               "response_code", "response_status_code")  # fmt: skip
_HTTP_FAILURE = re.compile(r"[45]\d\d(?:\.0)?(?: [a-z].*)?")
_FAILED_WORDS = frozenset(
    ("error", "errored", "failed", "failure", "timeout", "timed_out", "length", "max_tokens", "content_filter",
     "truncated", "incomplete", "aborted", "cancelled", "canceled", "refused")
)  # fmt: skip
_ERROR_NAMES = ("error", "errors", "error_message", "exception")
# Fields of a turn whose text replaces its content, and those that judge it.
_EDIT_NAMES = (
    "edited_content", "edited_text", "edited", "edit", "corrected_content", "corrected_text", "correction", "corrected",
    "revised_content", "revised", "revision", "rewritten", "improved",
)  # fmt: skip
_VERDICT_NAMES = ("feedback", "rating", "thumbs", "vote", "reaction", "judgment", "verdict", "label", "quality")
_BAD_WORDS = frozenset(
    ("bad", "thumbs_down", "thumbsdown", "thumbs-down", "dislike", "disliked", "negative", "down", "downvote", "-1",
     "rejected", "incorrect", "wrong", "poor", "👎")
)  # fmt: skip


def other_answers(rows: Rows, found: Columns, answer: str) -> list[str]:
    """Return the other columns that may hold the answer, without copies or parts of the one in `answer`."""
    return second_answers(rows, found, answer) + [
        name
        for name in found
        if name != answer
        and find_column([name], REFERENCE_NAMES)
        and found[name].kind in ("prose", "short")
        and not holds(rows, answer, name)
    ]


def right_columns(rows: Rows, found: Columns, answer: str) -> list[str]:
    """Return the columns with a flag for each of several answers that is true for a right one, the fullest first."""
    several = any(_size(row.get(answer)) > 1 for row in rows)
    named = [name for name in found if name != answer and _is_right(rows, name, several)]
    counts = {
        name: sum(_size(row[name]) == _size(row.get(answer)) for row in rows if are_marks(row.get(name)))
        for name in named
    }
    filled = [name for name in named if 2 * counts[name] > count_filled(rows, answer, lambda value: True)]
    return sorted(filled, key=lambda name: -counts[name])


def _is_right(rows: Rows, name: str, several: bool) -> bool:
    """Return whether a column may mark right answers; one of statuses, such as discarded, also for one answer."""
    if any(is_discarded(row.get(name)) for row in rows):
        return True
    return several and bool(_RIGHT_WORDS & set(name_words(name)))


def rating_columns(rows: Rows, found: Columns, answer: str) -> list[str]:
    """Return the columns with a number for each of several answers, such as their ratings, that differ in any row."""
    columns = []
    for name in found:
        if name == answer or not find_column([name], _RANK_NAMES):
            continue
        lists = [(numbers_of(row.get(name)), _size(row.get(answer))) for row in rows]
        both = [numbers for numbers, size in lists if size > 1 and len(numbers) == size]
        if any(len(set(numbers)) > 1 for numbers in both) and 2 * len(both) > sum(size > 1 for _, size in lists):
            columns.append(name)
    return columns


def rank_doubt(rows: Rows, found: Columns, answer: str) -> str:
    """Return the doubt that another column ranks the answers of a list; "" where there is none."""
    if right := right_columns(rows, found, answer):
        return (
            f"{right[0]!r} may say which of the answers in {answer!r} are right; choose the reading that uses the "
            "first of these, or the one that uses the first of all"
        )
    if rated := rating_columns(rows, found, answer):
        return (
            f"{rated[0]!r} may say which of the answers in {answer!r} is the best; choose the reading that uses it, or "
            "the one that uses the first answer of each list"
        )
    for name in found:
        if name == answer or not find_column([name], _RANK_NAMES):
            continue
        both = sum(_size(row.get(name)) == _size(row.get(answer)) > 1 for row in rows)
        if 2 * both > count_filled(rows, answer, lambda value: True):
            return (
                f"{name!r} may say which of the answers in {answer!r} is the best, and the first would be used; "
                "put the text of the best one into a column of its own"
            )
    return ""


def _size(value: Any) -> int:
    value = nested(value)
    return len(value) if isinstance(value, list) else 0


def history_column(rows: Rows, names: Iterable[str], answer: str | None) -> str | None:
    """Return a column that holds the turns before the question in some row, and does not just repeat the answer.

    Args:
        rows: The rows.
        names: Columns that nothing reads.
        answer: The column of the answers.
    """
    for name in names:
        filled = [row for row in rows if not is_missing(row.get(name))]
        is_named = "history" in name_words(name) and any(isinstance(row[name], (str, list)) for row in filled)
        if not is_named and not any(_is_talk(row[name]) for row in filled):
            continue
        copies = sum(_spelled(row.get(answer))[1:-1].strip() in _spelled(nested(row[name])) for row in filled)
        if 2 * copies <= len(filled):
            return name
    return None


def _is_talk(value: Any) -> bool:
    """Return whether a value is more than one turn: a single one may repeat the question."""
    return is_conversation(value) and (len(turns := nested(value)) > 1 or pair_keys(turns[0]) is not None)


def _spelled(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def failure_doubt(rows: Rows, found: Columns, taken: Iterable[str | None]) -> str:
    """Return the doubt that a column marks answers that failed or were cut; "" where there is none."""
    for name in found:
        reasons = [reason for row in rows if (reason := failed_reason(nested(row.get(name))))]
        if reasons:
            return f"{name!r} holds answers that were cut or refused ({reasons[0]!r}); leave such rows out"
        if name in set(taken):
            continue
        values = {str(row[name]).strip().lower() for row in rows if name in row and not is_missing(row[name])}
        failed = sorted(values & _FAILED_WORDS) if find_column([name], _STATUS_NAMES) else []
        if find_column([name], _HTTP_NAMES):
            failed += sorted(filter(_HTTP_FAILURE.fullmatch, values))
        filled = count_filled(rows, name, lambda value: value is not False)
        if failed or (find_column([name], _ERROR_NAMES) and 0 < filled < len(rows)):
            shown = f" ({failed[0]!r})" if failed else ""
            return f"{name!r} may mark answers that failed{shown}; leave such rows out"
    return ""


def turn_doubt(rows: Rows, turns: str) -> str:
    """Return the doubt that the answers in a list of turns are not the ones to train on; "" where there is none.

    An answer may be a list of several ones, have an edited text beside it, or be judged as bad.
    """
    several = 0
    for row in rows:
        for turn in _answers(row.get(turns)):
            content = next((turn[key] for key in CONTENT_KEYS if key in turn), None)
            several += isinstance(content, list) and len(content) > 1 and all(isinstance(t, str) for t in content)
            for key, value in turn.items():
                if is_missing(value):
                    continue
                if find_column([key], _EDIT_NAMES) and isinstance(value, str) and value != content:
                    return f"the field {key!r} of the turns in {turns!r} may be the better text; put it in place"
                if find_column([key], _VERDICT_NAMES) and _BAD_WORDS & set(_words(value)):
                    return f"the field {key!r} of the turns in {turns!r} says which answers are bad; leave these out"
    if several and 2 * several >= len(rows):
        return f"answers in {turns!r} are lists of texts, which may be several answers or the parts of one"
    return ""


def _answers(value: Any) -> Iterator[dict[str, Any]]:
    value = nested(value)
    for turn in value if isinstance(value, list) else []:
        role = next((turn[key] for key in ROLE_KEYS if key in turn), None) if isinstance(turn, dict) else None
        if isinstance(role, str) and usual_role(role.lower()) == "assistant":
            yield turn


def _words(value: Any) -> Iterator[str]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    yield from (str(part).strip().lower() for part in parts)
