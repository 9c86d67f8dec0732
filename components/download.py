"""A button that makes a file when it is clicked and downloads it at once.

Gradio's own DownloadButton downloads the file that it held before the click, so making the file first would take two
clicks. Here a visible button makes the file, and a hidden DownloadButton is clicked by the browser once it holds it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.html import read_static

CSS = read_static("download.css")
# Gradio updates the hidden button's link after the event has succeeded, so the click waits for the next render.
_CLICK_DELAY_MS = 60


@dataclass(frozen=True)
class Download:
    """A visible button and the hidden one that holds the file."""

    button: gr.Button
    hidden_button: gr.DownloadButton

    def makes(self, make: Callable[..., str | None], inputs: Any, **options: Any) -> Any:
        """Connect the click to a handler, and return the event.

        Args:
            make: Returns the path of the file.
            inputs: Inputs of `make`.
            options: Passed on to the event.
        """
        return self.serves(self.button.click, make, inputs, **options)

    def serves(
        self, event: Callable[..., Any], make: Callable[..., str | None], inputs: Any = None, **options: Any
    ) -> Any:
        """Connect another event than the click to a handler, as `makes` does."""
        element = f"document.getElementById('{self.hidden_button.elem_id}')"
        click = f"() => setTimeout(() => {element}.click(), {_CLICK_DELAY_MS})"
        made = event(make, inputs, self.hidden_button, **options)
        made.success(fn=None, js=click)
        return made


def build_download(label: str, elem_id: str, **options: Any) -> Download:
    """Build both buttons in the open layout.

    Args:
        label: The text of the button.
        elem_id: Id of the visible button; the hidden one's has `-file` appended.
        options: Passed on to the visible button; by default it is small.
    """
    hidden_button = gr.DownloadButton(label, elem_id=f"{elem_id}-file", elem_classes="dl-held")
    return Download(gr.Button(label, elem_id=elem_id, **({"size": "sm"} | options)), hidden_button)
