"""The progress bar: its width, hostile texts, and when it is hidden."""

import gradio as gr
import pytest

from components.progress_bar import build_progress_bar, hide_progress, show_progress
from tests.helpers.hostile_text import HOSTILE, ParsedHtml


@pytest.mark.parametrize(
    ("share", "width", "percent"),
    [(0.0, "0.0%", "0 %"), (0.001, "2.0%", "0 %"), (0.256, "25.6%", "26 %"), (1, "100.0%", "100 %")],
)
def test_progress_bar_is_as_wide_as_the_share(share, width, percent):
    updates = show_progress("Opening", share, "Reading")
    page = ParsedHtml(updates["progress"])
    assert updates["progress_row"]["visible"]
    assert ("i", {"style": f"width:{width}"}) in page.tags
    assert page.text == f"OpeningReading, {percent}"
    assert ParsedHtml(show_progress("Opening", share, "Reading", "3 s")["progress"]).text.endswith(f"{percent} · 3 s")


@pytest.mark.parametrize("text", HOSTILE)
def test_progress_bar_hostile_text_stays_text(text):
    page = ParsedHtml(show_progress(text, 0.5, text)["progress"])
    assert [tag for tag, _ in page.tags] == ["div", "b", "span", "div", "i"]


def test_progress_bar_is_hidden_when_nothing_runs():
    with gr.Blocks():
        made = build_progress_bar("x")
    assert not made.row.visible
    assert made.outputs.keys() == hide_progress().keys()
    assert not hide_progress()["progress_row"]["visible"]
