"""Panel of lm-evaluation-harness: a job measures the models of an evaluation on local tasks; the results are tables."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from markupsafe import Markup
from pydantic import ValidationError

from components.interval_table import IntervalRow, IntervalTable, interval_table_html
from components.model_form import build_field, non_empty_values
from components.progress_bar import ProgressBar, build_progress_bar
from core.errors import StudioError, sentences
from core.evaluate.harness.config import HarnessConfig
from core.evaluate.harness.measure import Target, check_installed, measure
from core.evaluate.harness.results import HarnessResult, TaskMetric, describe_origin, describe_value, read_results
from core.evaluate.harness.task_files import EXAMPLE, find_folder, list_folders, read_tasks
from core.evaluate.statistics.paired import PairedDifference
from core.evaluate.verdict_text import format_change
from core.system.jobs import Jobs
from studio.evaluate.evaluation_view import EvaluationView
from studio.evaluate.verdict_html import difference_interval, direction_of, extent_of, why_no_plot
from studio.html import render
from studio.job_bars import JobBars
from studio.job_progress import follow
from studio.wiring import UNLIMITED, connect

KIND = "harness"
_NO_ROWS = "the metric has no value per row"


class HarnessActions:
    """Event handlers of the panel."""

    def __init__(self, view: EvaluationView, jobs: Jobs):
        self.view, self.store, self.jobs = view, view.store, jobs

    def list_folders(self, tasks: str | None) -> dict[str, Any]:
        """Return the folders of tasks that exist now; the chosen one stays chosen."""
        found = list_folders(self.store.settings)
        return {"tasks": gr.update(choices=found, value=tasks if tasks in found else EXAMPLE)}

    def measure(
        self, evaluation_id: str | None, first: str | None = None, second: str | None = None, **values: Any
    ) -> Iterator[dict[str, Any]]:
        """Measure the models of an evaluation on a folder of tasks, and show the results.

        Args:
            evaluation_id: The selected evaluation.
            first: The lane that is compared with.
            second: The lane that is judged.
            **values: Fields of `HarnessConfig`.
        """
        if not evaluation_id:
            raise StudioError("No evaluation is selected. Start one, or select one in the list.")
        titles = {name: field.title for name, field in HarnessConfig.model_fields.items()}
        try:
            config = HarnessConfig(**non_empty_values(values))
        except ValidationError as error:
            raise StudioError(sentences(error, lambda name: titles.get(name, name))) from error
        # Checked here, so that an error is shown at once, and not when the job has loaded its libraries.
        check_installed()
        read_tasks(find_folder(self.store.settings, config.tasks), config)
        evaluation = self.store.find(evaluation_id)
        target = Target(evaluation.folder, evaluation.config())
        title = f"Measuring the tasks of {config.tasks}"
        job = self.jobs.start(f"{KIND}/{evaluation_id}", title, measure, self.store, target, config)
        yield from follow(job, lambda done: self.show(evaluation_id, first, second))

    def show(self, evaluation_id: str | None, first: str | None = None, second: str | None = None) -> dict[str, Any]:
        """Return the tables of all results of an evaluation, the newest first."""
        if not evaluation_id:
            return {"measured": ""}
        evaluation = self.store.find(evaluation_id)
        found = read_results(evaluation.folder)
        if not found:
            return {"measured": ""}
        titles = evaluation.lane_titles(self.store.runs)
        compared = self.view.compare(evaluation, {"first": first, "second": second})
        results = [
            {
                "title": f"{result.config.tasks}, {time.strftime('%Y-%m-%d %H:%M', time.localtime(result.created))}",
                "table": result_html(result, titles, compared.first, compared.second),
                "notes": describe_origin(result),
            }
            for result in found
        ]
        return {"measured": render("evaluate/harness", results=results)}


def result_html(result: HarnessResult, titles: list[str], first: int, second: int) -> Markup:
    """Return the metrics of a result as the table of intervals.

    Args:
        result: The result.
        titles: Titles of its lanes.
        first: The lane that is compared with.
        second: The lane that is judged; the same one if there is only one.
    """
    if first == second:
        rows = [
            IntervalRow(
                "",
                found.title,
                [f"{found.rows:,}", describe_value(found, first)],
                direction=direction_of(found.as_metric()),
            )
            for found in result.metrics
        ]
        return interval_table_html(IntervalTable(["", "rows", titles[first]], rows))
    differences = [found.compare(first, second) for found in result.metrics]
    # Metrics of one scale share the extent of their plots, so that their bars can be compared.
    extents: dict[str, float] = {}
    for found, difference in zip(result.metrics, differences, strict=True):
        scale = found.as_metric().scale
        extents[scale] = max(extents.get(scale, 0.0), extent_of(difference))
    rows = [
        _compared_row(found, difference, extents[found.as_metric().scale], first, second)
        for found, difference in zip(result.metrics, differences, strict=True)
    ]
    return interval_table_html(IntervalTable(["", "rows", titles[first], titles[second], "change"], rows))


def _compared_row(
    found: TaskMetric, difference: PairedDifference, extent: float, first: int, second: int
) -> IntervalRow:
    metric = found.as_metric()
    values = found.values[first], found.values[second]
    change = "–" if None in values else format_change(metric, values[1] - values[0])
    cells = [f"{found.rows:,}", describe_value(found, first), describe_value(found, second), change]
    if not found.by_row:
        return IntervalRow("", found.title, cells, note=_NO_ROWS, direction=direction_of(metric))
    interval = difference_interval(metric, difference, extent)
    return IntervalRow("", found.title, cells, interval, why_no_plot(difference), direction=direction_of(metric))


@dataclass(frozen=True)
class HarnessWidgets:
    """Widgets of the panel.

    Attributes:
        box: The panel.
        fields: By field name of `HarnessConfig`.
        start: Starts the measurement.
        bar: Its progress.
        measured: The results.
    """

    box: gr.Accordion
    fields: dict[str, Component]
    start: gr.Button
    bar: ProgressBar
    measured: gr.HTML


def build_harness_panel() -> HarnessWidgets:
    """Build the panel in the open layout."""
    with gr.Accordion("Benchmarks (lm-evaluation-harness)", open=False, elem_id="evaluate-harness") as box:
        gr.Markdown(
            "Measures all models of this evaluation on tasks of lm-evaluation-harness, from a folder on this machine.",
            elem_classes="qs-note",
        )
        fields = {}
        for names in (("tasks", "only"), ("limit", "shots", "batch")):
            with gr.Row(elem_classes="qs-even"):
                fields |= {name: _field(name) for name in names}
        start = gr.Button("Measure the tasks", size="sm", elem_id="harness-start")
        bar = build_progress_bar("harness-progress")
        measured = gr.HTML(elem_id="evaluate-measured", padding=False)
    return HarnessWidgets(box, fields, start, bar, measured)


def _field(name: str) -> Component:
    choices = [(EXAMPLE, EXAMPLE)] if name == "tasks" else None
    options = {"value": EXAMPLE} if name == "tasks" else {}
    return build_field("harness", HarnessConfig, name, choices, min_width=130, **options)


def connect_harness(
    do: HarnessActions, widgets: HarnessWidgets, evaluation: gr.Dropdown, compared: dict[str, gr.Dropdown],
    demo: gr.Blocks, changes: list[Callable[..., Any]], bars: JobBars,
) -> None:  # fmt: skip
    """Connect the panel.

    Args:
        do: The handlers.
        widgets: The panel's widgets.
        evaluation: Selects the evaluation.
        compared: The lanes that are compared, `first` and `second`.
        demo: The page, for its load event.
        changes: Events after which folders may have changed.
        bars: Progress bars of all jobs.
    """
    tasks = {"tasks": widgets.fields["tasks"]}
    connect(partial(gr.on, [demo.load, *changes]), do.list_folders, tasks, tasks, **UNLIMITED)
    chosen: dict[str, Block] = {"evaluation_id": evaluation, **compared}
    shown = {"measured": widgets.measured}
    job = bars.add(widgets.bar, KIND, shown=shown, box=widgets.box)
    events = [evaluation.change, job.ended.change, *(lane.change for lane in compared.values())]
    connect(partial(gr.on, events), do.show, chosen, shown, trigger_mode="always_last", **UNLIMITED)
    connect(
        widgets.start.click, do.measure, {**chosen, **widgets.fields}, job.outputs,
        show_progress="hidden", api_name="run_benchmarks",
    )  # fmt: skip
