"""The watch of a run: status, figures, curves, warnings, sample answers, the rows of a step, the log."""

import csv
import shutil
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.chart import Curve, build_chart, chart_value
from components.conversation import chips_html, conversation_html, empty_html, raw_html, tokens_html
from components.download import Download, build_download
from core.access import roles
from core.data import subset
from core.data.tokens import Renderer, TemplateError
from core.errors import StudioError
from core.models import catalogue
from core.runs import report
from core.runs.events import EvalEvent, SampleEvent, StepEvent
from core.runs.metrics_series import HELD_OUT, Timeline, Timelines
from core.runs.store import RunStore
from core.settings import slug
from studio.train.run_html import alerts_html, notes_html, status_html, tiles_html

NO_RUN = "No run yet. Choose the preset “Quick demo” and press Start: it takes about two minutes on two CPU cores."
NO_PUBLISHED = "No run is published yet: a finished one that the owner publishes is here to read."
MEASURES = {
    "learning rate": "learning_rate", "gradient norm": "grad_norm", "tokens/s": "tokens_per_second",
    "memory (GiB)": "memory_gib", "use (%)": "use",
}  # fmt: skip
LOSS, HELD, OTHER = "#0f9488", "#e07b28", "#5b7fd6"
_LOG_LINES = 40

Zoom = dict[str, int] | None
Scrubbed = tuple[str, int] | None  # a run, and the evaluation the reader stays at; None follows the last


