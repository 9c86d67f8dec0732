"""Panel of copied spans: a job traces the answers to the training rows; their share and the longest spans are shown."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.data_table import TableColumn, TablePage, TableRow, build_data_table, table_html
from components.progress_bar import ProgressBar, build_progress_bar
from core.data import subset
from core.errors import StudioError
from core.evaluate.memorization import tracing
from core.evaluate.memorization.spans import MIN_TOKENS
from core.evaluate.memorization.trace_text import describe_copying
from core.evaluate.memorization.tracing import COPIED, Traces
from core.evaluate.store import Evaluation
from core.system.jobs import Jobs
from studio.evaluate.evaluation_view import EvaluationView
from studio.event_values import parse_index
from studio.html import render
from studio.job_bars import JobBars
from studio.job_progress import follow
from studio.source_rows import row_to_open, source_of
from studio.wiring import UNLIMITED, connect

KIND = "trace"
_MAX_CELL_CHARS = 400
_COLUMNS = [
    TableColumn("tokens", "Tokens", numeric=True),
    TableColumn("text", "Text", wide=True),
    TableColumn("model", "Model", short=True),
    TableColumn("prompt", "Prompt", numeric=True),
    TableColumn("row", "Row", numeric=True),
]


class TraceActions:
    """Event handlers of the panel, and of the copied spans in the drawer."""

    def __init__(self, view: EvaluationView, jobs: Jobs):
        self.view, self.store, self.jobs = view, view.store, jobs

    def trace(
        self, evaluation_id: str | None, first: str | None = None, second: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Trace all answers to the training rows of the judged model, and show the shares.

        Args:
            evaluation_id: The selected evaluation.
            first: The reference lane.
            second: The judged lane.
        """
        evaluation, run, _ = self._find(evaluation_id, first, second)
        title = "Tracing the answers"
        job = self.jobs.start(f"{KIND}/{evaluation.id}/{run}", title, tracing.trace, self.store.runs, evaluation, run)
        yield from follow(job, lambda done: self.show(evaluation_id, first, second))

    def show(self, evaluation_id: str | None, first: str | None = None, second: str | None = None) -> dict[str, Any]:
        """Return the sentence of the shares and the table of the longest spans; empty if nothing was traced."""
        found = None
        if evaluation_id:
            evaluation, run, lanes = self._find(evaluation_id, first, second)
            found = tracing.find(evaluation, run)
        if found is None:
            return {"copied": "", "spans": ""}
        titles = evaluation.lane_titles(self.store.runs)
        return {"copied": _copied_html(found, titles, *lanes), "spans": _spans_html(found, titles)}

    def open_span(
        self, evaluation_id: str | None, number: str, first: str | None = None, second: str | None = None
    ) -> dict[str, Any]:
        """Return the training row of one of the longest spans for the Data tab.

        Args:
            evaluation_id: The selected evaluation.
            number: The span's number in the table, as its event carries it.
            first: The reference lane.
            second: The judged lane.
        """
        evaluation, run, _ = self._find(evaluation_id, first, second)
        found = tracing.find(evaluation, run)
        index = parse_index(number)
        if found is None or index is None or index >= len(found.about.longest):
            raise StudioError("This span is no longer there. Trace the answers again.")
        return self.open_row(evaluation_id, str(found.about.longest[index].row), first, second)

    def open_row(
        self, evaluation_id: str | None, row: str, first: str | None = None, second: str | None = None
    ) -> dict[str, Any]:
        """Return a training row for the Data tab.

        Args:
            evaluation_id: The selected evaluation.
            row: Its number, as the event of a span carries it.
            first: The reference lane.
            second: The judged lane.
        """
        _, run, _ = self._find(evaluation_id, first, second)
        number = parse_index(row)
        if not run or number is None:
            raise StudioError(f"There is no training row {str(row)[:40]!r}. Click a colored span.")
        known = subset.find(self.store.settings, self.store.runs.run(run).config().subset)
        return {"row_wanted": row_to_open(self.store.settings, source_of(known), number)}

    def _find(
        self, evaluation_id: str | None, first: str | None, second: str | None
    ) -> tuple[Evaluation, str, tuple[int, int]]:
        """Return the evaluation, the run whose rows are searched ("" for none), and the compared lanes."""
        if not evaluation_id:
            raise StudioError("No evaluation is selected. Start one, or select one in the list.")
        evaluation = self.store.find(evaluation_id)
        compared = self.view.compare(evaluation, {"first": first, "second": second})
        lanes = compared.first, compared.second
        return evaluation, tracing.traced_run(evaluation.config().lanes, *lanes), lanes


