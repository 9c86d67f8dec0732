"""Connections of the right side of the Train tab: one run, all runs, and the poll."""

import time
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import gradio as gr

from core.hardware import gpu
from studio.event_values import name_of, step_range, ticked_names
from studio.handlers import event_handler
from studio.html import read_static
from studio.train.compare import ComparisonState, RunComparison
from studio.train.controls import RunControls
from studio.train.duplicate import Duplication
from studio.train.polling import Polling
from studio.train.run_view import RunView
from studio.train.step_rows import StepRows
from studio.train.widgets import TrainWidgets
from studio.wiring import HEAVY, LATEST_ONLY, PRIVATE, UNLIMITED, connect

# A poll takes half a CPU second of browser and server together, most of it in Gradio's own code. Without a GPU the run
# needs those cores: with a poll every two seconds, Quick demo took a third longer than with the page closed.
_POLL_SECONDS = {"gpu": 2, "cpu": 4}


def then_poll(handler: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Return a handler with the further output `acted`, whose change polls at once."""

    @wraps(handler)
    def act(*args: Any, **values: Any) -> dict[str, Any]:
        return {**(handler(*args, **values) or {}), "acted": time.time()}

    return act


def forget_sent(handler: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Return a handler that fills outputs of the poll, so that the next poll sends them all."""

    @wraps(handler)
    def fill(*args: Any, **values: Any) -> dict[str, Any]:
        return {**handler(*args, **values), "sent": {}}

    return fill


def connect_label(do: RunControls, widgets: TrainWidgets) -> None:
    """Connect the name, the tags and the deletion of the selected run."""
    controls, label, selected = widgets.controls, widgets.label, {"run_id": widgets.controls.run}
    run, with_archived = {"run": controls.run}, {"with_archived": widgets.comparison.with_archived}
    acted = {"acted": widgets.state.acted}
    connect(with_archived["with_archived"].change, do.refresh_list, {**selected, **with_archived}, run, visitor=True,
            **UNLIMITED)  # fmt: skip
    opened = connect(controls.rename.click, do.open_rename, selected, controls.rename_outputs, **UNLIMITED)
    # Only the page can move the focus, so no handler runs.
    opened.success(None, js=read_static("focus_name.js"))
    connect(controls.cancel_rename.click, do.close_rename, selected, controls.rename_outputs, **UNLIMITED)
    renamed = {**selected, "name": controls.name, **with_archived}
    connect(
        partial(gr.on, [controls.name.submit, controls.save_name.click]),
        then_poll(do.save_name), renamed, {**run, **controls.rename_outputs, **acted}, **PRIVATE,
    )  # fmt: skip
    saved = {**selected, "name": controls.name, **label.label, **with_archived}
    connect(label.save.click, then_poll(do.save_label), saved, {**run, **acted}, api_name="save_run_label")
    connect(
        label.delete.click, do.delete, {**selected, "typed": label.typed, **with_archived}, run, api_name="delete_run"
    )


def connect_copy(do: Duplication, widgets: TrainWidgets) -> None:
    """Connect “Duplicate and change”, and the difference of the form to the parent."""
    left = widgets.left
    copy, fields, parent = left.copy, left.fields, {"parent": left.copy.parent}
    filled = connect(
        widgets.controls.duplicate.click, do.duplicate, {"run_id": widgets.controls.run}, {**parent, **fields},
        **UNLIMITED,
    )  # fmt: skip
    filled.success(None, js=read_static("show_copy.js"))
    # A preset or imported settings replace those that were copied from a run.
    anew = [copy.forget.click, left.form.preset.input, left.settings.yaml_file.upload]
    connect(partial(gr.on, anew), do.forget, outputs=parent, **UNLIMITED)
    changed = [copy.parent.change, *(field.change for field in fields.values())]
    connect(partial(gr.on, changed), do.compare, {**parent, **fields}, copy.outputs, **UNLIMITED, **LATEST_ONLY)


def connect_run_view(do: RunView, widgets: TrainWidgets) -> None:
    """Connect the charts, the sample answers, the log and the downloads."""
    view, state, run = widgets.view, widgets.state, {"run_id": widgets.controls.run}
    chart_inputs = {**run, "metric": view.metric, "zoom": state.zoom, "with_previous": view.with_previous}
    sent = {"sent": state.sent}
    outputs = {**view.outputs, **sent}
    for event in (state.zoom.change, view.metric.change, view.with_previous.change):
        connect(event, forget_sent(do.render), chart_inputs, outputs, visitor=True, **UNLIMITED, **LATEST_ONLY)

    def set_zoom(event: gr.EventData) -> dict[str, Any]:
        return {"zoom": step_range(event)}

    for chart in (view.loss_chart, view.metric_chart):
        connect(chart.zoomed, set_zoom, outputs={"zoom": state.zoom}, visitor=True, **UNLIMITED)
    connect(
        view.samples_at.input,
        forget_sent(do.pin_samples),
        {**run, "index": view.samples_at},
        {**view.sample_outputs, "pinned": state.pinned, **sent},
        visitor=True,
        **UNLIMITED,
    )
    for event in (view.read_log.click, view.log_tab.select):
        connect(event, do.read_log, run, {"log": view.log}, **UNLIMITED)
    view.csv.makes(event_handler(do.write_csv, visitor=True), widgets.controls.run, **PRIVATE, **HEAVY)
    view.report.makes(event_handler(do.write_report, visitor=True), widgets.controls.run, **PRIVATE, **HEAVY)


def connect_step_rows(do: StepRows, widgets: TrainWidgets) -> None:
    """Connect the rows of a step that was clicked in the loss chart."""
    view, run = widgets.view, {"run_id": widgets.controls.run}

    def list_rows(run_id: str | None, event: gr.EventData) -> dict[str, Any]:
        return do.list_rows(run_id, event.step)

    rows = {"row": view.row, "step": view.step}
    connect(view.loss_chart.picked, list_rows, run, rows, visitor=True, **PRIVATE, **HEAVY)
    row = {**run, "row": view.row}
    for event in (view.row.change, view.as_tokens.change):
        inputs = {**row, "as_tokens": view.as_tokens}
        connect(event, do.render_row, inputs, {"row_view": view.row_view}, visitor=True, **PRIVATE, **HEAVY)
    connect(view.exclude.click, do.exclude_row, row, {"new_subset": widgets.state.new_subset}, api_name="exclude_row")


def connect_comparison(do: RunComparison, widgets: TrainWidgets) -> None:
    """Connect the table of all runs and its curves."""
    comparison, state, views = widgets.comparison, widgets.state, widgets.views
    table, chosen = comparison.table, {"comparison": state.comparison}

    def sort_by(comparison: ComparisonState, event: gr.EventData) -> dict[str, Any]:
        return {"comparison": do.sort_by(comparison, name_of(event))}

    def pick(comparison: ComparisonState, event: gr.EventData) -> dict[str, Any]:
        return {"comparison": do.pick(comparison, ticked_names(event))}

    def pin(comparison: ComparisonState, baseline: str | None) -> dict[str, Any]:
        return {"comparison": do.pin(comparison, baseline)}

    def select_view(event: gr.SelectData) -> dict[str, Any]:
        return {"comparison_visible": event.index == 1}

    def open_run(event: gr.EventData) -> dict[str, Any]:
        return {"run": name_of(event), "views": gr.update(selected="run")}

    def render(comparison_visible: bool, **values: Any) -> dict[str, Any]:
        return {**do.render(**values), "sent": {}} if comparison_visible else {}

    connect(table.sort_by, sort_by, chosen, chosen, visitor=True, **UNLIMITED)
    connect(
        comparison.baseline.input, pin, {**chosen, "baseline": comparison.baseline}, chosen, visitor=True, **UNLIMITED
    )
    connect(table.tick_row, pick, chosen, chosen, visitor=True, **UNLIMITED)
    outputs = {"comparison_visible": state.comparison_visible}
    connect(views.select, select_view, outputs=outputs, visitor=True, **UNLIMITED)
    outputs = {"run": widgets.controls.run, "views": views}
    connect(table.open_row, open_run, outputs=outputs, visitor=True, **UNLIMITED)
    chart_inputs = {
        **chosen, "metric": comparison.metric, "with_archived": comparison.with_archived,
        "comparison_visible": state.comparison_visible,
    }  # fmt: skip
    for widget in chart_inputs.values():
        inputs = {**chart_inputs, "run_id": widgets.controls.run}
        outputs = {**comparison.outputs, "sent": state.sent}
        connect(widget.change, render, inputs, outputs, visitor=True, **UNLIMITED, **LATEST_ONLY)


def connect_polling(
    do: Polling, widgets: TrainWidgets, demo: gr.Blocks, tab_selected: Callable[..., Any]
) -> gr.Timer:  # fmt: skip
    """Connect the poll, the choice of a run and the opening of the page; return the timer."""
    controls, view, comparison, state = widgets.controls, widgets.view, widgets.comparison, widgets.state
    timer = gr.Timer(_POLL_SECONDS["gpu" if gpu.memory() else "cpu"], active=False)
    seen = {"run_fingerprint": state.run_fingerprint, "runs_fingerprint": state.runs_fingerprint, "sent": state.sent}
    shown = {"run_id": controls.run, "metric": view.metric}
    with_form = {"with_form": controls.with_form, "with_previous": view.with_previous}
    with_archived = {"with_archived": comparison.with_archived}
    listed = {"runs_fingerprint": state.runs_fingerprint, "run": controls.run, "queue": controls.queue}
    connect(
        partial(gr.on, [timer.tick, tab_selected, state.acted.change]),
        do.poll,
        {
            **seen, **shown, **with_archived, **with_form, "zoom": state.zoom, "pinned": state.pinned,
            "comparison": state.comparison, "comparison_metric": comparison.metric,
            "comparison_visible": state.comparison_visible,
        },
        {**listed, **widgets.run_outputs, **comparison.outputs},
        visitor=True,
        trigger_mode="once",
        **UNLIMITED,
    )  # fmt: skip
    opened = {
        **widgets.run_outputs, **view.detail_outputs, "zoom": state.zoom, **widgets.label.label,
        **controls.rename_outputs, "typed": widgets.label.typed, "opened": state.opened,
    }  # fmt: skip
    inputs = {**shown, **with_form, "opened": state.opened}
    connect(controls.run.change, do.select_run, inputs, opened, visitor=True, **UNLIMITED, **LATEST_ONLY)
    connect(demo.load, do.open_page, {**shown, **with_archived}, {**listed, **opened}, visitor=True, **UNLIMITED)
    return timer
