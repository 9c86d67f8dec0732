"""A column at the right of a page part that opens and closes; on a phone a sheet over the whole page.

The browser opens and closes it without asking the server (static/side_drawer.js): with its button if it has one,
with Close, with Escape, or when the drawer's element gets the DOM event "drawer-open" or "drawer-close". Opening one
closes the others. The heading with Close stays in sight.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from components.html import read_static, render

CSS = read_static("side_drawer.css")
_JS = read_static("side_drawer.js")


def build_drawer_button(label: str, elem_id: str) -> gr.Button:
    """Build the button of a drawer in the open layout.

    Args:
        label: What the drawer holds.
        elem_id: The drawer's id; the button's has `-open` appended.
    """
    return gr.Button(label, size="sm", scale=0, min_width=90, elem_id=f"{elem_id}-open", elem_classes="sd-button")


@contextmanager
def build_drawer(title: str, elem_id: str) -> Iterator[None]:
    """Build a closed drawer in the open row; the block adds its content.

    Args:
        title: Heading, and name for screen readers.
        elem_id: The drawer's id.
    """
    with gr.Column(scale=0, min_width=0, elem_id=elem_id, elem_classes="sd-drawer"):
        gr.HTML(render("side_drawer", title=title), js_on_load=_JS, padding=False)
        yield
