"""HTML of a verdict: its sentence, the differences of all metrics and of the groups, and what the metrics mean."""

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup

from components.interval_table import Interval, IntervalRow, IntervalTable, interval_table_html
from core.evaluate.metrics import Metric
from core.evaluate.statistics.paired import MIN_CLUSTERS, PairedDifference
from core.evaluate.verdict import Verdict
from core.evaluate.verdict_groups import GroupDifference
from core.evaluate.verdict_text import format_change, format_p_value
from studio.html import render

# Groups that a table shows; the largest come first.
MAX_GROUPS = 40
_SIGNS = {"better": "▲", "worse": "▼", "unclear": "?"}
# Meanings of the left and the right of a plot if neither direction of a metric is better.
_NEUTRAL = ("less", "more")


def verdict_html(verdict: Verdict, first: str, second: str, cost: str = "") -> Markup:
    """Return the verdict as a card.

    Args:
        verdict: The verdict.
        first: Title of the reference lane.
        second: Title of the judged lane.
        cost: A sentence about the general ability that was lost; empty if none was, or if it is not known.
    """
    head, _, rest = verdict.sentence.partition(":")
    text = rest.strip()
    better = verdict.primary and verdict.primary.better
    judged = "" if better == "neither" else f"; {better} is better"
    decided = f"Decided by {verdict.primary.title}{judged}. {verdict.why}" if verdict.primary else verdict.why
    return render(
        "evaluate/verdict",
        outcome=verdict.outcome,
        sign=_SIGNS[verdict.outcome],
        head=head,
        text=text[:1].upper() + text[1:],
        compared=f"{second} compared with {first}",
        decided=decided,
        cost=cost,
        notes=verdict.notes,
    )


def differences_html(verdict: Verdict, first: str, second: str) -> Markup:
    """Return the tables of all metrics; a row's key is the metric's name.

    A primary metric of which neither direction is better has a table of its own above the others.
    """
    found = [(metric, difference) for metric, difference in verdict.overall if difference.rows]
    # Metrics of one scale share the extent of their plots, so that their bars can be compared.
    extents = {metric.scale: 0.0 for metric, _ in found}
    for metric, difference in found:
        extents[metric.scale] = max(extents[metric.scale], extent_of(difference))
    judged, described, neutral_primary = [], [], []
    for metric, difference in found:
        interval = difference_interval(metric, difference, extents[metric.scale])
        row = IntervalRow(
            metric.name, metric.title, difference_cells(metric, difference), interval, why_no_plot(difference),
            is_main=metric == verdict.primary, help=metric.explanation, direction=direction_of(metric),
        )  # fmt: skip
        neutral = neutral_primary if metric == verdict.primary else described
        (judged if metric.better != "neither" else neutral).append(row)
    columns = ["", first, second, "change"]
    tables = [IntervalTable(columns, neutral_primary, *_NEUTRAL), IntervalTable(columns, judged)]
    parts = [interval_table_html(table) for table in tables if table.rows]
    if described:
        table = interval_table_html(IntervalTable(columns, described, *_NEUTRAL))
        parts.append(render("evaluate/described", count=len(described), table=table))
    return Markup("").join(parts)


def groups_html(metric: Metric, groups: Sequence[GroupDifference], first: str, second: str) -> Markup:
    """Return the table of the groups of one grouping; a row's key is the group's label.

    Args:
        metric: The primary metric.
        groups: The groups, the largest first.
        first: Title of the reference lane.
        second: Title of the judged lane.
    """
    shown = groups[:MAX_GROUPS]
    extent = max((extent_of(group.difference) for group in shown), default=0.0)
    rows = [
        IntervalRow(
            group.label, group.label, [f"{group.difference.rows:,}", *difference_cells(metric, group.difference)],
            difference_interval(metric, group.difference, extent), note=_group_note(group),
        )
        for group in shown
    ]  # fmt: skip
    ends = _NEUTRAL if metric.better == "neither" else ()
    html = interval_table_html(IntervalTable(["", "rows", first, second, "change"], rows, *ends))
    left_out = len(groups) - len(shown)
    return Markup("").join([html, render("evaluate/left_out", count=left_out)]) if left_out else html


def explanations_html(metrics: Iterable[Metric], notes: Sequence[str] = ()) -> Markup:
    """Return sentences about the task and what has no score, and what each metric says, closed until it is opened."""
    return render("evaluate/explanations", metrics=list(metrics), notes=notes)


def difference_cells(metric: Metric, found: PairedDifference) -> list[str]:
    """Return the values of both lanes and the change as texts."""
    if not found.rows:
        return ["–", "–", "–"]
    return [metric.format(found.first_mean), metric.format(found.second_mean), format_change(metric, found.difference)]


def direction_of(metric: Metric) -> str:
    """Return that lower values of a metric are better; empty if, as usual, higher ones are, or neither."""
    return "lower is better" if metric.better == "lower" else ""


def extent_of(found: PairedDifference) -> float:
    """Return the end of an interval that is farther from 0; 0 if there is none."""
    return max((abs(end) for end in (found.low, found.high) if math.isfinite(end)), default=0.0)


def difference_interval(metric: Metric, found: PairedDifference, extent: float) -> Interval | None:
    """Return the interval, mirrored if lower is better, so that the right side is better; None if there is none."""
    if not math.isfinite(found.low):
        return None
    ends = (found.low, found.high)
    if metric.better == "lower":
        ends = (-found.high, -found.low)
    value = -found.difference if metric.better == "lower" else found.difference
    # Some space beyond the widest interval, so that its end is in sight.
    text = f"95% interval: {format_change(metric, found.low)} to {format_change(metric, found.high)}"
    is_judged = metric.better != "neither" and found.direction != 0
    return Interval(value, *ends, 1.08 * extent, is_judged, text)


_NO_PLOT = {
    "no rows": "no row has both values",
    "few clusters": f"no interval: fewer than {MIN_CLUSTERS} rows",
    "uneven clusters": "a few conversations have most of the rows",
    "identical": "equal in every row",
    "few differ": "too few rows differ for an interval",
}


def why_no_plot(found: PairedDifference) -> str:
    """Return why a difference has no interval; empty if it has one."""
    return "" if math.isfinite(found.low) else _NO_PLOT.get(found.problem, "no interval")


def _group_note(group: GroupDifference) -> str:
    if reason := why_no_plot(group.difference):
        return reason
    return "" if math.isnan(group.adjusted_p) else f"corrected p {format_p_value(group.adjusted_p)}"
