"""Losses of the rows under a base model and a run: choose one, see how long it takes, measure, read the result."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.conversation import chips_html, empty_html
from components.progress_bar import ProgressBar, build_progress_bar
from core.chat.types import BaseIdentity
from core.data import row_losses
from core.data.row_losses import LOSS_COLUMNS, NEVER, THRESHOLDS, LossSource
from core.errors import StudioError
from core.evaluate.row_losses import measure
from core.evaluate.row_losses.plan import plan
from core.evaluate.row_losses.sources import source_of_model, source_of_run
from core.models import catalogue, embedded
from core.runs.store import RunStore
from core.settings import Settings
from core.system.counting import counted, noun_for
from core.system.jobs import Job, Jobs
from studio.data.page_state import PageState, State, parse_state
from studio.job_progress import follow

LOSSES = "losses"
_MODEL, _RUN = "model:", "run:"
_KEPT = "The losses measured so far are kept: press “Measure what the base knows” again to continue."
_MAX_REASONS = 3
_MAX_PLANS = 100
_HELP = (
    "The mean loss of each row's answer tokens, as a column to sort, filter and create subsets by. Low: the base model "
    "knows the row already. A model is measured on all usable rows, with the template and maximum length above; a run "
    "on the rows that it trains on, with its own, before and after."
)


class RowLosses:
    """Event handlers of the losses. They hold no widgets, so tests call them directly."""

    def __init__(self, settings: Settings, jobs: Jobs):
        self.settings, self.jobs = settings, jobs
        self.runs = RunStore(settings)
        self._plans: dict[tuple, str] = {}

    def list_choices(self) -> dict[str, Any]:
        """List the models on this machine, and the runs that have an adapter."""
        titles = self.runs.titles()
        models = [
            (f"Base {model.label}", f"{_MODEL}{model.name}")
            for model in catalogue.available(self.settings)
            if model.local
        ]
        runs = [
            (f"Run {titles.get(run.id, run.title)}", f"{_RUN}{run.id}")
            for run in self.runs.runs()
            if not run.problem() and "final" in run.adapters() and not run.config().classifies
        ]
        return {"loss_model": gr.update(choices=models + runs)}

    def choose_losses(self, state: State, chosen: str) -> dict[str, Any]:
        """Show the columns of another model or run if its losses are measured."""
        page = parse_state(state)
        if not page.dataset:
            return {}
        try:
            source = self._source(page, chosen)
        except StudioError:
            # The text below the list gives the reason.
            return {}
        if source in self._measured(page) and source != page.loss_source(self.settings):
            return {"state": _with_losses(page, source)}
        return {}

    def show(self, state: State, chosen: str) -> dict[str, Any]:
        """Show the statistics of the chosen losses, or how long they take to measure."""
        page = parse_state(state)
        if not page.dataset:
            return {"loss_text": empty_html("Open a dataset first.")}
        try:
            source = self._source(page, chosen)
            if source in self._measured(page):
                return {"loss_text": chips_html(self._chips(page, source))}
            text = self._describe_plan(page, source)
        except StudioError as error:
            return {"loss_text": chips_html([("!", str(error), True)])}
        return {"loss_text": chips_html([("Not measured:", text, False)])}

    def measure(self, state: State, chosen: str) -> Iterator[dict[str, Any]]:
        """Measure the loss of every row under a model ("model:NAME") or a run ("run:ID"), and show them as columns."""
        page = parse_state(state)
        data, reading = page.find_dataset(self.settings), page.effective_reading(self.settings)
        source = self._source(page, chosen)
        # If the rows are not the run's, this raises before the job starts.
        rows = plan(self.runs, data, reading, source).rows
        kind = f"{LOSSES}/{data.id}/{source.key}"
        if (other := self.jobs.running(LOSSES)) and other.kind != kind:
            raise StudioError(
                f"Another measurement is running ({other.title}), and two would slow each other down. Wait for it, or "
                "cancel it; what it has measured is kept."
            )
        job = self.jobs.start(
            kind, f"Measuring the loss of {counted(rows, 'row')}", measure.measure, self.settings, data, reading,
            source,
        )  # fmt: skip

        def finish(done: Job) -> dict[str, Any]:
            return {"state": _with_losses(page, source)}

        yield from follow(job, finish, _KEPT)

    def take_losses(self, state: State, ended: int | None) -> dict[str, Any]:
        """Return the update of a page whose dataset a job of another page has measured."""
        page, job = parse_state(state), self.jobs.find(ended)
        return {"state": _with_losses(page, job.arguments[3])} if job and job.arguments[1].id == page.dataset else {}

    def _describe_plan(self, page: PageState, source: LossSource) -> str:
        """Return the size and the estimated time of a measurement."""
        data, reading = page.find_dataset(self.settings), page.effective_reading(self.settings)
        # Asked at every change of the page, also of a search, which changes nothing here.
        # A run that has ended since has measured the speed, and a new adapter has other rows.
        key = data.id, reading.model_dump_json(), source.key, page.counted, self.runs.fingerprint()
        if key not in self._plans:
            if len(self._plans) > _MAX_PLANS:
                self._plans.clear()
            self._plans[key] = plan(self.runs, data, reading, source).describe()
        return self._plans[key]

    def _measured(self, page: PageState) -> list[LossSource]:
        data, reading = page.find_dataset(self.settings), page.effective_reading(self.settings)
        return row_losses.available(self.settings, data, reading)

    def _source(self, page: PageState, chosen: str) -> LossSource:
        """Return the source that a choice of the list stands for.

        Raises:
            StudioError: There is no such model or run.
        """
        if (chosen or "").startswith(_RUN):
            return source_of_run(self.runs, self.runs.run(chosen.removeprefix(_RUN)))
        name = (chosen or "").removeprefix(_MODEL)
        return source_of_model(self.settings, name, page.template, page.max_length)

    def _chips(self, page: PageState, source: LossSource) -> list[tuple[str, str, bool]]:
        data, reading = page.find_dataset(self.settings), page.effective_reading(self.settings)
        found = row_losses.summarize(row_losses.find(self.settings, data, reading, source), source)
        base = BaseIdentity(*json.loads(source.base))
        measured = f"{noun_for(found.rows, 'row')} measured under {base.label}, {source.max_length:,} tokens at most"
        chips = [(f"{found.rows:,}", measured, False)]
        if found.base is not None:
            chips.append((f"{found.base:.3f}", "nats per token: the base's loss in the median row", False))
        if found.tuned is not None:
            chips.append((f"{found.tuned:.3f}", "the run's loss in the median row", False))
        for name, count in found.classes.items():
            chips.append((f"{count:,}", f"{name} ({THRESHOLDS[name]})", bool(count) and name == NEVER))
        if found.caution:
            chips.append(("!", found.caution, True))
        if found.truncated:
            rows = noun_for(found.truncated, "row")
            chips.append((f"{found.truncated:,}", f"{rows} truncated: the loss is that of the beginning", True))
        reasons = list(found.missing.items())
        for reason, count in reasons[:_MAX_REASONS]:
            chips.append((f"{count:,}", f"{noun_for(count, 'row')} without a loss: {reason}", True))
        if more := sum(count for _, count in reasons[_MAX_REASONS:]):
            chips.append((f"{more:,}", f"{noun_for(more, 'more row')} without a loss, for other reasons", True))
        return chips


def _with_losses(page: PageState, source: LossSource) -> State:
    """Return the state of a page with the losses of a source as columns."""
    columns = page.columns
    if columns:
        own = ["base_loss", *(("loss_fall", "learning") if source.run else ())]
        columns = [*(name for name in columns if name not in LOSS_COLUMNS), *own]
    # Filters and order on losses refer to those of the former model.
    view = page.view.without_columns(LOSS_COLUMNS)
    return page.replace(losses=source.key, columns=columns, view=view, counted=page.counted + 1)


@dataclass(frozen=True)
class RowLossesWidgets:
    """Widgets of the losses."""

    box: gr.Accordion
    model: gr.Dropdown
    shown: gr.HTML
    bar: ProgressBar
    measure: gr.Button


def build_row_losses() -> RowLossesWidgets:
    """Build the widgets in the open layout."""
    with gr.Accordion("What the base knows", open=True, elem_id="losses-box", elem_classes="qs-quiet") as box:
        gr.Markdown(_HELP, elem_classes="qs-note")
        model = gr.Dropdown(
            [(f"Base {embedded.NAME} (embedded)", f"{_MODEL}{embedded.NAME}")], value=f"{_MODEL}{embedded.NAME}",
            label="Model or run", allow_custom_value=True, elem_id="losses-model",
        )  # fmt: skip
        shown = gr.HTML(elem_id="losses", padding=False)
        bar = build_progress_bar("losses-progress")
        button = gr.Button("Measure what the base knows", elem_id="measure-losses")
    return RowLossesWidgets(box, model, shown, bar, button)
