"""The bar with the Start button, which stays in sight.

From top to bottom: the run that is copied and what was changed, findings that stopped a start, results of the checks
and the dry run, what is being done now, the buttons, and the time that the run will take.
"""

from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block

from components.page_html import PageHTML
from components.progress_bar import ProgressBar, build_progress_bar
from studio.train.duplicate import CopyWidgets, build_copy


@dataclass(frozen=True)
class StartWidgets:
    """Start, what stopped it, and the time of the run.

    Attributes:
        card: Shows the findings that stopped a start; `findings`, `anyway` and `change` are in it.
        accept_warnings: Not visible; calls over the API set it.
        refusal: The start that was stopped.
        last: The last start that has queued a run.
    """

    start: gr.Button
    time: PageHTML
    stage: PageHTML
    card: gr.Column
    findings: PageHTML
    anyway: gr.Button
    change: gr.Button
    accept_warnings: gr.Checkbox
    refusal: gr.State
    last: gr.State

    @property
    def card_outputs(self) -> dict[str, Block]:
        """Return the components of the card, by the names that `Starter` uses."""
        return {"card": self.card, "card_findings": self.findings, "anyway": self.anyway, "refusal": self.refusal}


@dataclass(frozen=True)
class PreflightWidgets:
    """Widgets of the preflight checks and the dry run.

    Attributes:
        checked: Holds the results; hidden without any.
        close: Hides them.
        bar: Progress of the dry run.
    """

    check: gr.Button
    measure: gr.Button
    checked: gr.Column
    findings: gr.HTML
    memory: gr.HTML
    make_fit: gr.Button
    measured: gr.HTML
    close: gr.Button
    bar: ProgressBar

    @property
    def check_outputs(self) -> dict[str, Block]:
        """Return the components that `Preflight.check` updates, by name, besides the stage."""
        return {name: getattr(self, name) for name in ("findings", "memory", "make_fit", "checked")}


def build_start_bar() -> tuple[StartWidgets, PreflightWidgets, CopyWidgets]:
    """Build the bar in the open layout."""
    with gr.Column(elem_id="start-bar"):
        copy = build_copy()
        with gr.Column(visible=False, elem_id="start-card") as card:
            stopped = PageHTML(elem_id="start-findings", padding=False)
            with gr.Row():
                anyway = gr.Button("Start anyway", size="sm", elem_id="start-anyway", min_width=110)
                change = gr.Button("Change settings", size="sm", elem_id="change-settings", min_width=110)
        with gr.Column(visible=False, elem_id="check-results") as checked:
            findings = gr.HTML(elem_id="findings", padding=False)
            memory = gr.HTML(elem_id="memory", padding=False)
            make_fit = gr.Button("Make it fit", visible=False, size="sm", elem_id="make-fit")
            measured = gr.HTML(elem_id="measured", padding=False)
            close = gr.Button("Close", size="sm", elem_id="close-checks", min_width=90)
        stage = PageHTML(elem_id="start-stage", padding=False)
        bar = build_progress_bar("measuring")
        with gr.Row(elem_id="start-row"):
            start = gr.Button("Start", variant="primary", elem_id="start", min_width=120, scale=2)
            check = gr.Button("Check settings", size="sm", elem_id="check", min_width=90)
            measure = gr.Button("Dry run", size="sm", elem_id="measure-steps", min_width=70)
        time = PageHTML(elem_id="start-time", padding=False)
    accept = gr.Checkbox(False, label="Accept warnings", visible=False)
    starting = StartWidgets(start, time, stage, card, stopped, anyway, change, accept, gr.State(None), gr.State(None))
    preflight = PreflightWidgets(check, measure, checked, findings, memory, make_fit, measured, close, bar)
    return starting, preflight, copy
