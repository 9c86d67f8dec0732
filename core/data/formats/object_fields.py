"""Fields of objects as columns of their own, such as "translation.en".

A reading that names a field sees each field of the objects in that column as a column (`values.unfold`).
"""

from collections.abc import Iterable, Iterator
from itertools import permutations
from typing import Any

from core.data.formats.answer_lists import is_answer_list
from core.data.formats.api_bodies import is_request, is_response
from core.data.formats.columns import TEXT_NAMES, Row, find_column, profile
from core.data.formats.conversation import usual_role
from core.data.formats.envelopes import find_call, find_text, holds_answer, spelled_envelope
from core.data.formats.html_twins import html_twins
from core.data.formats.proposal import QUESTION_NAMES, Columns, Rows
from core.data.formats.turns import is_conversation
from core.data.formats.values import is_missing, nested, unfold

# Fields of an object that hold its text, the likeliest first.
_TEXT_FIELDS = (
    "value", "text", "full_text", "content", "body", "answer", "response", "output", "completion", "reply", "question",
    "query", "prompt", "short_answer", "long_answer",
)  # fmt: skip
# An object of more texts than this is hardly a question and its answer.
_MOST_TEXTS = 3
# In at least this many rows, the same text is no accident.
_MIN_VARIED = 3


def unfolded(rows: Rows, names: Iterable[str]) -> tuple[list[Row], Columns]:
    """Return rows with the fields in `names` as columns, and the properties of their columns."""
    wanted = tuple(names)
    found = [unfold(row, wanted) for row in rows]
    return found, profile(found)


def text_field(rows: Rows, name: str) -> str | None:
    """Return the field that holds the text of the objects in a column: one of a usual name, or the only text."""
    fields = _text_fields(rows, name)
    usual = find_column(fields, _TEXT_FIELDS)
    return usual or (fields[0] if len(fields) == 1 else None)


def field_pairs(rows: Rows, found: Columns) -> Iterator[tuple[str, str, str]]:
    """Yield the column of objects with two fields of text that may be a question and its answer, in each order.

    If there are other columns of text, an object is about these, and nothing is yielded.
    """
    texts = [name for name, column in found.items() if column.kind in ("prose", "short")]
    for name in found:
        fields = _text_fields(rows, name) if not set(texts) - {name} else []
        if 2 <= len(fields) <= _MOST_TEXTS:
            yield from ((name, first, second) for first, second in permutations(fields, 2))


def common_fields(rows: Rows, prompt: str, answer: str) -> list[str]:
    """Return the fields of text that the objects of a question and an answer have in common, such as languages."""
    answers = _text_fields(rows, answer)
    fields = [field for field in _text_fields(rows, prompt) if field in answers]
    return fields if len(fields) > 1 else []


def annotated_texts(rows: Rows, found: Columns) -> Iterator[tuple[str, str]]:
    """Yield a field of text beside a column whose objects hold one certain text, as in an export of Label Studio."""
    answers = [name for name in found if found[name].kind == "nested" and holds_answer(rows, name)]
    # The same tag in every row is no answer.
    answers = [name for name in answers if len(rows) < _MIN_VARIED or not _are_equal(rows, name)]
    for answer in answers:
        for name in found:
            fields = _text_fields(rows, name) if name not in answers else []
            # A field of a usual name first.
            usual = find_column(fields, (*QUESTION_NAMES, *TEXT_NAMES))
            yield from ((f"{name}.{field}", answer) for field in sorted(fields, key=lambda one: one != usual))


def _are_equal(rows: Rows, name: str) -> bool:
    return len({find_text(value) for value in _present(rows, name)}) == 1


def objects_doubt(rows: Rows, name: str) -> str:
    """Return the doubt that the texts of a column are objects with texts, or lists, written as JSON; "" if not."""
    fields = _text_fields(rows, name)
    if len(fields) > 1:
        return f"{name!r} holds objects with the texts {' and '.join(map(repr, fields[:2]))}"
    return f"{name!r} holds lists or objects, written as JSON or in Python" if spells_json(rows, name) else ""


