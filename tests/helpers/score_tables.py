"""Scores of an evaluation as arrays in memory, in place of scores.parquet."""

import numpy as np

from core.evaluate.metrics import METRICS
from core.evaluate.statistics.paired import PairedScores


class ScoreTable:
    """Scores of two lanes by metric; rows are conversations of their own unless clusters are given."""

    lanes = 2

    def __init__(self, pairs: dict[str, tuple], clusters=None, groups: dict | None = None, task: str = ""):
        self.task = task or ("classification" if "accuracy" in pairs else "generation")
        self._pairs = {name: tuple(np.asarray(lane, float) for lane in pair) for name, pair in pairs.items()}
        rows = len(next(iter(self._pairs.values()))[0]) if pairs else 0
        self.metrics = [metric for metric in METRICS.values() if metric.name in pairs]
        self.clusters = np.arange(rows) if clusters is None else np.asarray(clusters)
        self.groups = {name: np.asarray(labels, dtype=object) for name, labels in (groups or {}).items()}

    def pair(self, metric: str, first: int, second: int) -> PairedScores:
        lanes = self._pairs[metric]
        return PairedScores(lanes[first], lanes[second], self.clusters)


def table_of(metric: str, scores: PairedScores, groups: dict | None = None) -> ScoreTable:
    """Return a table of one metric."""
    return ScoreTable({metric: (scores.first, scores.second)}, scores.clusters, groups)
