"""A progress bar with a text and a Cancel button, visible only while something runs; it comes into sight by itself.

`show_progress` and `hide_progress` return updates by the names of `ProgressBar.outputs`.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.html import read_static, render

CSS = read_static("progress_bar.css")
# The first part of a long job would be narrower than a pixel.
_MIN_WIDTH_PERCENT = 2.0


@dataclass(frozen=True)
class ProgressBar:
    """Widgets of one progress bar; the caller listens to `cancel.click`."""

    row: gr.Row
    bar: gr.HTML
    cancel: gr.Button

    @property
    def outputs(self) -> dict[str, gr.blocks.Block]:
        """Return the components that `show_progress` and `hide_progress` update, by name."""
        return {"progress_row": self.row, "progress": self.bar}


def build_progress_bar(elem_id: str) -> ProgressBar:
    """Build a hidden progress bar in the open layout; the button's id is `elem_id` with `-cancel` appended."""
    with gr.Row(visible=False, elem_id=elem_id, equal_height=True) as row:
        bar = gr.HTML(padding=False, js_on_load=read_static("progress_bar.js"))
        cancel = gr.Button("Cancel", size="sm", scale=0, min_width=90, elem_id=f"{elem_id}-cancel")
    return ProgressBar(row, bar, cancel)


def show_progress(title: str, share: float, text: str, time: str = "") -> dict[str, Any]:
    """Return updates that show the bar.

    Args:
        title: What runs.
        share: The part that is done, from 0 to 1.
        text: The step that it is at.
        time: How long it has run, such as "12 s".
    """
    percent = share * 100
    html = render(
        "progress_bar",
        title=title,
        text=text,
        time=time,
        percent=f"{percent:.0f}",
        width=f"{max(_MIN_WIDTH_PERCENT, percent) if percent else 0:.1f}",
    )
    return {"progress_row": gr.update(visible=True), "progress": html}


def hide_progress() -> dict[str, Any]:
    """Return updates that hide the bar."""
    return {"progress_row": gr.update(visible=False), "progress": ""}
