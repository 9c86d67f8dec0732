"""Edits of streamed outputs, applied as Gradio's client does it: to the objects of the message before."""

import copy
from types import SimpleNamespace

import gradio as gr
import pytest

from core.access.roles import Access, Way
from studio.authorized_blocks import AuthorizedBlocks

SKIP, HIDE, SHOW = gr.skip(), gr.update(visible=False), gr.update(visible=True)
CHOSEN, LOCKED = gr.update(value="gguf", choices=["gguf"]), gr.update(interactive=False)


def messages(outputs):
    """Return what the server sends of the outputs of a generator with one output component."""
    blocks = AuthorizedBlocks(Access(Way.SPACE, "keeper"))
    function = SimpleNamespace(outputs=[None])
    return [
        blocks.handle_streaming_diffs(function, [copy.deepcopy(output)], "session", "run", False)[0]
        for output in outputs
    ]


def apply(value, edits):
    """Apply edits in place, as the client does."""
    for action, path, new in edits:
        if not path:
            value = new if action == "replace" else value + new
            continue
        inner = value
        for part in path[:-1]:
            inner = inner[part]
        if action == "delete":
            del inner[path[-1]]
        elif action == "append":
            inner[path[-1]] += new
        else:
            inner[path[-1]] = new
    return value


@pytest.mark.parametrize(
    "outputs",
    [
        (HIDE, SKIP), (CHOSEN, LOCKED), (HIDE, SKIP, SHOW, SKIP), ("text", SKIP, "text and more"), (SKIP, HIDE, LOCKED),
        ([["a"], ["b"]], [["a"]]), (gr.update(value="a"), gr.update(value="ab")),
    ],
)  # fmt: skip
def test_output_that_the_page_shows_late_has_lost_nothing(outputs):
    first, *rest = messages(outputs)
    received = [first]
    for edits in rest:
        received.append(apply(received[-1], edits))
    assert received[-1] == outputs[-1]
    for sent, shown in zip(outputs, received, strict=True):
        assert not isinstance(sent, dict) or set(sent) <= set(shown)
