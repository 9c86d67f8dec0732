"""A bar for work that goes on, with words and a Cancel button beside it; nothing is there when nothing goes on."""

import html
from dataclasses import dataclass
from typing import Any

import gradio as gr

CSS = """
.pb { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px; font-size: 14px; padding: 2px; }
.pb b { font-weight: 600; } .pb span { color: var(--body-text-color-subdued); font-size: 13px; }
.pb div { flex: 1 1 100%; height: 8px; border-radius: 99px; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); overflow: hidden; }
.pb i { display: block; height: 100%; background: #0f9488; }
"""


@dataclass(frozen=True)
class ProgressBar:
    group: gr.Row
    bar: gr.HTML
    cancel: gr.Button

    @property
    def outputs(self) -> list[gr.components.Component]:
        return [self.group, self.bar]


def build_progress_bar(elem_id: str) -> ProgressBar:
    with gr.Row(visible=False, elem_id=elem_id, equal_height=True) as group:
        bar = gr.HTML(padding=False)
        cancel = gr.Button("Cancel", size="sm", scale=0, min_width=90, elem_id=f"{elem_id}-cancel")
    return ProgressBar(group, bar, cancel)


def running(title: str, share: float, words: str) -> list[Any]:
    """Updates of `ProgressBar.outputs` while something goes on; `share` is 0 to 1."""
    shown = (
        f'<div class="pb" role="progressbar" aria-valuenow="{share * 100:.0f}"><b>{html.escape(title)}</b>'
        f"<span>{html.escape(words)}, {share * 100:.0f} %</span>"
        f'<div><i style="width:{max(2.0, share * 100):.1f}%"></i></div></div>'
    )
    return [gr.update(visible=True), shown]


def gone() -> list[Any]:
    """Updates of `ProgressBar.outputs` when nothing goes on."""
    return [gr.update(visible=False), ""]
