"""Train tab: settings, preflight checks, start, and the view of one run or of all runs.

The tab starts worker processes and reads their files; training does not depend on the page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block

from core.hardware import gpu
from core.runs.metrics_series import Timelines
from core.runs.store import RunStore
from core.runs.time_estimate import TimeEstimates
from core.system.jobs import Jobs
from studio.event_values import name_of, step_range
from studio.handlers import event_handler
from studio.train.compare import ComparisonState, ComparisonWidgets, RunComparison, build_comparison
from studio.train.controls import ControlWidgets, LabelWidgets, RunControls, build_controls, build_label
from studio.train.form import RunForm, build_form, build_settings
from studio.train.form_events import LeftSide, connect_form, connect_preflight, connect_start
from studio.train.marking import build_marks, marks_fields
from studio.train.polling import Polling
from studio.train.preflight import Preflight
from studio.train.run_view import RunView, RunViewWidgets, build_run_view
from studio.train.start import Starter
from studio.train.start_bar import build_start_bar
from studio.train.step_rows import StepRows
from studio.wiring import HEAVY, LATEST_ONLY, PRIVATE, UNLIMITED, connect

# A poll takes half a CPU second of browser and server together, most of it in Gradio's own code. Without a GPU the run
# needs those cores: with a poll every two seconds, Quick demo took a third longer than with the page closed.
_POLL_SECONDS = {"gpu": 2, "cpu": 4}


@dataclass(frozen=True)
class TrainTab:
    """Widgets that studio/app.py connects to other tabs.

    Attributes:
        run: The selected run.
        subset: The subset of the next run.
        subsets: Returns the choices of `subset`.
        runs_fingerprint: Changes whenever a run has another status, name or checkpoint.
        new_subset: The name of a subset that was created in this tab.
        timer: Polls; active while the tab is visible.
    """

    run: gr.Dropdown
    subset: gr.Dropdown
    subsets: Callable[[], list[tuple[str, str]]]
    runs_fingerprint: gr.State
    new_subset: gr.State
    timer: gr.Timer


class TrainStates:
    """States of one page, which Gradio keeps between its events.

    Attributes:
        run_fingerprint: Fingerprint of the selected run's files when they were last rendered.
        runs_fingerprint: Fingerprint of all runs when they were last listed.
        zoom: The steps that the charts show.
        pinned: The run and the index of the sample answers that stay shown.
        comparison: Order and picked rows of the table of all runs.
        comparison_visible: Whether that table is on the screen.
        new_subset: The name of the subset that was created last.
    """

    def __init__(self) -> None:
        self.run_fingerprint = gr.State("")
        self.runs_fingerprint = gr.State("")
        self.zoom = gr.State(None)
        self.pinned = gr.State(None)
        self.comparison = gr.State(ComparisonState())
        self.comparison_visible = gr.State(False)
        self.new_subset = gr.State(None)


@dataclass(frozen=True)
class _Widgets:
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
            **self.view.outputs,
            **self.view.sample_outputs,
            **self.controls.buttons,
        }


def build_train_tab(runs: RunStore, jobs: Jobs, demo: gr.Blocks, tab_selected: Callable[..., Any]) -> TrainTab:
    """Build the tab in the open layout.

    Args:
        runs: All runs.
        jobs: Background jobs of the server.
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
    connect_preflight(Preflight(runs, jobs, estimates), left)
    changes = [demo.load, state.runs_fingerprint.change, left.preflight.measured.change]
    connect_start(Starter(runs, controls, estimates), left, run, widgets.label.with_archived, changes)
    _connect_controls(controls, widgets, demo)
    _connect_run_view(view, widgets)
    _connect_step_rows(StepRows(runs), widgets)
    _connect_comparison(comparison, widgets)
    timer = _connect_polling(Polling(controls, view, comparison), widgets, tab_selected)
    subset = widgets.left.fields["subset"]
    return TrainTab(run, subset, form.subsets, state.runs_fingerprint, state.new_subset, timer)


def _build_widgets(form: RunForm) -> _Widgets:
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
    return _Widgets(left, controls, view, label, comparison, views, TrainStates())


def _connect_controls(do: RunControls, widgets: _Widgets, demo: gr.Blocks) -> None:
    controls, label, fields = widgets.controls, widgets.label, widgets.left.fields
    run, with_archived = {"run": controls.run}, {"with_archived": label.with_archived}
    selected = {"run_id": controls.run}
    for event in (demo.load, label.with_archived.change):
        connect(event, do.refresh_list, {**selected, **with_archived}, run, visitor=True, **UNLIMITED)
    unlimited = {"concurrency_limit": None}
    connect(controls.stop.click, do.stop, selected, api_name="stop", **unlimited)
    connect(controls.kill.click, do.kill, selected, api_name="kill", **unlimited)
    resumed, marks = {**selected, "with_form": label.with_form, **fields}, widgets.left.marks.outputs
    connect(controls.resume.click, marks_fields(do.resume), resumed, marks, api_name="resume", **unlimited)
    queue = {"queue": controls.queue}
    connect(controls.earlier.click, lambda run_id: do.move(run_id, -1), selected, queue, **UNLIMITED)
    connect(controls.later.click, lambda run_id: do.move(run_id, 1), selected, queue, **UNLIMITED)
    saved = {**selected, **label.label, "with_archived": label.with_archived}
    connect(label.save.click, do.save_label, saved, run, api_name="save_label")
    connect(label.delete.click, do.delete, {**selected, "typed": label.typed, **with_archived}, run, api_name="delete")


