"""Widgets of the Train tab, and the states of one page."""

from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block

from studio.train.compare import ComparisonState, ComparisonWidgets
from studio.train.control_widgets import ControlWidgets, LabelWidgets
from studio.train.form_events import LeftSide
from studio.train.run_view_widgets import RunViewWidgets


class TrainStates:
    """States of one page, which Gradio keeps between its events.

    Attributes:
        run_fingerprint: Fingerprint of the selected run's files when they were last rendered.
        runs_fingerprint: Fingerprint of all runs when they were last listed.
        sent: Digests of the values that a poll has sent last, by output.
        opened: The run that the page shows; empty before it shows any.
        zoom: The steps that the charts show.
        pinned: The run and the index of the sample answers that stay shown.
        comparison: Order and picked rows of the table of all runs.
        comparison_visible: Whether that table is on the screen.
        new_subset: The name of the subset that was created last.
        acted: When a run was last stopped, resumed, moved or labelled on this page; a change polls at once.
    """

    def __init__(self) -> None:
        self.run_fingerprint = gr.State("")
        self.runs_fingerprint = gr.State("")
        self.sent = gr.State({})
        self.opened = gr.State("")
        self.zoom = gr.State(None)
        self.pinned = gr.State(None)
        self.comparison = gr.State(ComparisonState())
        self.comparison_visible = gr.State(False)
        self.new_subset = gr.State(None)
        self.acted = gr.State(0.0)


@dataclass(frozen=True)
class TrainWidgets:
    """Widgets and states of the tab."""

    left: LeftSide
    controls: ControlWidgets
    view: RunViewWidgets
    label: LabelWidgets
    comparison: ComparisonWidgets
    views: gr.Tabs
    state: TrainStates

    @property
    def run_outputs(self) -> dict[str, Block]:
        """Return everything that depends on the selected run's files, by name."""
        return {
            "run_fingerprint": self.state.run_fingerprint,
            "sent": self.state.sent,
            **self.view.outputs,
            **self.view.sample_outputs,
            **self.controls.buttons,
            "more": self.label.more,
        }
