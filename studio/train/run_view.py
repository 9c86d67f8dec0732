"""View of one run: status, metrics, charts, warnings, sample answers, the rows of a step, the log.

It reads nothing but the run's files, so it shows the same after a reload, in a second browser or after a restart.
"""

import csv
import threading
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.chart import Curve, build_chart, chart_value
from components.conversation import chips_html, conversation_html, empty_html, raw_html
from components.download import Download, build_download
from core.access import roles
from core.errors import StudioError
from core.runs import report
from core.runs.config import TITLES, group_of
from core.runs.events import EvalEvent, SampleEvent, StepEvent
from core.runs.metrics_series import (
    HELD_OUT_COLOR,
    HELD_OUT_LOSS,
    LOSS_COLOR,
    METRIC_COLOR,
    METRIC_TITLES,
    Timeline,
    Timelines,
)
from core.runs.store import RunStore
from core.settings import slug
from core.system.files import file_size
from studio.train.run_html import alerts_html, notes_html, status_html, tiles_html
from studio.train.step_rows import NO_STEP

NO_RUN = "No run yet. Choose the preset “Quick demo” and press Start."
NO_PUBLISHED = "No run is published yet. Runs that the owner publishes are shown here."
_NO_SAMPLES = (
    f"No sample answers yet. Enter “{TITLES['sample_prompts']}” under {group_of('sample_prompts')}, one per line."
)
# Field of a metric in the events, by its label on the page.
METRIC_FIELDS = {title: field for field, title in METRIC_TITLES.items()}
_LOG_LINES = 40

# The first and last step shown, as `low` and `high`; None shows all.
Zoom = dict[str, int] | None
# A run and the index of the evaluation pass that stays shown; None shows the newest.
Pinned = tuple[str, int] | None


class RunView:
    """Event handlers of the view of one run."""

    def __init__(self, runs: RunStore, timelines: Timelines):
        self.runs, self.timelines, self._reporting = runs, timelines, threading.Lock()

    def fingerprint(self, run_id: str | None) -> str:
        """Return a text that changes whenever the view of the run would change, except by its tags and note.

        It is cheap enough to be computed on every poll: it reads the size of the events file, not its content.
        """
        if not run_id:
            return ""
        run = self.runs.run(run_id)
        return f"{run_id} {file_size(run.events_file)} {run.state().status} {run.title}"

    def render(self, run_id: str | None, metric: str, zoom: Zoom) -> dict[str, Any]:
        """Return status, tiles, alerts, both charts and notes of a run.

        Args:
            run_id: The selected run.
            metric: A key of METRIC_FIELDS, for the second chart.
            zoom: The steps that the charts show.
        """
        if not run_id:
            text = roles.text_for_caller(NO_RUN, NO_PUBLISHED)
            cleared = {"tiles": "", "alerts": "", "notes": "", "charts": gr.update(visible=False)}
            return {"status": empty_html(text), **cleared}
        run = self.runs.run(run_id)
        timeline, state = self.timelines.of(run.events_file), run.state()
        progress = timeline.progress()
        return {
            "status": status_html(state, progress),
            "tiles": tiles_html(progress),
            "alerts": alerts_html(timeline, progress),
            "charts": gr.update(visible=progress.step > 0),
            "loss_chart": _loss_chart(timeline, zoom),
            "metric_chart": _metric_chart(timeline, metric, zoom),
            "notes": notes_html(run, progress),
        }

    def clear_details(self) -> dict[str, Any]:
        """Return empty rows of a step and an empty log, for another run: only a click fills them again."""
        hidden = gr.update(choices=[], value=None, visible=False)
        return {"step": empty_html(NO_STEP), "row": hidden, "row_view": "", "log": ""}

    # Sample answers

    def pin_samples(self, run_id: str | None, index: int) -> dict[str, Any]:
        """Show the sample answers of one evaluation pass; at the newest one, follow those that come later.

        The server keeps the choice, because the slider's value in the browser may be older than the last poll.

        Args:
            run_id: The selected run.
            index: The evaluation pass, counted from 0.
        """
        last = len(self._samples(run_id)) - 1
        pinned = (run_id, int(index)) if run_id and index < last else None
        return {**self.render_samples(run_id, pinned), "pinned": pinned}

    def render_samples(self, run_id: str | None, pinned: Pinned = None) -> dict[str, Any]:
        """Return the slider over the evaluation passes and the sample answers of the selected one."""
        found = self._samples(run_id)
        if not found:
            return {"samples_at": gr.update(visible=False), "samples": empty_html(_NO_SAMPLES)}
        last = len(found) - 1
        index = min(max(0, pinned[1]), last) if pinned and pinned[0] == run_id else last
        event = found[index]
        conversations = [
            conversation_html([{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}])
            for prompt, answer in zip(event.prompts, event.answers, strict=False)
        ]
        # A slider needs a maximum above its minimum even while it is hidden.
        slider = gr.update(visible=len(found) > 1, maximum=max(1, last), value=index)
        step = chips_html([("", f"answered at step {event.step}", False)])
        return {"samples_at": slider, "samples": "".join([step, *conversations])}

    def _samples(self, run_id: str | None) -> list[SampleEvent]:
        return self.timelines.of(self.runs.run(run_id).events_file).samples if run_id else []

    # Files

    def read_log(self, run_id: str | None) -> dict[str, str]:
        """Return the last lines of the worker's log."""
        text = self.runs.run(run_id).log_tail(_LOG_LINES) if run_id else ""
        return {"log": raw_html(text) if text else empty_html("The log is empty.")}

    def write_csv(self, run_id: str | None) -> str:
        """Write one row per step, with the metrics of all curves, as CSV and return the path."""
        if not run_id:
            raise StudioError("No run is selected, so there are no points to download. Select a run first.")
        run = self.runs.run(run_id)
        path = roles.exports(self.runs.settings) / f"{slug(run.id)}-curves.csv"
        events = run.events()
        held_out = {event.step: event.loss for event in events if isinstance(event, EvalEvent)}
        names = ["step", "tokens", "seconds", *METRIC_FIELDS.values(), "loss"]
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow([*names, "held_out_loss"])
            for event in events:
                if isinstance(event, StepEvent):
                    writer.writerow([*(getattr(event, name) for name in names), held_out.get(event.step)])
        return str(path)

    def write_report(self, run_id: str | None) -> str:
        """Write the run's report with its plots as a zip and return the path."""
        if not run_id:
            raise StudioError("No run is selected, so there is nothing to report. Select a run first.")
        run = self.runs.run(run_id)
        archive = roles.exports(self.runs.settings) / f"{slug(run.id)}-report.zip"
        # Another caller's report of the same run is written to the same folder.
        with self._reporting:
            report.pack(report.write(run, run.state()).parent, archive)
        return str(archive)


