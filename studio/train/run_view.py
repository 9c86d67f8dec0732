"""View of one run: status, metrics, charts, warnings, sample answers, the rows of a step, the log.

It reads nothing but the run's files, so it shows the same after a reload, in a second browser or after a restart.
"""

import threading
from typing import Any

import gradio as gr

from components.chart import Curve, chart_value
from components.conversation import chips_html, conversation_html, empty_html, raw_html
from core.access import roles
from core.errors import StudioError
from core.runs import report
from core.runs.comparison import previous_run
from core.runs.config import TITLES, group_of
from core.runs.events import SampleEvent
from core.runs.metrics_series import (
    CLASSIFIER_COLORS,
    CLASSIFIER_METRICS,
    HELD_OUT_COLOR,
    HELD_OUT_LOSS,
    LOSS_COLOR,
    METRIC_COLOR,
    METRIC_TITLES,
    Timeline,
    Timelines,
)
from core.runs.names import file_stem
from core.runs.points import write_points
from core.runs.store import NOT_ENDED, Run, RunStore
from core.system.files import file_size, modified_ns
from studio.train.run_html import alerts_html, label_html, notes_html, status_html, tiles_html
from studio.train.step_rows import NO_STEP

NO_RUN = "No run yet. Choose the preset “Quick demo” and press Start."
NO_PUBLISHED = "No run is published yet. Runs that the owner publishes are shown here."
_NO_SAMPLES = (
    f"This run has no sample prompts. For a new run, enter some under All settings, {group_of('sample_prompts')}, "
    f"“{TITLES['sample_prompts']}”, one per line."
)
_NO_SAMPLES_YET = "No sample answers yet. The first ones come with the first evaluation pass."
_NO_SAMPLES_LEFT = "This run ended before it had answered its sample prompts."
# Field of a metric in the events, by its label on the page.
METRIC_FIELDS = {title: field for field, title in METRIC_TITLES.items()}
_LOG_LINES = 40
_PREVIOUS_COLOR = "#94a3b8"

# The first and last step shown, as `low` and `high`; None shows all.
Zoom = dict[str, int] | None
# A run and the index of the evaluation pass that stays shown; None shows the newest.
Pinned = tuple[str, int] | None


