"""A button that makes a file when it is clicked, and hands it over at once.

Gradio's own DownloadButton hands over what it held before the click; making the file first would take two clicks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

CSS = ".dl-held { position: absolute; width: 0; height: 0; overflow: hidden; opacity: 0; pointer-events: none; }"


@dataclass(frozen=True)
class Download:
    """Attributes: ask: what is clicked; held: the file, out of sight."""

    ask: gr.Button
    held: gr.DownloadButton

    def makes(self, make: Callable[..., str | None], inputs: Any, **options: Any) -> None:
        """Call `make` on a click; what it returns is the path of the file to hand over."""
        hand_over = f"() => setTimeout(() => document.getElementById('{self.held.elem_id}').click(), 60)"
        self.ask.click(make, inputs, self.held, **options).success(fn=None, js=hand_over)


def build_download(label: str, elem_id: str) -> Download:
    held = gr.DownloadButton(label, elem_id=f"{elem_id}-file", elem_classes="dl-held")
    return Download(gr.Button(label, size="sm", elem_id=elem_id), held)
