"""The better one of several answers where another column says which it is.

Of two answers in columns, such as `answer_a` and `answer_b`, a third such as `labels` chooses one. Where that column
holds 1 or true, the answer in the column mapped to "chosen" is the better one; with 0, 2 or false it is the other one.
On a scale such as -3 to 3, mapped to "scale", it is the better one where the number is below zero.
A value such as "B" or "model_b" names the column with the same letter. Of a list of answers, a list of flags such as
`[false, true]` marks those that are right, and the first of these is used; a list of ratings such as `[2.5, 4]` names
the best one.
"""

import re
from collections.abc import Mapping

from core.data.formats.cells import Cells
from core.data.formats.conversation import UnusableRow
from core.data.formats.flag_answers import FLAG_VALUES
from core.data.formats.values import is_missing, nested, number_of_text

FIRST_VALUES, SECOND_VALUES = frozenset(("1", "1.0", "true", "yes")), frozenset(
    ("0", "0.0", "2", "2.0", "false", "no")
)  # fmt: skip
# Words of a value that chooses neither answer, or both.
_NEITHER = frozenset(("tie", "tied", "both", "neither", "none", "equal", "same", "draw", "not", "no"))
# Words of a column that rates one of two answers.
_SCORE_WORDS = frozenset(("score", "scores", "rating", "reward", "votes", "points", "likes", "quality", "overall"))
# Words of a list of statuses, one for each answer, as Argilla's: true for an answer that counts.
STATUS_VALUES = FLAG_VALUES | {
    "submitted": True, "completed": True, "accepted": True, "approved": True, "selected": True, "chosen": True,
    "valid": True, "discarded": False, "draft": False, "pending": False, "rejected": False, "cancelled": False,
    "canceled": False, "skipped": False, "declined": False, "deleted": False, "invalid": False,
}  # fmt: skip
_PART = re.compile(r"\d+|[^\W\d_]+")
_SHOWN_CHARACTERS = 40


def name_parts(name: str) -> list[str]:
    """Return the words and numbers of a name in lower case: those of "human_ref_A" are human, ref and a."""
    return [part.lower() for part in _PART.findall(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))]


def marks_of(name: str, other: str) -> tuple[str, str] | None:
    """Return the letters or numbers in which two names differ, if they differ in nothing else; otherwise None."""
    first, second = name_parts(name), name_parts(other)
    if len(first) != len(second) or len(first) < 2:
        return None
    different = [(one, two) for one, two in zip(first, second, strict=True) if one != two]
    if len(different) != 1 or not all(mark.isdigit() or len(mark) == 1 for mark in different[0]):
        return None
    return different[0]


def chooses_first(value: object, first: str, second: str) -> bool | None:
    """Return whether a value chooses the first of two columns; None if it chooses neither.

    Args:
        value: The value of the column that chooses.
        first: Name of the column that 1 and true choose.
        second: Name of the other column.
    """
    word = str(value).strip().lower()
    if word in FIRST_VALUES or word in SECOND_VALUES:
        return word in FIRST_VALUES
    number = number_of_text(value)
    if number is not None and (number < 0 or number != int(number)):
        return None
    marks, parts = marks_of(first, second), name_parts(str(value))
    if marks is None or _NEITHER & set(parts):
        return None
    if any(mark.isdigit() for mark in marks) != any(part.isdigit() for part in parts):
        return None
    named = [mark for mark in marks if mark in parts]
    return named[0] == marks[0] if len(named) == 1 else None


def other_score(name: str, first: str, second: str) -> str | None:
    """Return the column that rates the second of two answers, if `name` rates the first: score_1 of score_0.

    Args:
        name: The column.
        first: Column of the first answer, such as answer_0.
        second: Column of the second answer, such as answer_1.
    """
    marks = marks_of(first, second)
    if marks is None or not _SCORE_WORDS & set(name_parts(name)) or marks[0] not in name_parts(name):
        return None
    # The first of several equal letters may belong to a word.
    at = name.lower().rfind(marks[0])
    mark = marks[1].upper() if name[at].isupper() else marks[1]
    return f"{name[:at]}{mark}{name[at + len(marks[0]) :]}"


