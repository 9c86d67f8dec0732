"""An HTML component that is a part of the page only: calls over the API neither take nor return its value."""

from abc import ABCMeta

import gradio as gr


def _get_block_name(self: gr.HTML) -> str:
    """Return the name of the frontend's component."""
    return "html"


# Not a class statement: Gradio's metaclass would write a .pyi file beside this one when it is imported.
PageHTML: type[gr.HTML] = ABCMeta.__new__(
    type(gr.HTML), "PageHTML", (gr.HTML,), {"skip_api": True, "get_block_name": _get_block_name}
)
