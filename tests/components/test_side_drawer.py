"""The side drawer: closed at first, with a button of its own and a heading that is escaped."""

import gradio as gr

from components.html import render
from components.side_drawer import build_drawer, build_drawer_button


def test_drawer_holds_its_content_and_its_button_is_named_after_it():
    with gr.Blocks(), gr.Row():
        button = build_drawer_button("Settings", "more")
        with build_drawer("Settings", "more"):
            inside = gr.Textbox()
    assert button.elem_id == "more-open"
    assert inside.parent.elem_id == "more" or inside.parent.parent.elem_id == "more"


def test_drawer_title_is_escaped():
    assert "<img" not in render("side_drawer", title="<img src=x>")
