"""Flips: the rows that got right, got wrong, or moved most, so that a verdict can be read in the answers themselves."""

from dataclasses import dataclass

import numpy as np

from core.evaluate.metrics import Metric
from core.evaluate.statistics.paired import PairedScores

# Per direction, for metrics that are not right or wrong.
MAX_MOVED = 50


@dataclass(frozen=True)
class Flips:
    """Prompts whose score differs between two lanes, the largest change first.

    Attributes:
        improved: Indices of prompts that got better: from wrong to right, or those that moved most. If neither
            direction of the metric is better, those that rose.
        worsened: Indices of prompts that got worse, or fell.
        improved_count: Number of all prompts that got better.
        worsened_count: Number of all prompts that got worse.
        unchanged_count: Number of prompts with equal scores.
        left_out: Indices of prompts where a lane has no value.
    """

    improved: list[int]
    worsened: list[int]
    improved_count: int
    worsened_count: int
    unchanged_count: int
    left_out: list[int]


def find_flips(metric: Metric, scores: PairedScores) -> Flips:
    """Return the flips of a metric: all of them if it is right or wrong, else the rows that moved most.

    Args:
        metric: The metric.
        scores: Its scores, with one row per prompt in the order of the prompts.
    """
    both = scores.has_both
    gains = -scores.differences if metric.better == "lower" else scores.differences
    # Stable: prompts that moved equally stay in their order.
    order = np.argsort(-np.abs(gains), kind="stable")
    improved, worsened = order[gains[order] > 0], order[gains[order] < 0]
    most = len(order) if metric.is_binary else MAX_MOVED
    return Flips(
        improved[:most].tolist(), worsened[:most].tolist(), len(improved), len(worsened),
        int(both.sum()) - len(improved) - len(worsened), np.nonzero(~both)[0].tolist(),
    )  # fmt: skip