class Watch:
    """What this part does; names no widget's layout. Reads the run's files and nothing else."""

    def __init__(self, runs: RunStore, timelines: Timelines):
        self.runs, self.timelines = runs, timelines

    def fingerprint(self, run_id: str | None) -> str:
        """Cheap to ask every second, different whenever there is something new to draw."""
        if not run_id:
            return ""
        run = self.runs.run(run_id)
        size = run.events_file.stat().st_size if run.events_file.exists() else 0
        return f"{run_id} {size} {run.state().status} {run.title}"

    def shown(self, run_id: str | None, measure: str, zoom: Zoom) -> list[Any]:
        """Status, figures, warnings, the charts' column, two charts, notes."""
        if not run_id:
            none = f'<div class="qs-empty">{roles.text_for_caller(NO_RUN, NO_PUBLISHED)}</div>'
            return [none, "", "", gr.update(visible=False), *[gr.skip()] * 3]
        run = self.runs.run(run_id)
        timeline, state = self.timelines.of(run.events_file), run.state()
        now = timeline.progress()
        return [
            status_html(run, state, now),
            tiles_html(now),
            alerts_html(timeline, now),
            gr.update(visible=now.step > 0),
            self._losses(timeline, zoom),
            self._other(timeline, measure, zoom),
            notes_html(run, now),
        ]

    def _losses(self, timeline: Timeline, zoom: Zoom) -> dict[str, Any]:
        low, high = _ends(zoom)
        curves = [
            Curve("loss", LOSS, timeline.curve("loss", low, high)),
            Curve(HELD_OUT, HELD, timeline.curve(HELD_OUT, low, high), dashed=True),
        ]
        return chart_value("loss", curves)

    def _other(self, timeline: Timeline, measure: str, zoom: Zoom) -> dict[str, Any]:
        return chart_value(measure, [Curve(measure, OTHER, timeline.curve(MEASURES[measure], *_ends(zoom)))])

    def scrub(self, run_id: str | None, at: int) -> tuple[str, str, Scrubbed]:
        """The answers at evaluation `at`, counted from 0, and where to stay; the end goes on to the next as it comes.

        The server keeps the place: a slider's value in the browser may be of a beat ago.
        """
        last = len(self._evaluations(run_id)) - 1
        scrubbed = (run_id, int(at)) if run_id and at < last else None
        return *self.samples(run_id, scrubbed), scrubbed

    def samples(self, run_id: str | None, scrubbed: Scrubbed = None) -> tuple[Any, str]:
        """The slider over the evaluations, and the answers at the one it stands on."""
        found = self._evaluations(run_id)
        if not found:
            words = "No answers yet. Give “Sample prompts” under Measuring and saving, one a line."
            return gr.update(visible=False), empty_html(words)
        last = len(found) - 1
        place = min(max(0, scrubbed[1]), last) if scrubbed and scrubbed[0] == run_id else last
        event = found[place]
        talks = [
            conversation_html([{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}])
            for prompt, answer in zip(event.prompts, event.answers, strict=False)
        ]
        slider = gr.update(visible=len(found) > 1, maximum=max(1, len(found) - 1), value=place)
        shown = chips_html([("", f"answered at step {event.step}", False)]) + "".join(talks)
        return slider, shown

    def _evaluations(self, run_id: str | None) -> list[SampleEvent]:
        return self.timelines.of(self.runs.run(run_id).events_file).samples if run_id else []

    def log(self, run_id: str | None) -> str:
        said = self.runs.run(run_id).log_tail(_LOG_LINES) if run_id else ""
        return raw_html(said) if said else empty_html("Nothing was logged.")

    def as_csv(self, run_id: str | None) -> str:
        """Every point of every curve, as a file in exports."""
        if not run_id:
            raise StudioError("No run is chosen, so there is nothing to download.")
        run = self.runs.run(run_id)
        path = roles.exports(self.runs.settings) / f"{slug(run.id)}-curves.csv"
        held_out = {e.step: e.loss for e in run.events() if isinstance(e, EvalEvent)}
        names = ["step", "tokens", "seconds", *MEASURES.values(), "loss"]
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow([*names, "held_out_loss"])
            for event in run.events():
                if isinstance(event, StepEvent):
                    writer.writerow([*(getattr(event, name) for name in names), held_out.get(event.step)])
        return str(path)

    def as_report(self, run_id: str | None) -> str:
        """The run on one page with its plots, made now, as a zip in exports."""
        if not run_id:
            raise StudioError("No run is chosen, so there is nothing to report on.")
        run = self.runs.run(run_id)
        page = report.write(run, run.state())
        return shutil.make_archive(
            str(roles.exports(self.runs.settings) / f"{slug(run.id)}-report"), "zip", page.parent
        )

    def rows_of(self, run_id: str | None, step: int) -> tuple[Any, str]:
        """The rows that a step was trained on, to choose from."""
        if not run_id:
            return gr.update(choices=[], value=None), ""
        run = self.runs.run(run_id)
        found = next((e for e in run.events() if isinstance(e, StepEvent) and e.step == int(step)), None)
        if found is None:
            return gr.update(choices=[], value=None), empty_html(f"Step {step} is no step of this run.")
        rows = found.rows
        choices = [(f"row {row:,}", row) for row in dict.fromkeys(rows)]
        facts = [(f"Step {step}", f"trained on {len(rows)} rows, loss {found.loss}", False)]
        return gr.update(choices=choices, value=choices[0][1] if choices else None, visible=True), chips_html(facts)

    def row(self, run_id: str | None, row: int | None, as_tokens: bool) -> str:
        """One row of the run's subset, as a conversation or as the trainer's tokens."""
        if not run_id or row is None:
            return empty_html("Click a point of the loss curve to read the rows of that step.")
        run = self.runs.run(run_id)
        config = run.config()
        messages = next((m for _, number, m in subset.stream(self.runs.settings, config.subset) if number == row), None)
        if messages is None:
            return empty_html(f"Row {row} is no longer in the subset {config.subset!r}.")
        if not as_tokens:
            return conversation_html(messages)
        from core.models.loading import load_tokenizer

        tokenizer = load_tokenizer(catalogue.find(self.runs.settings, config.model, config.revision))
        try:
            shown = Renderer(tokenizer, config.chat_template).render(messages, all_text=not config.answers_only)
        except TemplateError as error:
            return chips_html([("⚠", f"Not trained on: {error}", True)])
        pieces = [
            (shown.text[start:end], role, label >= 0)
            for (start, end), role, label in zip(shown.offsets, shown.roles, shown.labels, strict=True)
        ]
        notes = chips_html([("⚠", note, True) for note in shown.notes]) if shown.notes else ""
        return notes + tokens_html(pieces, config.max_length)

    def without(self, run_id: str | None, row: int | None) -> str:
        """Cut the run's subset again without one row; the new subset's name."""
        if not run_id or row is None:
            raise StudioError("No row is chosen. Click a point of the loss curve first.")
        known = subset.find(self.runs.settings, self.runs.run(run_id).config().subset)
        gone = sorted({*known.recipe.excluded, int(row)})
        recipe = known.recipe.model_copy(update={"excluded": gone})
        stem = known.name.partition("-without-")[0]
        return subset.cut(self.runs.settings, slug(f"{stem}-without-{'-'.join(map(str, gone))}")[:90], recipe).name


