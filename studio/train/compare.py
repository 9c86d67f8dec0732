"""Comparison of runs: a sortable table, the curves of the picked runs in one chart, and the settings that differ."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import gradio as gr
from gradio.blocks import Block

from components.chart import Curve, build_chart, chart_value
from components.conversation import empty_html
from components.data_table import TableColumn, TablePage, TableRow, build_data_table, table_html
from core.runs.comparison import Difference, Summaries, Summary, differences, sort_summaries
from core.runs.metrics_series import HELD_OUT_LOSS, MAX_CURVE_POINTS, Timelines
from core.runs.progress import duration
from core.runs.store import Run, RunStore
from studio.event_values import check_count
from studio.html import render
from studio.train.run_view import METRIC_FIELDS

# The palette of Okabe and Ito, which stays distinct for color-blind readers, without its yellow, which is too pale on
# white. Four colors between them follow.
_COLORS = (
    "#0072b2",
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
CURVES = {HELD_OUT_LOSS: HELD_OUT_LOSS, "loss": "loss", **METRIC_FIELDS}
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
    """

    by: str = "created"
    descending: bool = True
    picked: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Column:
    title: str
    cell: Callable[[Summary], str]
    note: str = ""
    kind: Literal["numeric", "wide", "short"] = "numeric"


def _loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


_COLUMNS = {
    "title": _Column("Run", lambda s: s.title, kind="wide"),
    "status": _Column("Status", lambda s: s.status, kind="short"),
    "created": _Column("Created", lambda s: datetime.fromtimestamp(s.created).strftime("%Y-%m-%d %H:%M")),
    "best_held_out": _Column("Held-out loss", lambda s: _loss(s.best_held_out), "best"),
    "held_out": _Column("Held-out loss", lambda s: _loss(s.held_out), "last"),
    "base": _Column("Held-out loss", lambda s: _loss(s.base), "base model"),
    "best_loss": _Column("Loss", lambda s: _loss(s.best_loss), "best step"),
    "loss": _Column("Loss", lambda s: _loss(s.loss), "last tenth of the steps"),
    "steps": _Column("Steps", lambda s: f"{s.steps:,}"),
    "seconds": _Column("Time", lambda s: duration(s.seconds), "training"),
    "tokens": _Column("Tokens", lambda s: f"{s.tokens:,}"),
    "memory_gib": _Column("Memory", lambda s: "–" if s.memory_gib is None else f"{s.memory_gib:.1f} GiB", "peak"),
    "model": _Column("Model", lambda s: s.model, kind="wide"),
    "subset": _Column("Subset", lambda s: s.subset, kind="wide"),
}


class RunComparison:
    """Event handlers of the comparison."""

    def __init__(self, runs: RunStore, timelines: Timelines):
        self.runs, self.timelines = runs, timelines
        self._summaries = Summaries(timelines)

    def sort_by(self, state: ComparisonState, column: str) -> ComparisonState:
        """Return the state sorted by a column; the column that it is sorted by already changes direction."""
        if column not in _COLUMNS:
            return state
        return replace(state, by=column, descending=not state.descending if state.by == column else False)

    def pick(self, state: ComparisonState, run_id: str) -> ComparisonState:
        """Return the state with a run picked, or no longer picked if it was.

        Raises:
            StudioError: There is no such run, or too many are picked.
        """
        if run_id not in state.picked:
            self.runs.run(run_id)
        others = [picked for picked in state.picked if picked != run_id]
        picked = others if run_id in state.picked else [*others, run_id]
        # Every one is a file of events, at each poll of the page.
        check_count(picked, "runs")
        return replace(state, picked=tuple(picked))

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
        return {
            "table": self._table(listed, comparison, run_id),
            "curves": self._curves(picked, metric),
            "differences": self._differences(picked),
        }

    def _table(self, listed: list[Run], comparison: ComparisonState, selected: str | None) -> str:
        by, descending, picked = comparison.by, comparison.descending, frozenset(comparison.picked)
        summaries = sort_summaries([self._summaries.of(run) for run in listed], by, descending)
        columns = [TableColumn(name, c.title, **{c.kind: True}, note=c.note) for name, c in _COLUMNS.items()]
        rows = [TableRow(s.run, [column.cell(s) for column in _COLUMNS.values()]) for s in summaries]
        empty = "No run yet. Start one in the form."
        return table_html(TablePage(columns, rows, by, descending, picked, selected, empty=empty))

    def _curves(self, picked: list[Run], metric: str) -> dict[str, Any]:
        # The chart's size in bytes is bounded, however many runs are picked: they share the points.
        share = _MAX_POINTS // max(1, len(picked))
        points = min(MAX_CURVE_POINTS, max(_MIN_CURVE_POINTS, share))
        titles = [run.title for run in picked]
        curves = [
            Curve(
                # Names are free text, so two runs may share one.
                run.title if titles.count(run.title) == 1 else f"{run.title} ({run.id})",
                _COLORS[index % len(_COLORS)],
                self.timelines.of(run.events_file).curve(CURVES[metric], max_points=points),
                dashed=index >= len(_COLORS),
            )
            for index, run in enumerate(picked)
        ]
        return chart_value(metric, curves)

    def _differences(self, picked: list[Run]) -> str:
        if len(picked) < 2:
            return empty_html("Tick two or more runs to compare their curves and settings.")
        found = differences(picked, self.timelines)
        if not found:
            return empty_html("These runs have the same settings, rows, base model, code and packages.")
        return differences_html([run.title for run in picked], found)


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

    table: gr.HTML
    metric: gr.Radio
    curves: gr.HTML
    differences: gr.HTML

    @property
    def outputs(self) -> dict[str, Block]:
        """Return the components that `RunComparison.render` updates, by name."""
        return {"table": self.table, "curves": self.curves, "differences": self.differences}


def build_comparison() -> ComparisonWidgets:
    """Build the widgets in the open layout."""
    table = build_data_table("runs-table", "runs-differ")
    metric = gr.Radio(list(CURVES), value=HELD_OUT_LOSS, label="Curves", show_label=False, container=False,
                      elem_id="compare-metric")  # fmt: skip
    curves = build_chart("compare-chart", 260)
    return ComparisonWidgets(table, metric, curves, gr.HTML(elem_id="runs-differ", padding=False))
