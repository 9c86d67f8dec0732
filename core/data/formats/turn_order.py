"""Order of the turns of a list, if they carry their number or their time.

Databases collect the messages of a conversation in any order, and helpdesks list the newest one first. Turns with a
number are sorted by it. A time is not certain enough, since clocks differ: it is noted, and asked about.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.data.formats.values import Note, is_absent, nested

_NUMBERS = (
    "turn_index", "turn_idx", "turn_number", "turn_no", "turn_id", "turn", "message_index", "message_idx",
    "message_number", "utterance_index", "utterance_idx", "index", "idx", "position", "order", "sequence", "seq",
    "sequence_number", "ordinal",
)  # fmt: skip
_TIMES = (
    "created_at", "createdat", "created", "create_time", "timestamp", "ts", "time", "datetime", "date", "sent_at",
    "sentat", "date_time", "created_on", "timestamp_ms", "created_utc", "date_unixtime", "sent_timestamp",
)  # fmt: skip
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?")
_NUMBER = re.compile(r"\d{1,9}")


def in_order(turns: Sequence[Any], note: Note) -> Sequence[Any]:
    """Return turns in the order of their numbers, with a note if they had another order.

    Args:
        turns: The turns of a conversation.
        note: Callback for a sentence about the order.
    """
    if not _may_be_ordered(turns):
        return turns
    for name, key, values in _columns(turns, _NUMBERS):
        numbers = [_number(value) for value in values]
        if None not in numbers and not _ascends(numbers):
            note(f"the turns of a conversation are sorted by their field {name!r}")
            order = sorted(range(len(turns)), key=lambda position: numbers[position])
            return [{field: value for field, value in turns[at].items() if field != key} for at in order]
    if name := _late_field(turns):
        note(f"the turns are not in the order of their field {name!r}; the order of the list is kept")
    return turns


def order_doubt(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return the doubt that the turns in a column are not in the order of their times; "" where most are."""
    lists = [turns for row in rows if isinstance(turns := nested(row.get(name)), list) and turns]
    late = [field for turns in lists if _may_be_ordered(turns) and (field := _late_field(turns))]
    if not late or 2 * len(late) <= len(lists):
        return ""
    return (
        f"the turns in {name!r} are not in the order of their field {late[0]!r}, such as the newest one first; "
        "sort them by it, or choose the reading that keeps the order of the list"
    )


def _may_be_ordered(turns: Sequence[Any]) -> bool:
    # Most turns have a role and a content only.
    return len(turns) > 1 and all(isinstance(turn, dict) and len(turn) > 2 for turn in turns)


def _columns(turns: Sequence[Any], names: tuple[str, ...]) -> list[tuple[str, str, list[Any]]]:
    """Return the wanted name, the field and its values, for each field of `names` that all turns have."""
    fields = {str(key).lower(): key for key in turns[0]}
    found = [(name, fields[name]) for name in names if name in fields]
    return [
        (name, key, [turn[key] for turn in turns])
        for name, key in found
        if all(not is_absent(turn.get(key)) for turn in turns)
    ]


def _number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return int(value) if value == int(value) else None
    return int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None


def _late_field(turns: Sequence[Any]) -> str:
    """Return the field of a time that does not ascend; "" if there is none."""
    for name, _, values in _columns(turns, _TIMES):
        are_numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        are_texts = all(isinstance(value, str) and _ISO_TIME.fullmatch(value) for value in values)
        if (are_numbers or are_texts) and not _ascends(values):
            return name
    return ""


def _ascends(values: Sequence[Any]) -> bool:
    return all(first <= second for first, second in itertools.pairwise(values))
