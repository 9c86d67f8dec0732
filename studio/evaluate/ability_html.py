"""HTML of the forgetting guard, and of a classification: tables per label and the confusion matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from components.interval_table import IntervalRow, IntervalTable, interval_table_html
from core.evaluate.classification.scoring import WAYS, Classification
from core.evaluate.classification.tables import UNPARSED, calibrate
from core.evaluate.guard import ABILITY, Ability, advise, describe_cost
from core.evaluate.metrics import Metric
from core.evaluate.probes import kinds
from studio.evaluate.verdict_html import difference_cells, difference_interval, why_no_plot
from studio.html import render

# Labels whose confusion matrix still fits on a page.
MAX_MATRIX_LABELS = 20


def ability_html(
    ability: Ability, titles: Sequence[str], lanes: list[str], first: int, second: int, gains: list[float | None]
) -> Markup:
    """Return what tuning has cost in general ability: a sentence, a table by kinds of probes, and which lane to choose.

    Args:
        ability: The probes.
        titles: Titles of the lanes.
        lanes: The lanes, as in `EvaluationConfig.lanes`.
        first: The reference lane.
        second: The judged lane.
        gains: How much better each lane is at the task than the first one; None if unknown.
    """
    found = [(kind, ability.compare(first, second, kind)) for kind in ("", *kinds())]
    extent = max((abs(end) for _, each in found for end in (each.low, each.high) if end == end), default=0.0)
    rows = [
        IntervalRow(
            "", kind.capitalize() or "All probes", difference_cells(ABILITY, each),
            difference_interval(ABILITY, each, extent), why_no_plot(each), is_main=not kind,
        )
        for kind, each in found
    ]  # fmt: skip
    cost = describe_cost(ability, first, second, (gains[second] or 0) > 0)
    advice = advise(ability, lanes, titles, gains, first, second)
    has_lost = ability.compare(first, second).direction < 0
    table = interval_table_html(IntervalTable(["", titles[first], titles[second], "change"], rows))
    return render("evaluate/ability", cost=cost, advice=advice, is_warning=has_lost, table=table)


@dataclass(frozen=True)
class StepPoint:
    """One adapter of a run, or the base, in the plots over the steps.

    Attributes:
        title: Its title.
        task: Mean of the primary metric; None if it is not known.
        ability: Share of right answers to the probes; None without answers.
    """

    title: str
    task: float | None
    ability: float | None


def over_steps_html(metric: Metric, points: Sequence[StepPoint]) -> Markup:
    """Return the task metric and the general ability side by side, over the adapters of a run in their order.

    Args:
        metric: The primary metric.
        points: The base first, then the adapters by their steps.
    """
    plots = []
    for plotted, values in ((metric, [each.task for each in points]), (ABILITY, [each.ability for each in points])):
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            low, extent = min(known), (max(known) - min(known)) or 1.0
            spots = [
                (20 + 200 * at / (len(values) - 1), 80 - 60 * (value - low) / extent, plotted.format(value))
                for at, value in enumerate(values)
            ]
            plots.append({"title": plotted.title, "better": plotted.better, "spots": spots})
    return render("evaluate/over_steps", plots=plots, titles=[each.title for each in points])


def classification_html(found: Classification, titles: Sequence[str]) -> Markup:
    """Return a summary of all lanes, and per lane the labels, the confusion matrix and the calibration.

    Args:
        found: Labels and answers.
        titles: Titles of the lanes.
    """
    lanes = []
    for lane, title in enumerate(titles):
        tables = {name: found.table(lane, way) for way, name in WAYS.items()}
        known = {name: table for name, table in tables.items() if table}
        bins, error = _calibration(found, lane)
        lanes.append({"title": title, "tables": known, "bins": bins, "error": error})
    return render(
        "evaluate/classes", lanes=lanes, names=found.labels.names, merged=found.labels.merged,
        has_matrix=len(found.labels.names) <= MAX_MATRIX_LABELS,
    )  # fmt: skip


def _calibration(found: Classification, lane: int) -> tuple[list, float | None]:
    known = (found.true != UNPARSED) & (found.chosen[lane] != UNPARSED)
    if not known.any():
        return [], None
    return calibrate(found.probabilities[lane][known], found.true[known])