def _connect_run_view(do: RunView, widgets: _Widgets) -> None:
    view, state, run = widgets.view, widgets.state, {"run_id": widgets.controls.run}
    chart_inputs = {**run, "metric": view.metric, "zoom": state.zoom}
    for event in (state.zoom.change, view.metric.change):
        connect(event, do.render, chart_inputs, view.outputs, visitor=True, **UNLIMITED, **LATEST_ONLY)

    def set_zoom(event: gr.EventData) -> dict[str, Any]:
        return {"zoom": step_range(event)}

    for chart in (view.loss_chart, view.metric_chart):
        connect(chart.zoomed, set_zoom, outputs={"zoom": state.zoom}, visitor=True, **UNLIMITED)
    connect(
        view.samples_at.input,
        do.pin_samples,
        {**run, "index": view.samples_at},
        {**view.sample_outputs, "pinned": state.pinned},
        visitor=True,
        **UNLIMITED,
    )
    connect(view.read_log.click, do.read_log, run, {"log": view.log}, **UNLIMITED)
    view.csv.makes(event_handler(do.write_csv, visitor=True), widgets.controls.run, **PRIVATE, **HEAVY)
    view.report.makes(event_handler(do.write_report, visitor=True), widgets.controls.run, **PRIVATE, **HEAVY)


def _connect_step_rows(do: StepRows, widgets: _Widgets) -> None:
    view, run = widgets.view, {"run_id": widgets.controls.run}

    def list_rows(run_id: str | None, event: gr.EventData) -> dict[str, Any]:
        return do.list_rows(run_id, event.step)

    rows = {"row": view.row, "step": view.step}
    connect(view.loss_chart.picked, list_rows, run, rows, visitor=True, **PRIVATE, **HEAVY)
    row = {**run, "row": view.row}
    for event in (view.row.change, view.as_tokens.change):
        inputs = {**row, "as_tokens": view.as_tokens}
        connect(event, do.render_row, inputs, {"row_view": view.row_view}, visitor=True, **PRIVATE, **HEAVY)
    connect(view.exclude.click, do.exclude_row, row, {"new_subset": widgets.state.new_subset}, api_name="exclude")


def _connect_comparison(do: RunComparison, widgets: _Widgets) -> None:
    comparison, state, views = widgets.comparison, widgets.state, widgets.views
    table, chosen = comparison.table, {"comparison": state.comparison}

    def sort_by(comparison: ComparisonState, event: gr.EventData) -> dict[str, Any]:
        return {"comparison": do.sort_by(comparison, name_of(event))}

    def pick(comparison: ComparisonState, event: gr.EventData) -> dict[str, Any]:
        return {"comparison": do.pick(comparison, name_of(event))}

    def select_view(event: gr.SelectData) -> dict[str, Any]:
        return {"comparison_visible": event.index == 1}

    def open_run(event: gr.EventData) -> dict[str, Any]:
        return {"run": name_of(event), "views": gr.update(selected="run")}

    def render(comparison_visible: bool, **values: Any) -> dict[str, Any]:
        return do.render(**values) if comparison_visible else {}

    connect(table.sort_by, sort_by, chosen, chosen, visitor=True, **UNLIMITED)
    connect(table.tick_row, pick, chosen, chosen, visitor=True, **UNLIMITED)
    outputs = {"comparison_visible": state.comparison_visible}
    connect(views.select, select_view, outputs=outputs, visitor=True, **UNLIMITED)
    outputs = {"run": widgets.controls.run, "views": views}
    connect(table.open_row, open_run, outputs=outputs, visitor=True, **UNLIMITED)
    chart_inputs = {
        **chosen, "metric": comparison.metric, "with_archived": widgets.label.with_archived,
        "comparison_visible": state.comparison_visible,
    }  # fmt: skip
    for widget in chart_inputs.values():
        inputs = {**chart_inputs, "run_id": widgets.controls.run}
        connect(widget.change, render, inputs, comparison.outputs, visitor=True, **UNLIMITED, **LATEST_ONLY)


def _connect_polling(do: Polling, widgets: _Widgets, tab_selected: Callable[..., Any]) -> gr.Timer:
    controls, view, comparison, state = widgets.controls, widgets.view, widgets.comparison, widgets.state
    timer = gr.Timer(_POLL_SECONDS["gpu" if gpu.memory() else "cpu"], active=False)
    seen = {"run_fingerprint": state.run_fingerprint, "runs_fingerprint": state.runs_fingerprint}
    shown = {"run_id": controls.run, "metric": view.metric}
    connect(
        partial(gr.on, [timer.tick, tab_selected]),
        do.poll,
        {
            **seen, **shown, "with_archived": widgets.label.with_archived, "zoom": state.zoom, "pinned": state.pinned,
            "comparison": state.comparison, "comparison_metric": comparison.metric,
            "comparison_visible": state.comparison_visible,
        },
        {**seen, "run": controls.run, "queue": controls.queue, **widgets.run_outputs, **comparison.outputs},
        visitor=True,
        trigger_mode="once",
        **UNLIMITED,
    )  # fmt: skip
    opened = {**widgets.run_outputs, **view.detail_outputs, "zoom": state.zoom, **widgets.label.label}
    connect(controls.run.change, do.select_run, shown, opened, visitor=True, **UNLIMITED, **LATEST_ONLY)
    return timer
