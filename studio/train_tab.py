"""The Train tab, assembled: set the knobs, check, start, watch, let a run go on. The page only reads a run's files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.hardware import gpu
from core.runs.metrics_series import Timelines
from core.runs.store import RunStore
from core.system.jobs import Jobs
from studio.handlers import event_handler, info
from studio.job_progress import cancel, job_outputs
from studio.train.compare import Choice, Compare, CompareWidgets, build_compare
from studio.train.controls import Controls, ControlWidgets, LabelWidgets, build_controls, build_label
from studio.train.form import Form, FormWidgets, build_form
from studio.train.polling import Beat
from studio.train.preflight import Checking
from studio.train.run_view import Watch, WatchWidgets, build_watch
from studio.wiring import connect

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
# A beat takes the browser and the server half a second of a core together, most of it in Gradio's own code. Without a
# GPU a run needs those cores: at a beat every two seconds Quick demo took a third longer than with the page closed.
_EVERY_SECONDS = {"gpu": 2, "cpu": 4}


@dataclass(frozen=True)
class TrainTab:
    """What studio/app.py may link to."""

    run: gr.Dropdown
    subset: gr.Dropdown
    subsets: Callable[[], list[tuple[str, str]]]
    listed: gr.State  # changes whenever a run has another state, name or checkpoint
    cut: gr.State  # the name of a subset that this tab cut
    clock: gr.Timer  # beats while the tab is seen


def build_train_tab(runs: RunStore, jobs: Jobs, demo: gr.Blocks, looked_at: Callable[..., Any]) -> TrainTab:
    """Build the tab.

    Args:
        looked_at: the event of somebody's turning to it, for whom it is brought up to date at once.
    """
    timelines = Timelines()
    form, controls, watch = Form(runs), Controls(runs), Watch(runs, timelines)
    cut = gr.State(None)
    with gr.Row(elem_id="train-row"):
        with gr.Column(scale=2, min_width=320):
            asked = build_form(form)
        with gr.Column(scale=4, min_width=340), gr.Tabs(elem_id="train-views", overflow_behavior="wrap") as views:
            with gr.Tab("This run", id="run"):
                done = build_controls()
                shown = build_watch()
                about = build_label()
            with gr.Tab("All runs", id="all"):
                compared = build_compare()
    states = States()
    compare = Compare(runs, timelines)
    _wire_form(form, asked, done, demo)
    _wire_checks(Checking(runs, jobs), asked)
    _wire_controls(controls, done, about, asked, demo)
    _wire_watch(watch, shown, done, states)
    _wire_details(watch, shown, done, states, cut)
    _wire_compare(compare, compared, done, about, states, views)
    clock = _wire_beat(Beat(controls, watch, compare), states, done, shown, about, compared, looked_at)
    return TrainTab(done.run, asked.fields["subset"], form.subsets, states.listed, cut, clock)


class States:
    """What a page remembers of what it shows."""

    def __init__(self) -> None:
        self.seen = gr.State("")  # the watched run's files
        self.listed = gr.State("")  # all runs
        self.zoom = gr.State(None)
        self.scrubbed = gr.State(None)
        self.choice = gr.State(Choice())
        self.on_all = gr.State(False)  # whether the table of all runs is seen


def _wire_beat(
    do: Beat, states: States, done: ControlWidgets, shown: WatchWidgets, about: LabelWidgets, compared: CompareWidgets,
    looked_at: Callable[..., Any],
) -> gr.Timer:  # fmt: skip
    clock = gr.Timer(_EVERY_SECONDS["gpu" if gpu.memory() else "cpu"], active=False)
    drawn = [*shown.drawn, shown.samples_at, shown.samples, *done.able]
    gr.on(
        [clock.tick, looked_at], event_handler(do.beat, visitor=True),
        [states.seen, states.listed, done.run, about.every, shown.measure, states.zoom, states.scrubbed,
         states.choice, compared.measure, states.on_all],
        [states.seen, states.listed, done.run, done.queue, *drawn, *compared.drawn],
        trigger_mode="once", **QUIET,
    )  # fmt: skip
    done.run.change(
        event_handler(do.opened, visitor=True), [done.run, shown.measure],
        [states.seen, states.zoom, *drawn, *about.label],
        trigger_mode="always_last", **QUIET,
    )  # fmt: skip
    return clock


def _wire_form(do: Form, asked: FormWidgets, done: ControlWidgets, demo: gr.Blocks) -> None:
    filled = asked.in_order
    demo.load(event_handler(do.on_load), None, [asked.fields["model"], asked.fields["subset"]], **QUIET)
    asked.preset.change(event_handler(do.preset), asked.preset, [asked.reason, *filled], **QUIET)
    asked.same.click(event_handler(do.from_run), done.run, filled, **QUIET)
    asked.yaml_file.upload(event_handler(do.from_file), asked.yaml_file, filled, **QUIET)
    asked.share.click(
        event_handler(do.shared), inputs_kwargs=asked.fields, outputs=[asked.yaml, asked.command], **QUIET
    )
    for event in (asked.extent.change, *(widget.change for widget in asked.deciding)):
        event(event_handler(do.visible), [asked.extent, *asked.deciding], [*filled, *asked.groups], **QUIET)


def _wire_checks(do: Checking, asked: FormWidgets) -> None:
    shown, job = asked.checking, gr.State(None)
    seen = [shown.findings, shown.memory, shown.make_fit]
    shown.check.click(event_handler(do.check), inputs_kwargs=asked.fields, outputs=seen, api_name="check")
    shown.make_fit.click(event_handler(do.make_fit), inputs_kwargs=asked.fields, outputs=asked.in_order, **QUIET).then(
        event_handler(do.check), inputs_kwargs=asked.fields, outputs=seen, **QUIET
    )
    connect(
        shown.measure.click,
        do.measure,
        asked.fields,
        {**job_outputs(shown.bar, job), "measured": shown.measured},
        show_progress="hidden",
        api_name="measure",
    )
    shown.bar.cancel.click(event_handler(lambda number: cancel(do.jobs, number)), job, None, **QUIET)


def _wire_controls(
    do: Controls, done: ControlWidgets, about: LabelWidgets, asked: FormWidgets, demo: gr.Blocks
) -> None:
    run, every = done.run, about.every
    demo.load(event_handler(do.listed, visitor=True), [run, every], run, **QUIET)
    every.change(event_handler(do.listed, visitor=True), [run, every], run, **QUIET)
    asked.start.click(
        event_handler(do.start), inputs_kwargs={"archived": every, **asked.fields}, outputs=run, api_name="start",
    )  # fmt: skip
    done.stop.click(event_handler(do.stop), run, None, api_name="stop", concurrency_limit=None)
    done.kill.click(event_handler(do.kill), run, None, api_name="kill", concurrency_limit=None)
    resumed = {"run_id": run, "with_form": about.with_form, **asked.fields}
    done.resume.click(
        event_handler(do.resume), inputs_kwargs=resumed, outputs=None, api_name="resume", concurrency_limit=None
    )
    done.earlier.click(event_handler(lambda run_id: do.move(run_id, -1)), run, done.queue, **QUIET)
    done.later.click(event_handler(lambda run_id: do.move(run_id, 1)), run, done.queue, **QUIET)
    about.save.click(event_handler(do.save_label), [run, *about.label, every], run, api_name="save_label")
    about.delete.click(event_handler(do.delete), [run, about.typed, every], run, api_name="delete")


def _wire_watch(do: Watch, shown: WatchWidgets, done: ControlWidgets, states: States) -> None:
    run, zoom = done.run, states.zoom
    for event in (zoom.change, shown.measure.change):
        event(
            event_handler(do.shown, visitor=True),
            [run, shown.measure, zoom],
            shown.drawn,
            trigger_mode="always_last",
            **QUIET,
        )

    def zoomed(event: gr.EventData) -> dict[str, int] | None:
        return {"low": event.low, "high": event.high} if event.low is not None else None

    for chart in (shown.losses, shown.other):
        chart.zoomed(event_handler(zoomed, visitor=True), None, zoom, **QUIET)
    shown.csv.makes(event_handler(do.as_csv, visitor=True), run, **QUIET)
    shown.report.makes(event_handler(do.as_report, visitor=True), run, **QUIET)


def _wire_details(do: Watch, shown: WatchWidgets, done: ControlWidgets, states: States, cut: gr.State) -> None:
    run = done.run

    def picked(run_id: str | None, event: gr.EventData) -> tuple[Any, str]:
        return do.rows_of(run_id, event.step)

    shown.losses.picked(event_handler(picked, visitor=True), run, [shown.row, shown.step], **QUIET)
    for event in (shown.row.change, shown.as_tokens.change):
        event(event_handler(do.row, visitor=True), [run, shown.row, shown.as_tokens], shown.row_shown, **QUIET)

    def without(run_id: str | None, row: int | None) -> str:
        """Cut a run's subset again without one row."""
        name = do.without(run_id, row)
        info("It is chosen in the form for the next run.", title=f"Cut {name}")
        return name

    shown.exclude.click(event_handler(without), [run, shown.row], cut, api_name="exclude")
    answers = [shown.samples_at, shown.samples, states.scrubbed]
    shown.samples_at.release(event_handler(do.scrub, visitor=True), [run, shown.samples_at], answers, **QUIET)
    shown.read_log.click(event_handler(do.log), run, shown.log, **QUIET)


def _wire_compare(
    do: Compare, shown: CompareWidgets, done: ControlWidgets, about: LabelWidgets, states: States, views: gr.Tabs
) -> None:
    choice, run = states.choice, done.run

    def clicked(change: Callable[[Choice, str], Choice]) -> Callable[..., Any]:
        def handle(chosen: Choice, event: gr.EventData) -> Choice:
            return change(chosen, str(event.value))

        return event_handler(handle, visitor=True)

    shown.table.sort_by(clicked(do.sort_by), choice, choice, **QUIET)
    shown.table.tick_row(clicked(do.pick), choice, choice, **QUIET)

    def selected(event: gr.SelectData) -> bool:
        return event.index == 1

    views.select(event_handler(selected, visitor=True), None, states.on_all, **QUIET)
    drawn = [choice, shown.measure, run, about.every, states.on_all]
    for event in (widget.change for widget in (choice, shown.measure, about.every, states.on_all)):
        event(event_handler(do.shown, visitor=True), drawn, shown.drawn, trigger_mode="always_last", **QUIET)

    def opened(event: gr.EventData) -> tuple[str, Any]:
        return str(event.value), gr.update(selected="run")

    shown.table.open_row(event_handler(opened, visitor=True), None, [run, views], **QUIET)