def _copied_html(found: Traces, titles: list[str], first: int, second: int) -> str:
    return render(
        "evaluate/copied", sentence=describe_copying(found, titles, first, second), notes=found.about.notes,
        explanation=COPIED.explanation, has_spans=bool(found.about.longest),
    )  # fmt: skip


def _spans_html(found: Traces, titles: list[str]) -> str:
    rows = [
        TableRow(
            number,
            [f"{span.tokens:,}", span.text[:_MAX_CELL_CHARS], titles[span.lane], f"{span.prompt:,}", f"{span.row:,}"],
        )
        for number, span in enumerate(found.about.longest)
    ]
    return table_html(TablePage(_COLUMNS, rows, plain=True)) if rows else ""


@dataclass(frozen=True)
class TraceWidgets:
    """Widgets of the panel.

    Attributes:
        box: The panel.
        start: Traces the answers.
        bar: The progress.
        copied: The shares, as a sentence.
        spans: The longest spans.
        row_wanted: The row that was clicked, which the Data tab opens.
    """

    box: gr.Accordion
    start: gr.Button
    bar: ProgressBar
    copied: gr.HTML
    spans: gr.HTML
    row_wanted: gr.State


def build_trace_panel() -> TraceWidgets:
    """Build the panel in the open layout."""
    with gr.Accordion("Copied from the training rows", open=False, elem_id="evaluate-trace") as box:
        gr.Markdown(
            f"Finds the spans of at least {MIN_TOKENS} tokens in all answers that stand word for word in the rows that "
            "the model was trained on. Afterwards, the drawer of a prompt colors them.",
            elem_classes="qs-note",
        )
        start = gr.Button("Trace the answers", size="sm", elem_id="evaluate-trace-start")
        bar = build_progress_bar("evaluate-tracing")
        copied = gr.HTML(elem_id="evaluate-copied", padding=False)
        spans = build_data_table("evaluate-spans", "")
    return TraceWidgets(box, start, bar, copied, spans, gr.State(None))


def connect_trace(
    do: TraceActions, widgets: TraceWidgets, evaluation: gr.Dropdown, compared: dict[str, gr.Dropdown],
    prompt: gr.HTML, bars: JobBars,
) -> None:  # fmt: skip
    """Connect the panel, and the spans in the drawer.

    Args:
        do: The handlers.
        widgets: The panel's widgets.
        evaluation: Selects the evaluation.
        compared: Chooses the reference lane (`first`) and the judged lane (`second`).
        prompt: Shows one prompt; its event `pick_span` carries a row.
        bars: Progress bars of all jobs.
    """
    chosen: dict[str, Block] = {"evaluation_id": evaluation, **compared}
    shown = {"copied": widgets.copied, "spans": widgets.spans}
    job = bars.add(widgets.bar, KIND, shown=shown, box=widgets.box)
    changes = [evaluation.change, job.ended.change, *(lane.change for lane in compared.values())]
    connect(partial(gr.on, changes), do.show, chosen, shown, trigger_mode="always_last", **UNLIMITED)
    connect(
        widgets.start.click, do.trace, chosen, job.outputs, show_progress="hidden",
        api_name="trace_answers",
    )  # fmt: skip

    def open_span(event: gr.EventData, **chosen: Any) -> dict[str, Any]:
        return do.open_span(number=str(event.value), **chosen)

    def open_row(event: gr.EventData, **chosen: Any) -> dict[str, Any]:
        return do.open_row(row=str(event.value), **chosen)

    wanted = {"row_wanted": widgets.row_wanted}
    connect(widgets.spans.open_row, open_span, chosen, wanted, **UNLIMITED)
    connect(prompt.pick_span, open_row, chosen, wanted, **UNLIMITED)
