"""Table of all runs: the columns that differ, and differences to a pinned baseline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from components.data_table import TableColumn, TablePage, TableRow, table_html
from core.runs.comparability import HeldOutSetup, reference_of, why_not_comparable
from core.runs.comparison import HELD_OUT_RESULTS, SETTING, Summary, settings_that_differ, sort_summaries, value_of
from core.runs.config import TITLES
from core.runs.names import format_value
from core.runs.progress import duration
from studio.html import render

# More columns of settings than that would push the results out of sight.
_MAX_SETTINGS = 6


@dataclass(frozen=True)
class _Column:
    title: str
    cell: Callable[[Summary], str]
    note: str = ""
    kind: Literal["numeric", "wide", "short"] = "numeric"


def _loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


COLUMNS = {
    "title": _Column("Run", lambda s: s.title, kind="wide"),
    "best_held_out": _Column("Held-out loss", lambda s: _loss(s.best_held_out), "best"),
    "held_out": _Column("Held-out loss", lambda s: _loss(s.held_out), "last"),
    "accuracy": _Column("Accuracy", lambda s: _share(s.accuracy), "last"),
    "macro_f1": _Column("Macro-F1", lambda s: _share(s.macro_f1), "last"),
    "base": _Column("Held-out loss", lambda s: _loss(s.base), "base model"),
    "best_loss": _Column("Loss", lambda s: _loss(s.best_loss), "best step"),
    "loss": _Column("Loss", lambda s: _loss(s.loss), "last tenth of the steps"),
    "steps": _Column("Steps", lambda s: f"{s.steps:,}"),
    "seconds": _Column("Time", lambda s: duration(s.seconds), "training"),
    "tokens": _Column("Tokens", lambda s: f"{s.tokens:,}"),
    "memory_gib": _Column("Memory", lambda s: "–" if s.memory_gib is None else f"{s.memory_gib:.1f} GiB", "peak"),
    "status": _Column("Status", lambda s: s.status, kind="short"),
    "model": _Column("Model", lambda s: s.model, kind="wide"),
    "subset": _Column("Subset", lambda s: s.subset, kind="wide"),
    "created": _Column("Created", lambda s: datetime.fromtimestamp(s.created).strftime("%Y-%m-%d %H:%M")),
}
# Columns that are shown even if all runs have the same value.
_ALWAYS = ("title", "best_held_out", "loss", "seconds", "created")
# Results whose difference to the baseline is shown.
_DIFFERENCES = (*HELD_OUT_RESULTS[:2], "accuracy", "macro_f1", "best_loss", "loss")


def is_column(name: str) -> bool:
    """Return whether the table can be sorted by a name."""
    return name in COLUMNS or name.removeprefix(SETTING) in TITLES


@dataclass(frozen=True)
class RunsTable:
    """One state of the table.

    Attributes:
        summaries: The runs.
        titles: What each run is called, by id.
        colors: The colors of the ticked runs in the chart, by id.
        baseline: The id of the run that the others are compared with; empty for none.
        opened: The id of the selected run.
        by: The column that the runs are sorted by.
        descending: The direction.
    """

    summaries: Sequence[Summary]
    titles: Mapping[str, str]
    colors: Mapping[str, str]
    baseline: str
    opened: str | None
    by: str
    descending: bool

    def html(self) -> str:
        """Return the table; the baseline is its first row."""
        baseline = next((summary for summary in self.summaries if summary.run == self.baseline), None)
        setups = [summary.held_out_setup for summary in self.summaries]
        reference = (baseline.held_out_setup if baseline else None) or reference_of(setups)
        found = sort_summaries(self.summaries, self.by, self.descending, reference)
        found.sort(key=lambda summary: summary is not baseline)
        columns = self._columns()
        rows = [
            TableRow(summary.run, [self._cell(name, column, summary, baseline, reference) for name, column in columns])
            for summary in found
        ]
        shown = [TableColumn(name, c.title, **{c.kind: True}, note=c.note) for name, c in columns]
        empty = "No run yet. Start one in the form."
        return table_html(TablePage(shown, rows, self.by, self.descending, self.colors, self.opened, empty=empty))

    def _columns(self) -> list[tuple[str, _Column]]:
        """Return the columns in which the runs differ; all that have a value if there is only one run."""
        names = []
        for name, column in COLUMNS.items():
            cells = {column.cell(summary) for summary in self.summaries}
            if name in _ALWAYS or len(cells) > 1 or (len(self.summaries) == 1 and cells != {"–"}):
                names.append(name)
        found = [(name, COLUMNS[name]) for name in names]
        settings = [(SETTING + name, _setting(name)) for name in settings_that_differ(self.summaries)[:_MAX_SETTINGS]]
        # The settings that differ stand beside the held-out loss, which they may explain.
        return [*found[:2], *settings, *found[2:]]

    def _cell(
        self, name: str, column: _Column, summary: Summary, baseline: Summary | None, reference: HeldOutSetup | None
    ) -> str:
        if name == "title":
            title, color = self.titles.get(summary.run, summary.title), self.colors.get(summary.run, "")
            return render("train/run_cell", title=title, color=color, is_baseline=summary is baseline)
        reason = ""
        if name in HELD_OUT_RESULTS and summary.held_out_setup and reference:
            reason = why_not_comparable(summary.held_out_setup, reference)
        difference = "" if reason else _difference(name, summary, baseline)
        return render("train/result_cell", text=column.cell(summary), difference=difference, reason=reason)


def _setting(name: str) -> _Column:
    return _Column(TITLES[name], lambda s: format_value(getattr(s.config, name)) if s.config else "–")


def _difference(name: str, summary: Summary, baseline: Summary | None) -> str:
    """Return how a result differs from the baseline's, such as "-0.1200"; empty if that says nothing."""
    if baseline is None or summary is baseline or name not in _DIFFERENCES:
        return ""
    value, other = value_of(summary, name), value_of(baseline, name)
    return f"{value - other:+.4f}" if value is not None and other is not None else ""
