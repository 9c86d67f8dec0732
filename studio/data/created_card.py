"""The card that reports a new subset, with what can be done next: browse it, export it, train on it."""

from dataclasses import dataclass

import gradio as gr

from components.page_html import PageHTML
from core.data.subset import Subset
from studio.html import render


@dataclass(frozen=True)
class CreatedCard:
    """Widgets of the card."""

    card: gr.Column
    text: gr.HTML
    browse: gr.Button
    export: gr.Button
    train: gr.Button
    dismiss: gr.Button

    @property
    def outputs(self) -> dict[str, gr.blocks.Block]:
        """Return what `subsets.created_updates` updates of the card, by name."""
        return {"created_card": self.card, "created_text": self.text}


def created_html(created: Subset) -> str:
    """Return what was created, in two lines."""
    return render("data/created", name=created.name, text=created.describe())


def build_created_card() -> CreatedCard:
    """Build the hidden card in the open layout."""
    with gr.Column(visible=False, elem_id="created-card") as card:
        text = PageHTML(elem_id="created-text", padding=False)
        with gr.Row():
            train = gr.Button("Train on it", variant="primary", size="sm", min_width=90, elem_id="created-train")
            browse = gr.Button("Browse", size="sm", min_width=80, elem_id="created-browse")
            export = gr.Button("Export", size="sm", min_width=80, elem_id="created-export")
            dismiss = gr.Button("Dismiss", size="sm", min_width=80, elem_id="created-dismiss")
    return CreatedCard(card, text, browse, export, train, dismiss)
