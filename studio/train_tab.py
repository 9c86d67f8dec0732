"""Train tab: settings, preflight checks, start, and the view of one run or of all runs.

The tab starts worker processes and reads their files; training does not depend on the page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from core.runs.metrics_series import Timelines
from core.runs.store import RunStore
from core.runs.time_estimate import TimeEstimates
from studio.job_bars import JobBars
from studio.train.compare import RunComparison, build_comparison
from studio.train.control_widgets import build_controls, build_label
from studio.train.controls import RunControls
from studio.train.duplicate import Duplication
from studio.train.form import RunForm, build_form, build_settings
from studio.train.form_events import LeftSide, connect_form, connect_preflight, connect_start
from studio.train.marking import build_marks, marks_fields
from studio.train.polling import Polling
from studio.train.preflight import Preflight
from studio.train.run_events import (
    connect_comparison,
    connect_copy,
    connect_label,
    connect_polling,
    connect_run_view,
    connect_step_rows,
    forget_sent,
    then_poll,
)
from studio.train.run_view import RunView
from studio.train.run_view_widgets import build_run_view
from studio.train.start import Starter
from studio.train.start_bar import build_start_bar
from studio.train.step_rows import StepRows
from studio.train.widgets import TrainStates, TrainWidgets
from studio.wiring import UNLIMITED, connect


@dataclass(frozen=True)
class TrainTab:
    """Widgets that studio/app.py connects to other tabs.

    Attributes:
        run: The selected run.
        views: The tabs "run", which shows it, and "all".
        next_steps: Buttons that open another tab with the run, by the tab.
        subset: The subset of the next run.
        subsets: Returns the choices of `subset`.
        duplicate: Returns values of `copy_outputs` that make the next run a copy of a run.
        copy_outputs: The settings, and the run that the next one is duplicated from, by name.
        runs_fingerprint: Changes whenever a run has another status, name or checkpoint.
        new_subset: The name of a subset that was created in this tab.
        timer: Polls; active while the tab is visible.
    """

    run: gr.Dropdown
    views: gr.Tabs
    next_steps: dict[str, gr.Button]
    subset: gr.Dropdown
    subsets: Callable[[], list[tuple[str, str]]]
    duplicate: Callable[[str | None], dict[str, Any]]
    copy_outputs: dict[str, Block]
    runs_fingerprint: gr.State
    new_subset: gr.State
    timer: gr.Timer


def build_train_tab(runs: RunStore, bars: JobBars, demo: gr.Blocks, tab_selected: Callable[..., Any]) -> TrainTab:
    """Build the tab in the open layout.

    Args:
        runs: All runs.
        bars: Progress bars of all jobs.
        demo: The page, for its load event.
        tab_selected: The event of selecting this tab, which polls at once.
    """
    timelines = Timelines()
    form, controls, view = RunForm(runs), RunControls(runs), RunView(runs, timelines)
    comparison = RunComparison(runs, timelines)
    widgets = _build_widgets(form)
    left, run, state = widgets.left, widgets.controls.run, widgets.state
    estimates = TimeEstimates(runs)
    connect_form(form, left, run, demo)
    connect_preflight(Preflight(runs, bars.jobs, estimates), left, bars)
    changes = [demo.load, state.runs_fingerprint.change, left.preflight.measured.change]
    with_archived = widgets.comparison.with_archived
    view_widgets = widgets.view
    shown = {"run": run, "starting": view_widgets.starting, "status": view_widgets.status, "sent": state.sent}
    connect_start(Starter(runs, controls, estimates), left, shown, with_archived, widgets.views, changes)
    _connect_controls(controls, widgets)
    connect_label(controls, widgets)
    duplication = Duplication(runs)
    connect_copy(duplication, widgets)
    connect_run_view(view, widgets)
    connect_step_rows(StepRows(runs), widgets)
    connect_comparison(comparison, widgets)
    timer = connect_polling(Polling(controls, view, comparison), widgets, demo, tab_selected)
    return TrainTab(
        run, widgets.views, widgets.controls.next_steps, left.fields["subset"], form.subsets, duplication.duplicate,
        {"parent": left.copy.parent, **left.fields}, state.runs_fingerprint, state.new_subset, timer,
    )  # fmt: skip


def _build_widgets(form: RunForm) -> TrainWidgets:
    with gr.Row(elem_id="train-row"):
        with gr.Column(scale=2, min_width=320):
            top = build_form(form)
            left = LeftSide(top, build_settings(top), build_marks(), *build_start_bar())
        with gr.Column(scale=4, min_width=340), gr.Tabs(elem_id="train-views", overflow_behavior="wrap") as views:
            with gr.Tab("This run", id="run"):
                controls = build_controls()
                view = build_run_view()
                label = build_label()
            with gr.Tab("All runs", id="all"):
                comparison = build_comparison()
    return TrainWidgets(left, controls, view, label, comparison, views, TrainStates())


def _connect_controls(do: RunControls, widgets: TrainWidgets) -> None:
    controls, fields, acted = widgets.controls, widgets.left.fields, {"acted": widgets.state.acted}
    selected = {"run_id": controls.run}

    unlimited = {"concurrency_limit": None}
    connect(controls.stop.click, then_poll(do.stop), selected, acted, api_name="stop_run", **unlimited)
    asked = {"kill_row": controls.kill_row, "sent": widgets.state.sent}
    connect(
        controls.ask_kill.click, forget_sent(do.ask_kill), selected, {**asked, "kill_text": controls.kill_text},
        **UNLIMITED,
    )  # fmt: skip
    connect(controls.keep_waiting.click, forget_sent(do.keep_waiting), outputs=asked, **UNLIMITED)
    killed = forget_sent(then_poll(do.kill))
    connect(controls.kill.click, killed, selected, {**asked, **acted}, api_name="kill_run", **unlimited)
    resumed = {**selected, "with_form": controls.with_form, **fields}
    outputs = {**widgets.left.marks.outputs, **acted}
    resume = marks_fields(then_poll(do.resume))
    connect(controls.resume.click, resume, resumed, outputs, api_name="resume_run", **unlimited)
    moved = {"queue": controls.queue, **acted}
    connect(controls.earlier.click, then_poll(lambda run_id: do.move(run_id, -1)), selected, moved, **UNLIMITED)
    connect(controls.later.click, then_poll(lambda run_id: do.move(run_id, 1)), selected, moved, **UNLIMITED)
    shown = {**controls.buttons, "more": widgets.label.more, "sent": widgets.state.sent}
    inputs = {**selected, "with_form": controls.with_form}
    connect(controls.with_form.change, forget_sent(do.update_buttons), inputs, shown, **UNLIMITED)
