"""Verdict of an evaluation: is the judged lane better than the reference lane, where, and how sure is that.

The primary metric decides: its mean paired difference, with an interval over conversations. All other metrics are shown
beside it and decide nothing. Groups are corrected for their number, and flips lead to the answers behind the numbers.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np

from core.chat.turns import BASE
from core.errors import StudioError
from core.evaluate.flips import Flips, find_flips
from core.evaluate.metrics import METRICS, Metric
from core.evaluate.metrics.tasks import TASKS
from core.evaluate.statistics.paired import PairedDifference, PairedScores, compare
from core.evaluate.statistics.power import detectable_difference, rows_to_detect, spread_of
from core.evaluate.verdict_groups import GroupDifference, compare_groups, outcome_of
from core.evaluate.verdict_text import describe_change, describe_need, describe_outcome

AUTO = "auto"
# Why a metric decides, by its name.
_LABELED = "The rows have labels."
_WHY = {
    "accuracy": _LABELED, "choice": _LABELED, "choice_per_token": _LABELED,
    "rouge_l": "The task is summarization, for which it is the usual metric.",
    "loss": "The rows have references, and their loss depends neither on chance nor on wording.",
    "word_f1": "The rows have references, but no loss of them for both models.",
}  # fmt: skip
# exp(loss): its mean over rows is that of the few hardest rows, and the loss says the same.
NOT_JUDGED = ("perplexity",)
# Described if nothing can be judged.
_FORM = ("tokens", "ended")
Outcome = Literal["better", "worse", "unclear"]


class PairedTable(Protocol):
    """The part of `scores.Scores` that a verdict needs."""

    lanes: int
    metrics: list[Metric]
    task: str

    @property
    def groups(self) -> Any:
        """Return the label of each prompt, by the name of the grouping."""

    def pair(self, metric: str, first: int, second: int) -> PairedScores:
        """Return a metric of two lanes."""


@dataclass(frozen=True)
class Verdict:
    """Verdict about two lanes.

    Attributes:
        outcome: Of the judged lane: "better", "worse", or "unclear".
        sentence: The outcome with its numbers, and if it is unclear how many rows would tell.
        primary: The metric that decides; None if no row has a reference or a label.
        why: Why it is this metric.
        overall: Every metric with its difference; these are not corrected for their number.
        groups: The primary metric by group.
        flips: Prompts that got better or worse by the primary metric; None without one.
        detectable: Smallest difference of the primary metric that these rows detect with 80 % power; None if unknown.
        needed: Rows that detect the observed difference with 80 % power, if it is unclear; None if unknown.
        notes: Sentences about missing values and about the correction for many groups.
    """

    outcome: Outcome
    sentence: str
    primary: Metric | None
    why: str
    overall: list[tuple[Metric, PairedDifference]]
    groups: list[GroupDifference]
    flips: Flips | None
    detectable: float | None
    needed: int | None
    notes: list[str]

    @property
    def gain(self) -> float | None:
        """Return how much better the judged lane is by the primary metric, in its unit.

        None if it is not known, or if neither direction of the metric is better.
        """
        found = next((each for metric, each in self.overall if metric == self.primary), None)
        if found is None or not found.rows or self.primary.better == "neither":
            return None
        return -found.difference if self.primary.better == "lower" else found.difference

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as values that JSON has; a number that is not known is null."""
        groups = [_plain(asdict(group)) for group in self.groups]
        overall = [{"metric": metric.name, **_plain(asdict(found))} for metric, found in self.overall]
        return {
            "outcome": self.outcome, "sentence": self.sentence, "why": self.why, "notes": self.notes,
            "primary": self.primary.name if self.primary else None, "overall": overall, "groups": groups,
            "flips": asdict(self.flips) if self.flips else None, "detectable": self.detectable, "needed": self.needed,
        }  # fmt: skip


def judge(scores: PairedTable, first: int, second: int, primary: str = AUTO, seed: int = 0) -> Verdict:
    """Judge a lane against another one on the same rows.

    Args:
        scores: The scores of the evaluation.
        first: Number of the reference lane, such as base.
        second: Number of the judged lane, such as tuned.
        primary: Name of the metric that decides; "auto" chooses the first of the task's that has a value.
        seed: Of the bootstrap.

    Raises:
        StudioError: The lanes or the metric do not exist.
    """
    if first == second or not {first, second} <= set(range(scores.lanes)):
        raise StudioError(
            f"A verdict compares two different models of an evaluation, numbered 1 to {scores.lanes}. Numbers "
            f"{first + 1} and {second + 1} were chosen: choose two others."
        )
    metric, why = choose_metric(scores, first, second, primary)
    judged = [other for other in scores.metrics if other.name not in NOT_JUDGED]
    overall = [(other, compare(scores.pair(other.name, first, second), seed=seed)) for other in judged]
    if metric is None:
        return Verdict("unclear", _describe_form(overall), None, why, overall, [], None, None, None, [])
    pair = scores.pair(metric.name, first, second)
    found = next(difference for other, difference in overall if other.name == metric.name)
    outcome = outcome_of(metric, found)
    detectable, needed = _detection(pair, found, outcome)
    sentence = describe_outcome(metric, found, outcome)
    if outcome == "unclear" and not found.problem and not found.direction:
        sentence = f"{sentence} {describe_need(metric, found, needed, detectable)}".strip()
    groups, notes = compare_groups(metric, pair, scores.groups, seed)
    flips = find_flips(metric, pair)
    return Verdict(outcome, sentence, metric, why, overall, groups, flips, detectable, needed,
                   _describe_rows(metric, found) + notes)  # fmt: skip


