"""Duplicate a run: its settings fill the form, and the form shows how they differ from that run's until Start."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from core.errors import StudioError
from core.runs.config import TITLES, QLoRAConfig
from core.runs.names import format_changes
from core.runs.store import Parent, RunStore
from studio.html import render


class Duplication:
    """Event handlers of “Duplicate and change”."""

    def __init__(self, runs: RunStore):
        self.runs = runs

    def duplicate(self, run_id: str | None) -> dict[str, Any]:
        """Return the settings of a run for the form, and the run as the parent of the next one."""
        if not run_id:
            raise StudioError("No run is selected. Select one in the list of runs first.")
        run = self.runs.run(run_id)
        parent = Parent(run=run.id, title=self.runs.titles().get(run.id, run.title), config=run.config())
        return {"parent": parent.model_dump(), **parent.config.model_dump()}

    def forget(self) -> dict[str, Any]:
        """Drop the parent, so that the next run is no copy."""
        return {"parent": None}

    def compare(self, parent: dict[str, Any] | None, **values: Any) -> dict[str, Any]:
        """Return how the form differs from the parent; empty if there is none.

        Args:
            parent: A `Parent` as JSON.
            values: The values of the form, which may be invalid while the user types.
        """
        if parent is None:
            return {"copy_text": ""}
        html = render("train/parent", title=parent["title"], changes=format_changes(_changes(parent, values)))
        return {"copy_text": html}


def _changes(parent: dict[str, Any], values: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    config = parent["config"]
    # An empty widget has no value.
    now = {name: "" if values[name] is None else values[name] for name in TITLES}
    return {name: (config[name], now[name]) for name in TITLES if now[name] != config[name]}


def parent_of(values: dict[str, Any] | None) -> Parent | None:
    """Return the parent that a page remembers."""
    return Parent(**values | {"config": QLoRAConfig(**values["config"])}) if values else None


@dataclass(frozen=True)
class CopyWidgets:
    """The line above Start that names the parent.

    Attributes:
        parent: A `Parent` as JSON, or None.
        copy_text: Empty without a parent; the style sheet hides the line then.
    """

    parent: gr.State
    copy_text: gr.HTML
    forget: gr.Button

    @property
    def outputs(self) -> dict[str, Block]:
        """Return the components that `Duplication.compare` updates, by name."""
        return {"copy_text": self.copy_text}


def build_copy() -> CopyWidgets:
    """Build the line in the open layout."""
    with gr.Row(elem_id="copy-of"):
        text = gr.HTML(padding=False)
        forget = gr.Button("Not a copy", size="sm", scale=0, min_width=100, elem_id="forget-parent")
    return CopyWidgets(gr.State(None), text, forget)