class RunView:
    """Event handlers of the view of one run."""

    def __init__(self, runs: RunStore, timelines: Timelines):
        self.runs, self.timelines, self._reporting = runs, timelines, threading.Lock()

    def fingerprint(self, run_id: str | None) -> str:
        """Return a text that changes whenever the view of the run would change.

        It is cheap enough to be computed on every poll: of the events and the label it reads size and time, no content.
        """
        if not run_id:
            return ""
        run = self.runs.run(run_id)
        return f"{run_id} {file_size(run.events_file)} {run.state().status} {modified_ns(run.label_file)}"

    def render(self, run_id: str | None, metric: str, zoom: Zoom, with_previous: bool = False) -> dict[str, Any]:
        """Return status, label, tiles, alerts, both charts and notes of a run.

        Args:
            run_id: The selected run.
            metric: A key of METRIC_FIELDS, for the second chart.
            zoom: The steps that the charts show.
            with_previous: Whether the loss chart also shows the previous run on the same subset.
        """
        if not run_id and self.runs.runs():
            # A page that opens sends the changes of its widgets before it has the list of runs.
            return {}
        if not run_id:
            text = roles.text_for_caller(NO_RUN, NO_PUBLISHED)
            hidden = gr.update(visible=False)
            cleared = {"label": "", "tiles": "", "alerts": "", "notes": "", "charts": hidden, "made": hidden}
            return {"status": empty_html(text), **cleared}
        run = self.runs.run(run_id)
        timeline, state = self.timelines.of(run.events_file), run.state()
        progress = timeline.progress()
        previous = self._previous(run)
        return {
            "status": status_html(run, state, progress),
            "label": label_html(run),
            "tiles": tiles_html(progress),
            "alerts": alerts_html(timeline, progress),
            "charts": gr.update(visible=progress.step > 0),
            "with_previous": gr.update(visible=previous is not None),
            "loss_chart": _loss_chart(timeline, zoom, self._overlay(previous, zoom) if with_previous else []),
            "metric_chart": _metric_chart(timeline, metric, zoom),
            "notes": notes_html(run, progress),
            "made": gr.update(visible=True),
        }

    def _previous(self, run: Run) -> Run | None:
        try:
            return previous_run(run, self.runs.runs(), self._has_curve)
        except StudioError:
            # The status shows why the run's settings cannot be read.
            return None

    def _has_curve(self, run: Run) -> bool:
        return self.timelines.of(run.events_file).progress().step > 0

    def _overlay(self, previous: Run | None, zoom: Zoom) -> list[Curve]:
        """Return the curves of the previous run, in gray after those of the run itself."""
        if previous is None:
            return []
        timeline, title = self.timelines.of(previous.events_file), self.runs.titles().get(previous.id, previous.title)
        low, high = _limits(zoom)
        return [
            Curve(f"loss of {title}", _PREVIOUS_COLOR, timeline.curve("loss", low, high)),
            Curve(f"held-out loss of {title}", _PREVIOUS_COLOR, timeline.curve(HELD_OUT_LOSS, low, high), dashed=True),
        ]

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
            return {"samples_at": gr.update(visible=False), "samples": empty_html(self._why_no_samples(run_id))}
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

    def _why_no_samples(self, run_id: str | None) -> str:
        run = self.runs.run(run_id) if run_id else None
        try:
            has_prompts = run is not None and bool(run.config().questions)
        except StudioError:
            # The status shows why the run's settings cannot be read.
            return _NO_SAMPLES_LEFT
        if not has_prompts:
            return _NO_SAMPLES
        return _NO_SAMPLES_YET if run.state().status in NOT_ENDED else _NO_SAMPLES_LEFT

    def _samples(self, run_id: str | None) -> list[SampleEvent]:
        return self.timelines.of(self.runs.run(run_id).events_file).samples if run_id else []

    # Files

    def read_log(self, run_id: str | None) -> dict[str, str]:
        """Return the last lines of the worker's log."""
        text = self.runs.run(run_id).log_tail(_LOG_LINES) if run_id else ""
        return {"log": raw_html(text) if text else empty_html("The log is empty.")}

    def write_csv(self, run_id: str | None) -> str:
        """Write one row per step with a metric or a held-out loss, with all curves, as CSV and return the path."""
        if not run_id:
            raise StudioError("No run is selected, so there are no points to download. Select a run first.")
        run = self.runs.run(run_id)
        path = roles.exports(self.runs.settings) / f"{file_stem(run.title, run.id)}-curves.csv"
        write_points(run, path)
        return str(path)

    def write_report(self, run_id: str | None) -> str:
        """Write the run's report with its plots as a zip and return the path."""
        if not run_id:
            raise StudioError("No run is selected, so there is nothing to report. Select a run first.")
        run = self.runs.run(run_id)
        archive = roles.exports(self.runs.settings) / f"{file_stem(run.title, run.id)}-report.zip"
        # Another caller's report of the same run is written to the same folder.
        with self._reporting:
            report.pack(report.write(run, run.state()).parent, archive)
        return str(archive)


def _limits(zoom: Zoom) -> tuple[int | None, int | None]:
    return (zoom["low"], zoom["high"]) if zoom and zoom.get("low") is not None else (None, None)


def _loss_chart(timeline: Timeline, zoom: Zoom, overlay: list[Curve]) -> dict[str, Any]:
    low, high = _limits(zoom)
    curves = [
        Curve("loss", LOSS_COLOR, timeline.curve("loss", low, high)),
        Curve(HELD_OUT_LOSS, HELD_OUT_COLOR, timeline.curve(HELD_OUT_LOSS, low, high), dashed=True),
    ]
    # Shares between 0 and 1, which fit beside the loss of a choice among labels.
    shares = [
        Curve(title, CLASSIFIER_COLORS[title], points, dashed=True)
        for title in CLASSIFIER_METRICS
        if (points := timeline.curve(title, low, high))
    ]
    return chart_value("loss", [*curves, *shares, *overlay], is_zoomed=low is not None)


def _metric_chart(timeline: Timeline, metric: str, zoom: Zoom) -> dict[str, Any]:
    low, high = _limits(zoom)
    points = timeline.curve(METRIC_FIELDS[metric], low, high)
    return chart_value(metric, [Curve(metric, METRIC_COLOR, points)], is_zoomed=low is not None)
