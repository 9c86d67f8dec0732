"""Selection of the answers that the table shows: those of a group, or those that got better or worse, in order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.evaluate.metrics import METRICS, Metric
from core.evaluate.scores import Scores
from core.evaluate.verdict_groups import NO_LABEL

Side = Literal["all", "better", "worse"]
SIDES: dict[Side, str] = {"all": "All", "better": "Better", "worse": "Worse"}
# Titles for a metric of which neither direction is better.
NEUTRAL_SIDES: dict[Side, str] = {"all": "All", "better": "More", "worse": "Less"}


@dataclass(frozen=True)
class Selection:
    """A selection of rows.

    Attributes:
        first: Number of the reference lane.
        second: Number of the judged lane.
        metric: Name of the metric whose change counts; "" for none.
        side: Only rows that changed to this side, or "all".
        grouping: Name of a grouping; "" for all rows.
        label: The selected group of this grouping.
    """

    first: int = 0
    second: int = 0
    metric: str = ""
    side: Side = "all"
    grouping: str = ""
    label: str = ""

    @classmethod
    def parse(cls, value: Mapping[str, Any] | None) -> "Selection":
        """Return the selection that a page keeps, or a selection of all rows if it is not valid."""
        try:
            found = cls(**(value or {}))
        except TypeError:
            return cls()
        return found if found.side in SIDES and found.metric in ("", *METRICS) else cls()


@dataclass(frozen=True)
class SelectedRows:
    """The rows of a selection.

    Attributes:
        prompts: Indices of the prompts, in the order of the table.
        changes: Change of the metric by prompt, as text; empty without a metric.
        counts: Number of rows on each side, within the group.
    """

    prompts: list[int]
    changes: dict[int, str]
    counts: dict[Side, int]


def select_rows(scores: Scores, selection: Selection, finished: list[int], format_change: Any) -> SelectedRows:
    """Return the rows of a selection.

    Rows that got better or worse come with the largest change first, all rows in the order of the prompts. For a
    metric of which neither direction is better, "better" are the rows with a higher value.

    Args:
        scores: The scores of the evaluation.
        selection: The selection.
        finished: Indices of the prompts that have all answers, in their order.
        format_change: Returns a metric's change as text: (metric, change).
    """
    prompts = np.array([index for index in finished if index < scores.prompts], np.int64)
    if selection.grouping in scores.groups:
        labels = scores.groups[selection.grouping]
        names = np.array([NO_LABEL if labels[index] in (None, "") else str(labels[index]) for index in prompts], object)
        prompts = prompts[names == selection.label]
    metric = METRICS.get(selection.metric)
    if metric is None or selection.first == selection.second:
        return SelectedRows(prompts.tolist(), {}, {"all": len(prompts)})
    change = _changes(scores, metric, selection)[prompts]
    gain = -change if metric.better == "lower" else change
    counts: dict[Side, int] = {"all": len(prompts), "better": int((gain > 0).sum()), "worse": int((gain < 0).sum())}
    order = np.arange(len(prompts))
    if selection.side != "all":
        signed = gain if selection.side == "better" else -gain
        order = np.argsort(-np.nan_to_num(signed), kind="stable")[: counts[selection.side]]
    after = scores.values(metric.name, selection.second)[prompts]
    texts = {int(prompts[at]): _describe(metric, float(change[at]), after[at], format_change) for at in order}
    return SelectedRows(prompts[order].tolist(), texts, counts)


_FLIPS = {1.0: "wrong → right", -1.0: "right → wrong"}


def _describe(metric: Metric, change: float, after: float, format_change: Any) -> str:
    """Return the change of a row as text; `after` is the value of the judged lane."""
    if np.isnan(change):
        return "–"
    if metric.is_binary:
        return _FLIPS.get(change) or ("both right" if after else "both wrong")
    return format_change(metric, change)


def _changes(scores: Scores, metric: Metric, selection: Selection) -> np.ndarray:
    """Return the change of a metric from the first to the second lane, (prompts,); NaN where a lane has no value."""
    return scores.values(metric.name, selection.second) - scores.values(metric.name, selection.first)
