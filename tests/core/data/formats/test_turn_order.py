"""Turns with a number are sorted by it; turns that are not in the order of their times are asked about and noted."""

import pytest

from core.data.formats.detect import detect
from core.data.formats.reading import Reading

TEXTS = ["Why is it salty?", "Rivers carry salt.", "And lakes?", "They run out again."]


def conversation(order, **fields):
    """Return the four turns in another order, each with the fields of its own position."""
    turns = [
        {"role": ("user", "assistant")[i % 2], "content": text, **{name: values[i] for name, values in fields.items()}}
        for i, text in enumerate(TEXTS)
    ]
    return [turns[i] for i in order]


def read(turns):
    found = Reading(format="messages").read({"messages": turns})
    return [message["content"] for message in found.messages], found.notes


SHUFFLED = [2, 1, 0, 3]
TIMES = [f"2024-01-01T00:00:0{i}Z" for i in range(4)]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("turn_index", [0, 1, 2, 3]),
        ("turn", ["1", "2", "3", "4"]),
        ("idx", [1.0, 2.0, 3.0, 4.0]),
        ("Index", [5, 7, 11, 13]),
    ],
)
def test_turns_are_sorted_by_their_number(name, values):
    texts, notes = read(conversation(SHUFFLED, **{name: values}))
    assert texts == TEXTS
    assert notes == [f"the turns of a conversation are sorted by their field {name.lower()!r}"]


@pytest.mark.parametrize(
    ("order", "fields"),
    [
        (range(4), {"turn_index": [0, 1, 2, 3]}),
        (SHUFFLED, {"index": [0, 0, 0, 0]}),
        (SHUFFLED, {"turn": ["a", "b", "c", "d"]}),
        (SHUFFLED, {"index": [0, 1, None, 3]}),
        (SHUFFLED, {"index": [True, True, False, False]}),
        (SHUFFLED, {"score": [0, 1, 2, 3]}),
    ],
)
def test_other_fields_leave_the_order(order, fields):
    texts, notes = read(conversation(order, **fields))
    assert texts == [TEXTS[i] for i in order]
    assert not any("sorted" in note or "order" in note for note in notes)


@pytest.mark.parametrize("times", [TIMES, [10, 20, 30, 40], [0.5, 1.5, 2.5, 3.5]])
def test_newest_turn_first_is_asked_about_and_noted(times):
    newest_first = [{"messages": conversation([2, 3, 0, 1], created_at=times)}] * 4
    found = detect(newest_first)
    assert found.reading.format == "undecided"
    assert "not in the order of their field 'created_at'" in found.evidence
    assert found.candidates[0].format == "messages"
    assert any("the order of the list is kept" in note for note in read(newest_first[0]["messages"])[1])


def test_few_rows_with_a_late_clock_are_noted_only():
    rows = [{"messages": conversation(range(4), ts=TIMES)}] * 3
    late = {"messages": conversation(range(4), ts=[TIMES[1], TIMES[0], *TIMES[2:]])}
    assert detect([*rows, late]).reading.format == "messages"
    assert any("not in the order of their field 'ts'" in note for note in read(late["messages"])[1])
