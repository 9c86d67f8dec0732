"""Train tab: settings, preflight checks, start, and the view of one run or of all runs.

The tab starts worker processes and reads their files; training does not depend on the page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.runs.metrics_series import Timelines
from core.runs.store import RunStore
from core.system.jobs import Jobs
from studio.job_progress import cancel, job_outputs
from studio.train.compare import RunComparison, build_comparison
from studio.train.control_widgets import build_controls, build_label
from studio.train.controls import RunControls
from studio.train.duplicate import Duplication, build_copy
from studio.train.form import RunForm, build_settings, build_start
from studio.train.polling import Polling
from studio.train.preflight import Preflight, build_preflight
from studio.train.run_events import (
    connect_comparison,
    connect_copy,
    connect_label,
    connect_polling,
    connect_run_view,
    connect_step_rows,
    then_poll,
)
from studio.train.run_view import RunView
from studio.train.run_view_widgets import build_run_view
from studio.train.step_rows import StepRows
from studio.train.widgets import TrainStates, TrainWidgets
from studio.wiring import UNLIMITED, connect


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
    _connect_form(form, widgets, demo)
    _connect_preflight(Preflight(runs, jobs), widgets)
    _connect_controls(controls, widgets)
    connect_label(controls, widgets)
    connect_copy(Duplication(runs), widgets)
    connect_run_view(view, widgets)
    connect_step_rows(StepRows(runs), widgets)
    connect_comparison(comparison, widgets)
    timer = connect_polling(Polling(controls, view, comparison), widgets, demo, tab_selected)
    state = widgets.state
    subset = widgets.settings.fields["subset"]
    return TrainTab(widgets.controls.run, subset, form.subsets, state.runs_fingerprint, state.new_subset, timer)


def _build_widgets(form: RunForm) -> TrainWidgets:
    with gr.Row(elem_id="train-row"):
        with gr.Column(scale=2, min_width=320):
            start = build_start(form)
            copy = build_copy()
            preflight = build_preflight()
            settings = build_settings(start)
        with gr.Column(scale=4, min_width=340), gr.Tabs(elem_id="train-views", overflow_behavior="wrap") as views:
            with gr.Tab("This run", id="run"):
                controls = build_controls()
                view = build_run_view()
                label = build_label()
            with gr.Tab("All runs", id="all"):
                comparison = build_comparison()
    return TrainWidgets(start, preflight, settings, controls, view, label, copy, comparison, views, TrainStates())


def _connect_form(do: RunForm, widgets: TrainWidgets, demo: gr.Blocks) -> None:
    start, settings, fields = widgets.start, widgets.settings, widgets.settings.fields
    lists = {"model": fields["model"], "subset": fields["subset"]}
    connect(demo.load, do.refresh_choices, outputs=lists, **UNLIMITED)
    preset_outputs = {"reason": start.reason, **fields}
    connect(start.preset.change, do.apply_preset, {"preset": start.preset}, preset_outputs, **UNLIMITED)
    connect(settings.copy_run.click, do.copy_run, {"run_id": widgets.controls.run}, fields, **UNLIMITED)
    connect(settings.yaml_file.upload, do.import_yaml, {"upload": settings.yaml_file}, fields, **UNLIMITED)
    exported = {"yaml": settings.yaml, "command": settings.command}
    connect(settings.export.click, do.export_settings, fields, exported, **UNLIMITED)
    deciding = {"extent": settings.extent, **settings.fields_with_dependents}
    for widget in deciding.values():
        connect(widget.change, do.update_visibility, deciding, {**fields, **settings.groups}, **UNLIMITED)


def _connect_preflight(do: Preflight, widgets: TrainWidgets) -> None:
    preflight, fields, job = widgets.preflight, widgets.settings.fields, gr.State(None)
    connect(preflight.check.click, do.check, fields, preflight.check_outputs, api_name="check")
    changed = connect(preflight.make_fit.click, do.make_fit, fields, fields, **UNLIMITED)
    connect(changed.then, do.check, fields, preflight.check_outputs, **UNLIMITED)
    connect(
        preflight.measure.click,
        do.measure,
        fields,
        {**job_outputs(preflight.bar, job), "measured": preflight.measured},
        show_progress="hidden",
        api_name="measure",
    )
    connect(preflight.bar.cancel.click, lambda job: cancel(do.jobs, job), {"job": job}, **UNLIMITED)


def _connect_controls(do: RunControls, widgets: TrainWidgets) -> None:
    controls, fields, acted = widgets.controls, widgets.settings.fields, {"acted": widgets.state.acted}
    with_archived, selected = {"with_archived": widgets.comparison.with_archived}, {"run_id": controls.run}

    connect(
        widgets.start.start.click,
        do.start,
        {**with_archived, "parent": widgets.copy.parent, **fields},
        {"run": controls.run},
        api_name="start",
    )
    unlimited = {"concurrency_limit": None}
    connect(controls.stop.click, then_poll(do.stop), selected, acted, api_name="stop", **unlimited)
    connect(controls.kill.click, then_poll(do.kill), selected, acted, api_name="kill", **unlimited)
    resumed = {**selected, "with_form": controls.with_form, **fields}
    connect(controls.resume.click, then_poll(do.resume), resumed, acted, api_name="resume", **unlimited)
    moved = {"queue": controls.queue, **acted}
    connect(controls.earlier.click, then_poll(lambda run_id: do.move(run_id, -1)), selected, moved, **UNLIMITED)
    connect(controls.later.click, then_poll(lambda run_id: do.move(run_id, 1)), selected, moved, **UNLIMITED)
    shown = {**controls.buttons, "more": widgets.label.more}
    inputs = {**selected, "with_form": controls.with_form}
    connect(controls.with_form.change, do.update_buttons, inputs, shown, **UNLIMITED)
