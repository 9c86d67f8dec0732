"""A field of any type, where a text is expected, makes a row unusable or is noted, and never ends the detection."""

import contextlib

import pytest

from core.data.formats import UnusableRow
from core.data.formats.detect import detect

VALUES = ([False], {"a": 1}, 3)
KEYS = (
    "type", "parent", "children", "status", "role", "from", "author", "name", "kind", "content_type", "content", "text",
    "value", "output", "input", "arguments", "tool_calls", "weight", "train", "label", "replies", "score", "rank",
    "channel", "reasoning_content", "parts", "metadata", "result", "finish_reason", "error",
)  # fmt: skip


def turns(**more):
    return [{"role": "user", "content": "q", **more}, {"role": "assistant", "content": "a", **more}]


def nodes(**more):
    message = {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["q"]}, **more}
    return {
        "r": {"id": "r", "message": None, "parent": None, "children": ["a"]},
        "a": {"id": "a", "message": message, "parent": "r", "children": [], **more},
    }


ROWS = {
    "a turn": lambda more: {"messages": turns(**more)},
    "a list beside turns": lambda more: {"messages": turns(), "beside": [more]},
    "a part of a turn": lambda more: {"messages": [
        {"role": "user", "content": [{"type": "text", "text": "q", **more}]},
        {"role": "assistant", "content": [more]}]},
    "an answer in an object": lambda more: {"question": "why so", "answer": {"text": "so", **more}},
    "a column": lambda more: {"question": "why is it so", "answer": "because of it", **more},
    "a map of messages": lambda more: {"title": "t", "mapping": nodes(**more), "current_node": "a"},
    "a tree of replies": lambda more: {"prompt": {"text": "q", "role": "prompter", "replies": [
        {"text": "a", "role": "assistant", "replies": [], **more}, {"text": "b", "role": "assistant", "rank": 1}]}},
    "a log": lambda more: {"request": {"messages": turns()[:1], **more},
                           "response": {"choices": [{"message": turns(**more)[1], **more}], **more}},
    "items": lambda more: {"input": [{"type": "message", "role": "user", "content": "q", **more}],
                           "output": [{"type": "function_call", "name": "f", "arguments": "{}", **more}]},
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_field_of_any_type_never_ends_the_detection(name):
    for key in KEYS:
        for value in VALUES:
            row = ROWS[name]({key: value})
            found = detect([row])
            assert found is not None
            for reading in (found.reading, *found.candidates):
                with contextlib.suppress(UnusableRow):
                    reading.read(row)
