"""The forgetting guard of an evaluation: what the probes say about each lane, and which checkpoint costs least.

The probes are right or wrong, so lanes are compared like any other right/wrong metric, on the same 320 questions.
"""

from dataclasses import dataclass

import numpy as np

from core.evaluate.config import parse_lane
from core.evaluate.metrics import Metric
from core.evaluate.probes import kinds, probes
from core.evaluate.statistics.paired import PairedDifference, PairedScores, compare
from core.evaluate.store import Evaluation

ABILITY = Metric(
    "probes", "General ability", "higher", "share", "",
    "The share of 320 short questions of eight kinds that a model answers rightly; none is about a usual task. "
    "Right answers / answered probes, each judged by a check of its text (core/evaluate/probes).",
    is_binary=True,
)  # fmt: skip


@dataclass(frozen=True)
class Ability:
    """Right and wrong answers of the lanes of an evaluation to the probes.

    Attributes:
        right: 1, 0, or NaN without an answer, (lanes, probes).
    """

    right: np.ndarray

    def share(self, lane: int, kind: str = "") -> float | None:
        """Return the share of right answers of a lane, also of one kind of probes; None without answers."""
        values = self.right[lane][_of_kind(kind)]
        return float(np.nanmean(values)) if np.isfinite(values).any() else None

    def compare(self, first: int, second: int, kind: str = "", seed: int = 0) -> PairedDifference:
        """Return the difference of two lanes, also on one kind of probes."""
        at = _of_kind(kind)
        return compare(PairedScores(self.right[first][at], self.right[second][at], np.flatnonzero(at)), seed=seed)


def _of_kind(kind: str) -> np.ndarray:
    """Return which probes are of a kind, (probes,), bool; all for ""."""
    return np.array([not kind or probe.kind == kind for probe in probes()])


def read_ability(evaluation: Evaluation) -> Ability | None:
    """Return what the probes of an evaluation say; None if it has no probes, or none is answered."""
    if not evaluation.config().guard:
        return None
    answers = evaluation.answers()
    right = np.full((len(evaluation.config().lanes), len(probes())), np.nan)
    first = evaluation.set_size()
    for number, probe in enumerate(probes()):
        for lane, line in enumerate(answers.read(first + number)):
            if line is not None and line["end"] != "failed":
                right[lane, number] = probe.is_right(line["text"])
    return Ability(right) if np.isfinite(right).any() else None


def describe_cost(ability: Ability, first: int, second: int, gained: bool) -> str:
    """Return a sentence about the general ability of a lane beside another one.

    Args:
        ability: The probes.
        first: The reference lane, such as base.
        second: The judged lane.
        gained: Whether the judged lane is better at the task.
    """
    found = ability.compare(first, second)
    before, after = found.first_mean, found.second_mean
    change = f"{before:.1%} to {after:.1%} of {found.rows:,} probes"
    if found.direction < 0:
        lost = [kind for kind in kinds() if ability.compare(first, second, kind).direction < 0]
        where = f", most clearly in {', '.join(lost)}" if lost else ""
        cost = "The gain costs general ability" if gained else "General ability fell"
        return f"{cost}: right answers went from {change}{where}."
    if found.direction > 0:
        return f"General ability rose: right answers went from {change}."
    return f"No clear loss of general ability: right answers went from {change}."


def balanced_lane(ability: Ability, lanes: list[str], gains: list[float | None], first: int) -> int | None:
    """Return the adapter with the largest gain at the task whose general ability is not below that of the first lane.

    Args:
        ability: The probes.
        lanes: The lanes, as in `EvaluationConfig.lanes`.
        gains: How much better each lane is at the task than the first one; None if unknown.
        first: The reference lane.

    Returns:
        The number of a lane; None if no adapter gains without a loss.
    """
    found = [
        lane
        for lane, name in enumerate(lanes)
        if lane != first
        and parse_lane(name)[0]
        and (gains[lane] or 0) > 0
        and ability.compare(first, lane).direction >= 0
    ]
    return max(found, key=lambda lane: gains[lane], default=None)
