"""Columns of numbers that rate the answers, such as the helpfulness and correctness of HelpSteer2."""

from collections.abc import Iterator
from typing import Any

from core.data.formats.columns import name_words
from core.data.formats.proposal import Columns, Rows
from core.data.formats.values import is_missing, nested, number_of_text
from core.data.listing import list_some

# Words of the name of a rating. Those of the first set may count something else, such as votes, without a limit.
_UNLIMITED_WORDS = frozenset(("score", "scores", "overall", "grade", "grades", "stars"))
_MAX_RATING = 10
_WORDS = _UNLIMITED_WORDS | frozenset(
    ("rating", "ratings", "reward", "rewards", "quality", "helpfulness", "correctness", "coherence", "usefulness",
     "truthfulness", "honesty", "harmlessness", "accuracy", "relevance", "fluency", "faithfulness", "factuality",
     "groundedness", "likert", "satisfaction", "csat", "nps", "ces")
)  # fmt: skip
# Formats without answers, and those that choose the answers by a flag or a preference already.
_OTHER_FORMATS = ("text", "label", "preference", "rated", "multiple_choice", "tree")
_SHOWN = 4


def rating_doubt(rows: Rows, found: Columns, form: str, taken: set[str]) -> str:
    """Return the doubt that columns rate the answers, of which the bad ones would be trained on; "" where none does.

    Args:
        rows: The rows.
        found: Properties of the columns by name.
        form: The format of the reading.
        taken: Columns that the reading uses.
    """
    if form in _OTHER_FORMATS:
        return ""
    known = {name: numbers for column in found if column not in taken for name, numbers in _numbers(rows, column)}
    rated = {name: numbers for name, numbers in known.items() if _are_ratings(name, numbers, len(rows))}
    if not rated:
        return ""
    every = [number for numbers in rated.values() for number in numbers]
    return (
        f"{list_some(map(repr, rated), _SHOWN)} may rate the answers, from {min(every):g} to {max(every):g}, and "
        "those of a low rating would be trained on as well; choose this reading, and filter by these columns"
    )


def _are_ratings(name: str, numbers: list[float], rows: int) -> bool:
    """Return whether most rows have a number and these differ, within the limit of a rating if the name needs one."""
    if len(set(numbers)) < 2 or 2 * len(numbers) <= rows:
        return False
    is_certain = bool((_WORDS - _UNLIMITED_WORDS) & set(name_words(name)))
    return is_certain or max(map(abs, numbers)) <= _MAX_RATING


def _numbers(rows: Rows, column: str) -> Iterator[tuple[str, list[float]]]:
    """Yield the name and the numbers of a column of ratings, or of each field of ratings in a column of objects."""
    fields: dict[str, list[float]] = {}
    is_rating = bool(_WORDS & set(name_words(column)))
    for row in rows:
        value = nested(row.get(column))
        for name, part in _parts(column, value, is_rating):
            number = None if is_missing(part) or isinstance(part, bool) else number_of_text(_without_percent(part))
            if number is not None:
                fields.setdefault(name, []).append(number)
            elif not is_missing(part):
                # A column with texts is about something else.
                return
    yield from fields.items()


def _without_percent(value: Any) -> Any:
    return value.strip().removesuffix("%").rstrip() if isinstance(value, str) else value


def _parts(column: str, value: Any, is_rating: bool) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        rated = ((str(name), part) for name, part in value.items() if _WORDS & set(name_words(str(name))))
        yield from ((f"{column}.{name}", part) for name, part in rated if not isinstance(part, (dict, list)))
    elif is_rating and isinstance(value, list) and all(map(_is_named_score, value)):
        # The scores of a trace, as Langfuse writes them: [{"name": "helpful", "value": 1}].
        yield from ((f"{column}.{item['name']}", item["value"]) for item in value)
    elif is_rating and not isinstance(value, list):
        yield column, value


def _is_named_score(item: Any) -> bool:
    return isinstance(item, dict) and "name" in item and isinstance(item.get("value"), (int, float))