def choose_lanes(lanes: list[str], parents: Mapping[int, int] | None = None) -> tuple[int, int] | None:
    """Return the numbers of the usual reference, base or the first lane, and of the judged one, the last of the others.

    If a lane's run was duplicated from that of another lane, the last such run is compared with its parent.

    Args:
        lanes: The lanes of an evaluation, as in its settings. If there is only one, nothing is returned.
        parents: Number of the parent's lane, by the number of the lane (`core.evaluate.lineage`).
    """
    if parents:
        child = max(parents)
        return parents[child], child
    reference = lanes.index(BASE) if BASE in lanes else 0
    others = [number for number in range(len(lanes)) if number != reference]
    return (reference, others[-1]) if others else None


def choose_metric(scores: PairedTable, first: int, second: int, name: str) -> tuple[Metric | None, str]:
    """Return the primary metric of two lanes, and why it is this one; None if nothing can be judged.

    Args:
        scores: The scores of the evaluation.
        first: Number of the reference lane.
        second: Number of the judged lane.
        name: Name of a metric, or "auto".

    Raises:
        StudioError: There is no such metric, or it has no value.
    """
    metrics = [metric for metric in scores.metrics if metric.name not in NOT_JUDGED]
    if name != AUTO:
        found = next((metric for metric in metrics if metric.name == name), None)
        if found is None:
            problem = "does not exist" if name not in METRICS else "has no value in this evaluation"
            if name in NOT_JUDGED:
                problem = "is exp(loss), and its mean over rows depends on the few hardest ones"
            raise StudioError(f"The metric {name!r} {problem}. Choose one of: "
                              f"{', '.join(metric.name for metric in metrics) or 'none'}.")  # fmt: skip
        return found, "It was chosen."
    usable = [metric for metric in metrics if scores.pair(metric.name, first, second).has_both.any()]
    found, why = _infer_metric(usable, scores.task)
    # If one lane has no value at all, the metric is still the right one, and the sentence is about its values.
    return (found, why) if found else (_infer_metric(metrics, scores.task)[0], why)


def _infer_metric(metrics: list[Metric], task: str) -> tuple[Metric | None, str]:
    """Return the first metric of these that can judge the answers of a task, and why it is this one."""
    names = {metric.name: metric for metric in metrics}
    for name in TASKS[task].primary:
        if name in names:
            return names[name], _WHY[name]
    return None, "No row has a reference or a label with values of both models."


def _detection(pair: PairedScores, found: PairedDifference, outcome: str) -> tuple[float | None, int | None]:
    """Return the smallest difference that the rows detect, and the rows that an unclear difference needs."""
    spread = spread_of(pair) if not found.problem else None
    if spread is None:
        return None, None
    needed = rows_to_detect(found.difference, spread) if outcome == "unclear" else None
    return detectable_difference(found.rows, spread), needed


def _describe_form(overall: list[tuple[Metric, PairedDifference]]) -> str:
    """Return the sentence if nothing can be judged: what is known about the answers."""
    text = "Unclear: no row has a reference or a label that the answers could be compared with."
    known = [describe_change(metric, found) for metric, found in overall if metric.name in _FORM and found.rows]
    return " ".join([text, *(f"{change[0].upper()}{change[1:]}." for change in known)])


def _describe_rows(metric: Metric, found: PairedDifference) -> list[str]:
    """Return sentences about the rows behind the numbers."""
    notes = []
    if found.missing:
        total = found.rows + found.missing
        verb = "is" if found.missing == 1 else "are"
        notes.append(f"{found.missing:,} of {total:,} rows {verb} left out, as a model has no value there.")
    if metric.summary == "corpus":
        notes.append(f"{metric.title}: here each row counts equally; a model's own number weights rows by length.")
    return notes


def _plain(value: Any) -> Any:
    """Return a value with lists in place of arrays, and None in place of numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _plain(found) for key, found in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return None if isinstance(value, float) and not math.isfinite(value) else value