def _ends(zoom: Zoom) -> tuple[int | None, int | None]:
    return (zoom["low"], zoom["high"]) if zoom and zoom.get("low") is not None else (None, None)


@dataclass(frozen=True)
class WatchWidgets:
    status: gr.HTML
    tiles: gr.HTML
    alerts: gr.HTML
    charts: gr.Column
    losses: gr.HTML
    measure: gr.Radio
    other: gr.HTML
    csv: Download
    report: Download
    notes: gr.HTML
    samples_at: gr.Slider
    samples: gr.HTML
    row: gr.Dropdown
    as_tokens: gr.Checkbox
    step: gr.HTML
    row_shown: gr.HTML
    exclude: gr.Button
    log: gr.HTML
    read_log: gr.Button

    @property
    def drawn(self) -> list[gr.components.Component]:
        return [self.status, self.tiles, self.alerts, self.charts, self.losses, self.other, self.notes]


def build_watch() -> WatchWidgets:
    status = gr.HTML(f'<div class="qs-empty">{NO_RUN}</div>', elem_id="run-status", padding=False)
    tiles = gr.HTML(elem_id="run-tiles", padding=False)
    warned = gr.HTML(elem_id="run-alerts", padding=False)
    with gr.Column(visible=False) as charts:
        losses = build_chart("loss-chart", 290)
        with gr.Tabs(elem_id="run-details", overflow_behavior="wrap"):
            with gr.Tab("Measures"):
                measure = gr.Radio(list(MEASURES), value=next(iter(MEASURES)), label="Measure", show_label=False,
                                   container=False, elem_id="measure")  # fmt: skip
                other = build_chart("measure-chart", 190)
                points = build_download("Every point as CSV", "curves-csv")
            with gr.Tab("Rows of a step"):
                step = gr.HTML(empty_html("Click a point of the loss curve to read the rows of that step."),
                               elem_id="step", padding=False)  # fmt: skip
                with gr.Row():
                    row = gr.Dropdown([], label="Row", visible=False, filterable=False, elem_id="step-row")
                    as_tokens = gr.Checkbox(False, label="As tokens", elem_id="step-tokens")
                    exclude = gr.Button("Cut the subset again without it", size="sm", elem_id="exclude-row")
                shown = gr.HTML(elem_id="step-row-shown", padding=False)
            with gr.Tab("Sample answers"):
                at = gr.Slider(0, 1, step=1, label="Evaluation", visible=False, elem_id="samples-at")
                samples = gr.HTML(elem_id="samples", padding=False)
            with gr.Tab("Log"):
                read_log = gr.Button("Read the last lines", size="sm", elem_id="read-log")
                log = gr.HTML(elem_id="run-log", padding=False)
        paper = build_download("Report on one page", "run-report")
    notes = gr.HTML(elem_id="run-notes", padding=False)
    return WatchWidgets(
        status, tiles, warned, charts, losses, measure, other, points, paper, notes, at, samples, row, as_tokens, step,
        shown, exclude, log, read_log,
    )  # fmt: skip
