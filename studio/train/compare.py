"""Comparison of runs: a sortable table, the curves of the picked runs in one chart, and the settings that differ."""

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.chart import Curve, build_chart, chart_value
from components.conversation import empty_html
from components.data_table import build_data_table
from core.runs.comparison import Difference, Summaries, differences
from core.runs.metrics_series import CLASSIFIER_METRICS, HELD_OUT_LOSS, MAX_CURVE_POINTS, Timelines
from core.runs.store import Run, RunStore
from studio.event_values import check_count
from studio.html import render
from studio.train.run_view import METRIC_FIELDS
from studio.train.runs_table import RunsTable, is_column

# The palette of Okabe and Ito, which stays distinct for color-blind readers. Its yellow is left out, because it is too
# pale on white, and its blue is lighter here, because it is too dim on the dark theme's background. Four more colors
# follow.
_COLORS = (
    "#1f7fd0",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#7f5fc4",
    "#8c564b",
    "#7f7f7f",
    "#17becf",
)
# Field of a curve in the events, by its label on the page.
CURVES = {**{title: title for title in (HELD_OUT_LOSS, *CLASSIFIER_METRICS)}, "loss": "loss", **METRIC_FIELDS}
# Maximum number of points of all curves together.
_MAX_POINTS = 10_000
_MIN_CURVE_POINTS = 50


@dataclass(frozen=True)
class ComparisonState:
    """State of the table of runs.

    Attributes:
        by: The column that the table is sorted by.
        descending: The direction.
        picked: Ids of the picked runs, in the order of the clicks.
        baseline: Id of the run that the others are compared with; empty for none.
    """

    by: str = "created"
    descending: bool = True
    picked: tuple[str, ...] = ()
    baseline: str = ""


class RunComparison:
    """Event handlers of the comparison."""

    def __init__(self, runs: RunStore, timelines: Timelines):
        self.runs, self.timelines = runs, timelines
        self._summaries = Summaries(timelines)

    def sort_by(self, state: ComparisonState, column: str) -> ComparisonState:
        """Return the state sorted by a column; sorting by the same column again reverses the direction."""
        if not is_column(column):
            return state
        return replace(state, by=column, descending=not state.descending if state.by == column else False)

    def pin(self, state: ComparisonState, baseline: str | None) -> ComparisonState:
        """Return the state with another baseline, or without one.

        Raises:
            StudioError: There is no such run.
        """
        return replace(state, baseline=self.runs.run(baseline).id if baseline else "")

    def pick(self, state: ComparisonState, ids: list[str]) -> ComparisonState:
        """Return the state with exactly these runs picked; those that were picked before keep their order.

        The page sends all of its ticks, because two quick clicks may be handled at the same time: each would add its
        run to the state before both.

        Raises:
            StudioError: There is no such run, or too many are picked.
        """
        # Each selected run costs reading one events file per poll.
        check_count(ids, "runs")
        new = [self.runs.run(run_id).id for run_id in ids if run_id not in state.picked]
        return replace(state, picked=(*(picked for picked in state.picked if picked in ids), *new))

    def render(
        self, comparison: ComparisonState, metric: str, run_id: str | None, with_archived: bool
    ) -> dict[str, Any]:
        """Return the table of all runs, and the curves and differences of the picked ones.

        Args:
            comparison: The state of the table.
            metric: A key of CURVES.
            run_id: The run shown beside the form, marked in the table.
            with_archived: Whether archived runs are listed.
        """
        listed = [run for run in self.runs.runs() if with_archived or not run.label().archived]
        picked = [run for picked_id in comparison.picked for run in listed if run.id == picked_id]
        titles = self.runs.titles()
        shown = [titles.get(run.id, run.title) for run in picked]
        colors = {run.id: _COLORS[index % len(_COLORS)] for index, run in enumerate(picked)}
        choices = [("No baseline", ""), *((titles.get(run.id, run.title), run.id) for run in listed)]
        baseline = comparison.baseline if comparison.baseline in dict(choices).values() else ""
        summaries = [self._summaries.of(run) for run in listed]
        table = RunsTable(summaries, titles, colors, baseline, run_id, comparison.by, comparison.descending)
        return {
            "baseline": gr.update(choices=choices, value=baseline),
            "table": table.html(),
            "curves": self._curves(picked, shown, colors, metric),
            "differences": self._differences(picked, shown),
        }

    def _curves(self, picked: list[Run], titles: list[str], colors: dict[str, str], metric: str) -> dict[str, Any]:
        # The chart's size in bytes is bounded, however many runs are picked: they share the points.
        share = _MAX_POINTS // max(1, len(picked))
        points = min(MAX_CURVE_POINTS, max(_MIN_CURVE_POINTS, share))
        curves = [
            Curve(
                titles[index],
                colors[run.id],
                self.timelines.of(run.events_file).curve(CURVES[metric], max_points=points),
                dashed=index >= len(_COLORS),
            )
            for index, run in enumerate(picked)
        ]
        return chart_value(metric, curves, empty="No points yet." if picked else "Tick runs to see their curves.")

    def _differences(self, picked: list[Run], titles: list[str]) -> str:
        if len(picked) < 2:
            return empty_html("Tick two or more runs to compare their curves and settings.")
        found = differences(picked, self.timelines)
        if not found:
            return empty_html("These runs have the same settings, rows, base model, code and packages.")
        return differences_html(titles, found)


def differences_html(titles: list[str], found: list[Difference]) -> str:
    """Return a table of settings with one column per run.

    Args:
        titles: The runs' titles.
        found: Each with one value per run.
    """
    return render("train/differences", titles=titles, differences=found)


@dataclass(frozen=True)
class ComparisonWidgets:
    """Widgets of the comparison; the caller listens to the table's events."""

    baseline: gr.Dropdown
    table: gr.HTML
    metric: gr.Radio
    curves: gr.HTML
    differences: gr.HTML
    with_archived: gr.Checkbox

    @property
    def outputs(self) -> dict[str, Block]:
        """Return the components that `RunComparison.render` updates, by name."""
        return {"baseline": self.baseline, "table": self.table, "curves": self.curves, "differences": self.differences}


def build_comparison() -> ComparisonWidgets:
    """Build the widgets in the open layout."""
    with gr.Row(elem_id="runs-options"):
        baseline = gr.Dropdown([("No baseline", "")], value="", label="Baseline", filterable=False, scale=0,
                               info="The others show their differences to it.", min_width=320,
                               elem_id="runs-baseline")  # fmt: skip
        with_archived = gr.Checkbox(False, label="Show archived runs", container=False, elem_id="runs-all")
    table = build_data_table("runs-table", "runs-differ")
    metric = gr.Radio(list(CURVES), value=HELD_OUT_LOSS, label="Curves", show_label=False, container=False,
                      elem_id="compare-metric")  # fmt: skip
    curves = build_chart("compare-chart", 260)
    return ComparisonWidgets(
        baseline, table, metric, curves, gr.HTML(elem_id="runs-differ", padding=False), with_archived
    )
