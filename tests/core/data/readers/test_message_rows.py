"""Rows of one message each are joined where the conversation, the roles and the order are certain."""

import pytest

from core.data.readers import SourceRow
from core.data.readers.message_rows import join

TEXTS = ["Why is it salty?", "Rivers carry salt.", "And cold?", "The sun is far."]
ROLES = ["user", "assistant"] * 2
TALKS = ["a", "a", "b", "b"]


def rows_of(count=4, **columns):
    return [{name: values[i] for name, values in columns.items()} for i in range(count)]


def joined(rows, split="train"):
    notes = []
    found = join([(split, SourceRow(i, row, str(row))) for i, row in enumerate(rows, 1)], notes.append)
    return list(found), notes


CERTAIN = {
    "usual roles": rows_of(conversation_id=TALKS, role=ROLES, content=TEXTS),
    "numbers": rows_of(session_id=[1, 1, 2, 2], turn=[0, 1, 0, 1], sender=["human", "bot"] * 2, text=TEXTS),
    "times": rows_of(chat_id=TALKS, created_at=["10:00", "10:01", "10:00", "10:02"], role=ROLES, message=TEXTS),
    "people": rows_of(ticket_id=TALKS, author_type=["Customer", "Agent"] * 2, body=TEXTS),
    "directions": rows_of(session_id=TALKS, direction=["inbound", "outbound"] * 2, text=TEXTS),
    "numbers as text": rows_of(thread_id=TALKS, message_index=["9", "10", "1", "2"], role=ROLES, content=TEXTS),
}


@pytest.mark.parametrize("name", CERTAIN)
def test_messages_of_a_conversation_become_one_row(name):
    rows = CERTAIN[name]
    found, notes = joined(rows)
    assert len(found) == 2
    assert [len(read.row["messages"]) for _, read in found] == [2, 2]
    talk = next(iter(rows[0]))
    assert [read.row[talk] for _, read in found] == [rows[0][talk], rows[2][talk]]
    # Every value of a row is in its message or beside the list.
    for i, row in enumerate(rows):
        read = found[i // 2][1].row
        assert row.items() <= {**read, **read["messages"][i % 2]}.items()
    assert "each row is one message" in notes[0]


UNCERTAIN = {
    "no conversation": rows_of(role=ROLES, content=TEXTS),
    "no roles": rows_of(conversation_id=TALKS, sender=["Ann", "Bob"] * 2, content=TEXTS),
    "one side": rows_of(conversation_id=TALKS, role=["user"] * 4, content=TEXTS),
    "messages apart": rows_of(conversation_id=["a", "b", "a", "b"], role=ROLES, content=TEXTS),
    "numbers that fall": rows_of(conversation_id=TALKS, turn=[1, 0, 1, 0], role=ROLES, content=TEXTS),
    "times that fall": rows_of(chat_id=TALKS, created_at=["10:01", "10:00"] * 2, role=ROLES, message=TEXTS),
    "a missing conversation": rows_of(conversation_id=["a", "a", None, "b"], role=ROLES, content=TEXTS),
    "one message each": rows_of(conversation_id=["a", "b", "c", "d"], role=ROLES, content=TEXTS),
    "turns already": rows_of(conversation_id=TALKS, role=ROLES, content=TEXTS, messages=[[]] * 4),
}


@pytest.mark.parametrize("name", UNCERTAIN)
def test_other_rows_stay_as_they_are(name):
    found, notes = joined(UNCERTAIN[name])
    assert [read.row for _, read in found] == UNCERTAIN[name]
    assert notes == []


def test_column_that_is_the_same_in_a_conversation_stays_beside_the_messages():
    rows = rows_of(conversation_id=TALKS, role=ROLES, content=TEXTS, model=["m", "m", "n", "n"], weight=[1, 0, 1, 1])
    found, _ = joined(rows)
    assert [read.row["model"] for _, read in found] == ["m", "n"]
    assert [turn["weight"] for _, read in found for turn in read.row["messages"]] == [1, 0, 1, 1]


def test_lost_line_and_later_messages_are_reported():
    rows = [(f"{i // 2}" if i < 804 else "0", ROLES[i % 2], f"Text {i}.") for i in range(806)]
    reads = [SourceRow(i, {"chat_id": c, "role": r, "content": t}, "") for i, (c, r, t) in enumerate(rows, 1)]
    reads.insert(1, SourceRow(99, None, "{", "is not JSON"))
    found = [read for _, read in join([("train", read) for read in reads], lambda note: None)]
    assert [read.trouble for read in found if read.trouble] == [
        "is not JSON",
        "may lack a message: line 99 cannot be read",
        "the conversation '0' has other messages above, which are a row of their own",
    ]
