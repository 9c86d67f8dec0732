"""The current branch of a map of messages is read, as in the export of a ChatGPT account."""

import pytest

from core.data.formats import Reading, UnusableRow
from core.data.formats.detect import detect
from tests.helpers.datasets import dialog

HIDDEN = {"is_visually_hidden_from_conversation": True}


def node(name, parent, role, content, children=(), **metadata):
    """Return a node of the map; a content is a text or the content of the message."""
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    message = role and {
        "author": {"role": role, "metadata": {}},
        "content": content,
        "weight": 1.0,
        "metadata": metadata,
    }
    return name, {"id": name, "message": message or None, "parent": parent, "children": list(children)}


def row(*nodes, current=None):
    return {"title": "Tides", "mapping": dict(nodes), "current_node": current}


ROOT = node("root", None, "", "", ["s"])
SYSTEM = node("s", "root", "system", "", ["q"], **HIDDEN)
QUESTION = node("q", "s", "user", "Why?", ["a", "b"])
BRANCHED = (ROOT, SYSTEM, QUESTION, node("a", "q", "assistant", "No idea."), node("b", "q", "assistant", "The moon."))


@pytest.mark.parametrize(
    ("current", "answer"), [("a", "No idea."), ("b", "The moon."), (None, "The moon."), ("x", "The moon.")]
)
def test_current_branch_is_read_and_the_other_noted(current, answer):
    rows = [row(*BRANCHED, current=current)] * 3
    found = detect(rows)
    assert found.reading.format == "tree"
    read = found.reading.read(rows[0])
    assert read.messages == dialog("Why?", answer)
    assert "only the current one" in read.notes[0]
    assert read.unread == ["title"]


CONTENTS = {
    "code": ({"content_type": "code", "text": "1 + 1"}, "1 + 1"),
    "reasoning": ({"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "hm"}]}, None),
    "a recap": ({"content_type": "reasoning_recap", "content": "Thought for 2 s"}, None),
}


@pytest.mark.parametrize(("content", "text"), CONTENTS.values(), ids=CONTENTS)
def test_content_of_every_type_is_read(content, text):
    nodes = (node("q", None, "user", "Why?", ["t"]), node("t", "q", "assistant", content, ["a"]),
             node("a", "t", "assistant", "The moon."))  # fmt: skip
    messages = Reading(format="tree").parse(row(*nodes, current="a"))
    answer = "<think>\nhm\n</think>\n\nThe moon." if content["content_type"] == "thoughts" else "The moon."
    assert messages[-1]["content"] == answer
    assert [message["content"] for message in messages[1:-1]] == ([text] if text else [])


def test_hidden_messages_are_left_out_with_a_note():
    nodes = (node("s", None, "system", "Be brief.", **HIDDEN), node("q", "s", "user", "Why?"),
             node("a", "q", "assistant", "The moon."))  # fmt: skip
    read = Reading(format="tree").read(row(*nodes, current="a"))
    assert read.messages == dialog("Why?", "The moon.")
    assert read.notes == ["messages that the chat does not show are left out"]


def test_image_is_refused_and_a_loop_ends():
    image = {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}, "What is this?"]}
    with pytest.raises(UnusableRow, match="image_asset_pointer"):
        Reading(format="tree").parse(row(node("q", None, "user", image), current="q"))
    loop = (node("q", "a", "user", "Why?", ["a"]), node("a", "q", "assistant", "The moon.", ["q"]))
    assert Reading(format="tree").parse(row(*loop, current="a")) == dialog("Why?", "The moon.")
