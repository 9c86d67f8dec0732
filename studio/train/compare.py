"""Runs against each other: a table to sort, curves over each other, and what the chosen ones differ in."""

import html
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import gradio as gr

from components.chart import Curve, build_chart, chart_value
from components.conversation import empty_html
from components.data_table import TableColumn, TablePage, TableRow, build_data_table, table_html
from core.runs.comparison import Difference, Summaries, Summary, arranged, differences
from core.runs.metrics_series import HELD_OUT, Timelines
from core.runs.progress import duration
from core.runs.store import Run, RunStore
from studio.train.run_view import MEASURES

# Told apart by hue and by lightness (Okabe and Ito's palette, without its yellow, and four between).
_COLOURS = (
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
CURVES = {HELD_OUT: HELD_OUT, "loss": "loss", **MEASURES}
_MOST_DRAWN = 10_000  # points of all curves together that reach the page


@dataclass(frozen=True)
class ComparisonState:
    """What the table is sorted by, and which runs are picked, in the order of the clicks."""

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
    "created": _Column("Made", lambda s: datetime.fromtimestamp(s.created).strftime("%Y-%m-%d %H:%M")),
    "best_held_out": _Column("Held-out loss", lambda s: _loss(s.best_held_out), "best"),
    "held_out": _Column("Held-out loss", lambda s: _loss(s.held_out), "last"),
    "base": _Column("Held-out loss", lambda s: _loss(s.base), "base model"),
    "best_loss": _Column("Loss", lambda s: _loss(s.best_loss), "best step"),
    "loss": _Column("Loss", lambda s: _loss(s.loss), "last tenth of the steps"),
    "steps": _Column("Steps", lambda s: f"{s.steps:,}"),
    "seconds": _Column("Time", lambda s: duration(s.seconds), "training"),
    "tokens": _Column("Tokens", lambda s: f"{s.tokens:,}"),
    "memory_gib": _Column("Memory", lambda s: "–" if s.memory_gib is None else f"{s.memory_gib:.1f} GiB", "at most"),
    "model": _Column("Model", lambda s: s.model, kind="wide"),
    "subset": _Column("Subset", lambda s: s.subset, kind="wide"),
}


class RunComparison:
    """What this part does; names no widget's layout."""

    def __init__(self, runs: RunStore, timelines: Timelines):
        self.runs, self.timelines = runs, timelines
        self._summaries = Summaries(timelines)

    def sort_by(self, choice: ComparisonState, column: str) -> ComparisonState:
        """By another column, or the other way round."""
        if column not in _COLUMNS:
            return choice
        return replace(choice, by=column, descending=not choice.descending if choice.by == column else False)

    def pick(self, choice: ComparisonState, run_id: str) -> ComparisonState:
        picked = [known for known in choice.picked if known != run_id]
        return replace(choice, picked=tuple(picked if run_id in choice.picked else [*picked, run_id]))

    def shown(
        self, choice: ComparisonState, measure: str, watched: str | None, archived: bool, seen: bool = True
    ) -> list[Any]:
        """The table, the curves of the picked runs, and what they differ in.

        Args:
            seen: whether the table is; while it is not, nothing is drawn.
        """
        if not seen:
            return [gr.skip()] * 3
        listed = [run for run in self.runs.runs() if archived or not run.label().archived]
        picked = [run for run_id in choice.picked for run in listed if run.id == run_id]
        return [self._table(listed, choice, watched), self._curves(picked, measure), self._differences(picked)]

    def _table(self, listed: list[Run], choice: ComparisonState, watched: str | None) -> str:
        summaries = arranged([self._summaries.of(run) for run in listed], choice.by, choice.descending)
        columns = [TableColumn(name, c.title, **{c.kind: True}, note=c.note) for name, c in _COLUMNS.items()]
        rows = [TableRow(s.run, [column.cell(s) for column in _COLUMNS.values()]) for s in summaries]
        empty = "No run yet. Start one, and it is listed here."
        return table_html(
            TablePage(columns, rows, choice.by, choice.descending, frozenset(choice.picked), watched, empty=empty)
        )

    def _curves(self, picked: list[Run], measure: str) -> dict[str, Any]:
        most = max(50, _MOST_DRAWN // max(1, len(picked)))
        titles = [run.title for run in picked]
        return chart_value(
            measure,
            [
                Curve(
                    run.title if titles.count(run.title) == 1 else f"{run.title} ({run.id})",
                    _COLOURS[place % len(_COLOURS)],
                    self.timelines.of(run.events_file).curve(CURVES[measure], most=min(most, 600)),
                    dashed=place >= len(_COLOURS),
                )
                for place, run in enumerate(picked)
            ],
        )

    def _differences(self, picked: list[Run]) -> str:
        if len(picked) < 2:
            return empty_html("Tick two runs or more to lay their curves over each other and to read what differs.")
        found = differences(picked, self.timelines)
        if not found:
            return empty_html("These runs have the same configuration, rows, base, code and packages.")
        return differences_html([run.title for run in picked], found)


def differences_html(titles: list[str], found: list[Difference]) -> str:
    heads = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    rows = "".join(
        f'<tr><th title="{html.escape(d.group, quote=True)}">{html.escape(d.title)}</th>'
        + "".join(f"<td>{html.escape(value)}</td>" for value in d.values)
        + "</tr>"
        for d in found
    )
    return f'<div class="qs-differ"><table><thead><tr><th>What differs</th>{heads}</tr></thead>{rows}</table></div>'


@dataclass(frozen=True)
class ComparisonWidgets:
    table: gr.HTML
    measure: gr.Radio
    curves: gr.HTML
    differences: gr.HTML

    @property
    def drawn(self) -> list[gr.components.Component]:
        return [self.table, self.curves, self.differences]


def build_comparison() -> ComparisonWidgets:
    table = build_data_table("runs-table", "runs-differ")
    measure = gr.Radio(list(CURVES), value=HELD_OUT, label="Curves", show_label=False, container=False,
                       elem_id="compare-measure")  # fmt: skip
    curves = build_chart("compare-chart", 260)
    return ComparisonWidgets(table, measure, curves, gr.HTML(elem_id="runs-differ", padding=False))