def spells_json(rows: Rows, name: str) -> bool:
    """Return whether most values of a column are texts that spell a list or an object."""
    values = _present(rows, name)
    return 2 * sum(isinstance(value, str) and not isinstance(nested(value), str) for value in values) > len(values)


def _text_fields(rows: Rows, name: str) -> list[str]:
    """Return the fields that hold a text in most of the objects of a column; none where it holds other values, too."""
    values = [nested(row[name]) for row in rows if name in row and not is_missing(row[name])]
    if not values or not all(isinstance(value, dict) for value in values):
        return []
    rows_of_fields: list[Row] = [{str(key): part for key, part in value.items()} for value in values]
    found = profile(rows_of_fields)
    twins = html_twins(rows_of_fields, found)
    texts = [field for field, column in found.items() if column.kind in ("prose", "short") and field not in twins]
    return [
        field
        for field in texts
        if 2 * sum(isinstance(row.get(field), str) and not is_missing(row[field]) for row in rows_of_fields)
        > len(values)
    ]


def object_doubt(rows: Rows, found: Columns, prompt: str, answer: str) -> str:
    """Return the doubt that a question or an answer is a field of an object, or one of a list; "" if not."""
    if is_object(rows, found, prompt):
        return f"{prompt!r} holds objects, of which one field may be the question{_use(rows, prompt)}"
    values = _present(rows, answer)
    if any(is_answer_list(value, usual_role) for value in values):
        return f"{answer!r} holds lists of answers, of which the accepted or best rated one would be used"
    if is_object(rows, found, answer, prompt):
        return f"{answer!r} holds objects, of which one field may be the answer{_use(rows, answer)}"
    return ""


def is_object(rows: Rows, found: Columns, name: str, prompt: str | None = None) -> bool:
    """Return whether a column of questions, or of answers, holds objects that no format reads as such.

    Args:
        rows: The rows.
        found: Properties of the columns by name.
        name: The column.
        prompt: The column of the questions, if `name` holds answers.
    """
    test = _is_asked if prompt is None else _is_answer
    if found[name].kind == "nested":
        return not all(map(test, _present(rows, name)))
    if not spells_objects(rows, name):
        return False
    if prompt and not spells_objects(rows, prompt) and all(spelled_envelope(v) is v for v in _present(rows, name)):
        # JSON in a text may be the answer to learn.
        return False
    return not all(test(nested(value)) for value in _present(rows, name))


def spells_objects(rows: Rows, name: str) -> bool:
    """Return whether each value of a column is an object, or a text that spells one."""
    values = _present(rows, name)
    return bool(values) and all(isinstance(nested(value), dict) for value in values)


def _use(rows: Rows, name: str) -> str:
    """Return how objects would be read, for a doubt."""
    value = next((nested(value) for value in _present(rows, name)), None)
    if found := find_text(value) or find_call(value):
        return f"; {found[0]} would be used"
    if field := text_field(rows, name):
        return f"; a reading with the field {field!r} is offered, and one that writes the object as JSON"
    return "" if _has_turns(value) else "; they would be written as JSON; put the text into a column of its own instead"


def _present(rows: Rows, name: str) -> list[Any]:
    return [row[name] for row in rows if name in row and not is_missing(row[name])]


def _is_asked(value: Any) -> bool:
    value = nested(value)
    return not isinstance(value, (dict, list)) or is_conversation(value) or _are_texts(value) or _has_turns(value)


def _has_turns(value: Any) -> bool:
    if is_response(value) or (isinstance(value, dict) and "messages" not in value and is_request(value)):
        return True
    turns = value.get("messages") if isinstance(value, dict) else None
    return isinstance(turns, list) and (is_conversation(turns) or is_conversation(next(iter(turns), None)))


def _is_answer(value: Any) -> bool:
    """Return whether a value is a text, a list of texts or turns, or SQuAD's object of texts."""
    if isinstance(value, dict):
        return _are_texts(value.get("text")) or _has_turns(value)
    return not isinstance(value, list) or _are_texts(value) or is_conversation(value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
