import gradio as gr
import pytest

from components.progress_bar import build_progress_bar, gone, running
from tests.helpers.hostile_text import HOSTILE, ParsedHtml


@pytest.mark.parametrize(
    ("share", "width", "said"), [(0.0, "2.0%", "0 %"), (0.256, "25.6%", "26 %"), (1, "100.0%", "100 %")]
)
def test_the_bar_is_as_long_as_the_share(share, width, said):
    visible, shown = running("Opening", share, "Reading")
    page = ParsedHtml(shown)
    assert visible["visible"]
    assert ("i", {"style": f"width:{width}"}) in page.tags
    assert page.text == f"OpeningReading, {said}"


@pytest.mark.parametrize("text", HOSTILE)
def test_titles_and_words_are_inert(text):
    page = ParsedHtml(running(text, 0.5, text)[1])
    assert [tag for tag, _ in page.tags] == ["div", "b", "span", "div", "i"]


def test_nothing_is_there_when_nothing_goes_on():
    with gr.Blocks():
        made = build_progress_bar("x")
    assert not made.group.visible
    assert len(made.outputs) == len(gone()) == len(running("a", 0, "b"))
    assert not gone()[0]["visible"]
