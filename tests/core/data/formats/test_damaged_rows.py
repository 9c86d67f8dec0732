"""A row with a part of an unexpected type is unusable or read, and never ends the import of all other rows."""

import contextlib
import random

import pytest

from core.data.formats import Reading, UnusableRow, detect
from tests.helpers.damaged_values import damaged
from tests.helpers.public_shapes import SHAPES
from tests.helpers.shapes import Shape

QUESTION = {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["Why?"]}, "metadata": {"a": 1}}
THOUGHT = {"author": {"role": "assistant"}, "content": {"content_type": "thoughts", "thoughts": [{"content": "Hm."}]}}
ANSWER = {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["The moon."]}}
CHAT = {
    "title": "Tides",
    "mapping": {
        "root": {"message": None, "parent": None, "children": ["q"]},
        "q": {"message": QUESTION, "parent": "root", "children": ["t", "a"]},
        "t": {"message": THOUGHT, "parent": "q", "children": ["a"]},
        "a": {"message": ANSWER, "parent": "t", "children": []},
    },
    "current_node": "a",
}
_DAMAGED_ROWS = 12


@pytest.mark.parametrize(
    "shape", [*SHAPES, Shape("ChatGPT's export", [CHAT] * 3, "tree")], ids=lambda shape: shape.name
)
def test_damaged_row_of_a_public_shape_is_read_or_unusable(shape: Shape):
    rng = random.Random(shape.name)
    found = detect(shape.rows)
    for _ in range(_DAMAGED_ROWS):
        row = damaged(shape.rows[0], rng)
        for reading in (found.reading, *found.candidates):
            with contextlib.suppress(UnusableRow):
                reading.read(row)
    detect([damaged(row, rng) for row in shape.rows])


def call(**fields):
    return {"type": "function_call", "name": "tide", "arguments": "{}", **fields}


SAID = {"type": "message", "role": "assistant", "content": "Yes."}


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": ["message"], "role": "user", "content": "Why?"}],
        [{"type": "message", "content": "Why?"}, SAID],
        [{**SAID, "tool_calls": "none"}, call()],
        [{**SAID, "tool_calls": None}, call()],
        [SAID, {**SAID, "tool_calls": 3}, call(type={"a": 1})],
    ],
)
def test_damaged_items_of_a_response_are_read_or_unusable(messages):
    with contextlib.suppress(UnusableRow):
        Reading(format="messages").read({"messages": messages})


@pytest.mark.parametrize("rank", [["x"], "first", None, {"a": 1}, True, float("nan")])
@pytest.mark.parametrize("replies", [3, "none", {"a": 1}, [None, 2]])
def test_tree_with_damaged_ranks_and_replies_is_read(rank, replies):
    answers = [{"role": "assistant", "text": text, "rank": place, "replies": replies} for text, place in
               (("No idea.", rank), ("The moon.", 0))]  # fmt: skip
    row = {"prompt": {"role": "prompter", "text": "Why?", "replies": answers}}
    messages = Reading(format="tree").read(row).messages
    assert [message["role"] for message in messages] == ["user", "assistant"]


def test_calls_of_a_response_do_not_change_the_row():
    row = {"messages": [{"role": "user", "content": "Why?"}, {**SAID, "tool_calls": [{"name": "a"}]}, call()]}
    before = [dict(turn) for turn in row["messages"]]
    Reading(format="messages").read(row)
    assert row["messages"] == before
    assert row["messages"][1]["tool_calls"] == [{"name": "a"}]