def better_answer(cells: Cells) -> tuple[object, object]:
    """Return the better and the worse answer of a row.

    Args:
        cells: The cells of a row whose reading maps the column that chooses.

    Raises:
        UnusableRow: The column that chooses is empty, or names neither of the two.
    """
    first, second = (cells.column(slot) or "" for slot in ("chosen", "rejected"))
    slot = "scale" if "scale" in cells.reading.columns else "choice"
    name, value = cells.reading.columns[slot], cells.get(slot)
    if is_missing(value):
        raise UnusableRow(f"{name!r} is empty, so that no answer is chosen")
    shown = str(value)[:_SHOWN_CHARACTERS]
    if (other := other_score(name, first, second)) and other in cells.row:
        cells.used.add(other)
        return _better_rated(cells, value, cells.row[other], (name, other))
    is_first = _is_below_zero(value) if slot == "scale" else chooses_first(value, first, second)
    if is_first is None:
        raise UnusableRow(f"{name!r} is {shown!r}, which chooses neither {first!r} nor {second!r}")
    cells.note(f"{name!r} is {shown}, so the answer in {first if is_first else second!r} is used")
    answers = cells.get("chosen"), cells.get("rejected")
    return answers if is_first else answers[::-1]


def _is_below_zero(value: object) -> bool | None:
    """Return whether a value of a scale from one answer to the other chooses the first; None in the middle."""
    number = number_of_text(value)
    return None if not number else number < 0


def _better_rated(cells: Cells, one: object, two: object, names: tuple[str, str]) -> tuple[object, object]:
    scores = number_of_text(one), number_of_text(two)
    if None in scores or scores[0] == scores[1]:
        raise UnusableRow(f"{names[0]!r} and {names[1]!r} rate neither answer higher ({one} and {two})")
    cells.note(f"{names[0]!r} is {one} and {names[1]!r} is {two}, so the better rated answer is used")
    answers = cells.get("chosen"), cells.get("rejected")
    return answers if (scores[0] or 0) > (scores[1] or 0) else answers[::-1]


def are_flags(value: object) -> bool:
    """Return whether a value is a list of flags, each true or false; None stands for neither."""
    return _are_words(value, FLAG_VALUES)


def are_statuses(value: object) -> bool:
    """Return whether a value is a list of words such as submitted and discarded; None stands for no status."""
    return _are_words(value, STATUS_VALUES) and not are_flags(value)


def is_discarded(value: object) -> bool:
    """Return whether a value is a list of statuses of which one says that its answer does not count."""
    return are_statuses(value) and any(STATUS_VALUES.get(_word(word)) is False for word in nested(value))


def are_marks(value: object) -> bool:
    """Return whether a value is a list of flags or of statuses."""
    return _are_words(value, STATUS_VALUES)


def _are_words(value: object, known: Mapping[str, bool]) -> bool:
    value = nested(value)
    return isinstance(value, list) and bool(value) and all(word is None or _word(word) in known for word in value)


def numbers_of(value: object) -> list[float]:
    """Return the numbers of a list, one for each answer; empty where one is none."""
    value = nested(value)
    numbers = [number_of_text(item) for item in value] if isinstance(value, list) else []
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else []


def is_rank(name: str) -> bool:
    """Return whether a column names the place of an answer, of which the lowest is the best."""
    return bool({"rank", "ranks", "ranking", "rankings"} & set(name_parts(name)))


def right_answer(cells: Cells) -> object:
    """Return the first answer of a list that is marked as right, or the best rated one.

    Args:
        cells: The cells of a row whose reading maps the column of flags.

    Raises:
        UnusableRow: No answer is marked as right, or there is not a flag for each.
    """
    name = cells.reading.columns["correct"]
    answers, flags = nested(cells.get("completion")), nested(cells.get("correct"))
    if is_missing(flags):
        raise UnusableRow(f"{name!r} is empty, so that no answer is marked as right")
    if not isinstance(answers, list) or not isinstance(flags, list) or len(answers) != len(flags):
        raise UnusableRow(f"completion and {name!r} are no lists of the same length; expected a flag for each answer")
    if (is_rank(name) or not are_marks(flags)) and (numbers := numbers_of(flags)):
        best = (min if is_rank(name) else max)(range(len(numbers)), key=lambda index: numbers[index])
        cells.note(f"completion is a list of answers; the one with the best number in {name!r} is used")
        return answers[best]
    right = next((answer for answer, flag in zip(answers, flags, strict=True) if STATUS_VALUES.get(_word(flag))), None)
    if right is None:
        raise UnusableRow(f"{name!r} marks none of the answers as right")
    if len(answers) > 1:
        cells.note(f"completion is a list of answers; the first that {name!r} marks as right is used")
    return right


def _word(value: object) -> str:
    return str(value).strip().lower()