def _limits(zoom: Zoom) -> tuple[int | None, int | None]:
    return (zoom["low"], zoom["high"]) if zoom and zoom.get("low") is not None else (None, None)


def _loss_chart(timeline: Timeline, zoom: Zoom) -> dict[str, Any]:
    low, high = _limits(zoom)
    curves = [
        Curve("loss", LOSS_COLOR, timeline.curve("loss", low, high)),
        Curve(HELD_OUT_LOSS, HELD_OUT_COLOR, timeline.curve(HELD_OUT_LOSS, low, high), dashed=True),
    ]
    return chart_value("loss", curves, is_zoomed=low is not None)


def _metric_chart(timeline: Timeline, metric: str, zoom: Zoom) -> dict[str, Any]:
    low, high = _limits(zoom)
    points = timeline.curve(METRIC_FIELDS[metric], low, high)
    return chart_value(metric, [Curve(metric, METRIC_COLOR, points)], is_zoomed=low is not None)


@dataclass(frozen=True)
class RunViewWidgets:
    """Widgets of the view of one run.

    Attributes:
        charts: The column with everything that is shown from the first step on.
        metric: Selects the metric of the second chart.
        samples_at: Selects the evaluation pass whose sample answers are shown.
        row: Selects a row of the step that was clicked in the loss chart.
    """

    status: gr.HTML
    tiles: gr.HTML
    alerts: gr.HTML
    charts: gr.Column
    loss_chart: gr.HTML
    metric: gr.Radio
    metric_chart: gr.HTML
    csv: Download
    report: Download
    notes: gr.HTML
    samples_at: gr.Slider
    samples: gr.HTML
    row: gr.Dropdown
    as_tokens: gr.Checkbox
    step: gr.HTML
    row_view: gr.HTML
    exclude: gr.Button
    log: gr.HTML
    read_log: gr.Button

    @property
    def outputs(self) -> dict[str, Block]:
        """Return the components that `RunView.render` updates, by name."""
        names = ("status", "tiles", "alerts", "charts", "loss_chart", "metric_chart", "notes")
        return {name: getattr(self, name) for name in names}

    @property
    def detail_outputs(self) -> dict[str, Block]:
        """Return the components that `RunView.clear_details` updates, by name."""
        return {name: getattr(self, name) for name in ("step", "row", "row_view", "log")}

    @property
    def sample_outputs(self) -> dict[str, Block]:
        """Return the components that `RunView.render_samples` updates, by name."""
        return {"samples_at": self.samples_at, "samples": self.samples}


def build_run_view() -> RunViewWidgets:
    """Build the view in the open layout; the charts are hidden until there is a step."""
    status = gr.HTML(empty_html(NO_RUN), elem_id="run-status", padding=False)
    tiles = gr.HTML(elem_id="run-tiles", padding=False)
    alerts = gr.HTML(elem_id="run-alerts", padding=False)
    with gr.Column(visible=False) as charts:
        loss_chart = build_chart("loss-chart", 290)
        with gr.Tabs(elem_id="run-details", overflow_behavior="wrap"):
            with gr.Tab("Metrics"):
                labels = list(METRIC_FIELDS)
                metric = gr.Radio(labels, value=labels[0], label="Metric", show_label=False, container=False,
                                  elem_id="metric")  # fmt: skip
                metric_chart = build_chart("metric-chart", 190)
                points = build_download("Download all points as CSV", "curves-csv")
            with gr.Tab("Rows of a step"):
                step = gr.HTML(empty_html(NO_STEP), elem_id="step", padding=False)
                with gr.Row():
                    row = gr.Dropdown([], label="Row", visible=False, filterable=False, elem_id="step-row")
                    as_tokens = gr.Checkbox(False, label="Show tokens", elem_id="step-tokens")
                    exclude = gr.Button("Create subset without this row", size="sm", elem_id="exclude-row")
                row_view = gr.HTML(elem_id="step-row-shown", padding=False)
            with gr.Tab("Sample answers"):
                samples_at = gr.Slider(0, 1, step=1, label="Evaluation pass", visible=False, elem_id="samples-at")
                samples = gr.HTML(elem_id="samples", padding=False)
            with gr.Tab("Log"):
                read_log = gr.Button("Load the last lines", size="sm", elem_id="read-log")
                log = gr.HTML(elem_id="run-log", padding=False)
        report_zip = build_download("Download report", "run-report")
    notes = gr.HTML(elem_id="run-notes", padding=False)
    return RunViewWidgets(
        status, tiles, alerts, charts, loss_chart, metric, metric_chart, points, report_zip, notes, samples_at, samples,
        row, as_tokens, step, row_view, exclude, log, read_log,
    )  # fmt: skip
