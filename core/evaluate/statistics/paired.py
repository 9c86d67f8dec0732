"""Comparison of two lanes on the same rows: the mean difference, its interval and its p-value."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from core.evaluate.statistics import bootstrap
from core.evaluate.statistics.clusters import ClusterSums, subtract, sum_by_cluster
from core.evaluate.statistics.hypothesis_tests import sign_flip_p_value

# Fewer conversations get no interval: in bench/verdict.py its coverage is 93 to 97 % from 20 on, also for skewed
# scores and unequal conversations; the exceptions are in bench/RESULTS.md.
MIN_CLUSTERS = 20
# The same for very unequal conversations, where one long conversation weighs as much as many short ones.
MIN_EFFECTIVE_CLUSTERS = 8
# No sign-flip test of fewer clusters can reach p < 0.05 on both sides: 2 / 2^5 = 0.06. A bootstrap of fewer has
# resamples without any difference.
MIN_DIFFERING_CLUSTERS = 6

# Why there is no interval: no row has both values; too few clusters, or a few that outweigh the rest; all rows equal;
# too few clusters differ; every cluster has the same mean difference. "" if there is an interval.
Problem = Literal["", "no rows", "few clusters", "uneven clusters", "identical", "few differ", "constant"]


@dataclass(frozen=True)
class PairedScores:
    """Scores of two lanes on the same rows.

    Attributes:
        first: Score of the reference lane, such as base, (n,), float64; NaN: no value.
        second: Score of the judged lane, such as tuned, (n,), float64; NaN: no value.
        clusters: Number of each row's cluster, (n,), int64: rows of one conversation share it.
    """

    first: np.ndarray
    second: np.ndarray
    clusters: np.ndarray

    def __post_init__(self) -> None:
        shapes = {np.shape(self.first), np.shape(self.second), np.shape(self.clusters)}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise ValueError(f"first, second and clusters must be arrays of one length, not of the shapes {shapes}.")

    def select(self, rows: np.ndarray) -> "PairedScores":
        """Return some of the rows, by index or mask."""
        return PairedScores(self.first[rows], self.second[rows], self.clusters[rows])

    @property
    def has_both(self) -> np.ndarray:
        """Return which rows have a finite value in both lanes, (n,), bool."""
        return np.isfinite(self.first) & np.isfinite(self.second)

    @property
    def differences(self) -> np.ndarray:
        """Return second − first of each row, (n,); 0 where a value is missing."""
        both = self.has_both
        return subtract(np.where(both, self.first, 0), np.where(both, self.second, 0))

    @property
    def is_binary(self) -> bool:
        """Return whether every value is 0 or 1."""
        return all(np.isin(lane[np.isfinite(lane)], (0, 1)).all() for lane in (self.first, self.second))


@dataclass(frozen=True)
class PairedDifference:
    """Difference of two lanes, second − first, over the rows that have both values.

    Attributes:
        first_mean: Mean over rows of the reference lane; NaN without rows.
        second_mean: Mean over rows of the judged lane.
        difference: second_mean − first_mean.
        low: Lower end of the interval; NaN if there is none.
        high: Upper end of the interval.
        rows: Number of rows with both values.
        clusters: Number of their clusters.
        p_value: Two-sided, against no difference; NaN if it was not tested.
        missing: Rows left out because a value is missing.
        error: Standard error of the difference; NaN if there is no interval.
        problem: Why there is no interval.
        is_binary: Whether all scores are 0 or 1.
        risen: Rows with a higher second value.
        fallen: Rows with a lower second value.
        confidence: Confidence of the interval.
    """

    first_mean: float
    second_mean: float
    difference: float
    low: float
    high: float
    rows: int
    clusters: int
    p_value: float
    missing: int
    error: float = np.nan
    problem: Problem = ""
    is_binary: bool = False
    risen: int = 0
    fallen: int = 0
    confidence: float = 0.95

    @property
    def direction(self) -> int:
        """Return 1 if the second lane is higher, -1 if it is lower, and 0 if that is unclear.

        The interval must exclude 0 and the test must reject; for right/wrong scores they are two methods.
        """
        if self.problem not in ("", "constant") or not self.p_value <= 1 - self.confidence:
            return 0
        return (self.low > 0) - (self.high < 0)


def compare(
    scores: PairedScores, *, seed: int, confidence: float = 0.95, resamples: int = bootstrap.RESAMPLES
) -> PairedDifference:
    """Compare two lanes: by the bootstrap over clusters, or for right/wrong by the exact test and its interval.

    Args:
        scores: The scores.
        seed: Seed of the bootstrap; equal seeds give equal numbers.
        confidence: Confidence of the interval.
        resamples: Number of resamples of the bootstrap.
    """
    both = scores.has_both
    kept = scores.select(both)
    first, second, missing = kept.first, kept.second, len(both) - len(kept.first)
    differences = kept.differences
    if not len(first):
        return PairedDifference(*[np.nan] * 5, 0, 0, np.nan, missing, problem="no rows", confidence=confidence)
    sums = sum_by_cluster(differences, kept.clusters)
    found = PairedDifference(
        float(first.mean()), float(second.mean()), sums.estimate, np.nan, np.nan, len(first), len(sums), np.nan,
        missing, is_binary=kept.is_binary, risen=int((differences > 0).sum()), fallen=int((differences < 0).sum()),
        confidence=confidence,
    )  # fmt: skip
    found = replace(found, problem=_find_problem(sums, found))
    return _with_interval(found, sums, seed, resamples)


def _find_problem(sums: ClusterSums, found: PairedDifference) -> Problem:
    """Return why no interval can be computed from these clusters."""
    if len(sums) < MIN_CLUSTERS:
        return "few clusters"
    if sums.effective < MIN_EFFECTIVE_CLUSTERS:
        return "uneven clusters"
    if found.is_binary:
        # The adjusted interval has a width also if nothing differs.
        return ""
    if not found.risen + found.fallen:
        return "identical"
    if sums.differing < MIN_DIFFERING_CLUSTERS:
        return "few differ"
    return "" if sums.residuals.any() else "constant"


def _with_interval(found: PairedDifference, sums: ClusterSums, seed: int, resamples: int) -> PairedDifference:
    """Return the difference with its interval and p-value, as far as its problem allows."""
    if found.problem == "identical":
        return replace(found, p_value=1.0)
    if found.problem == "constant":
        # Every cluster has this mean difference: the estimate has no spread, and the signs are the evidence.
        p_value = sign_flip_p_value(np.sign(sums.differences))
        return replace(found, low=found.difference, high=found.difference, p_value=p_value, error=0.0)
    if found.problem:
        return found
    if found.is_binary:
        interval = bootstrap.adjusted_interval(sums, confidence=found.confidence)
        p_value = sign_flip_p_value(sums.differences)
    else:
        interval = bootstrap.bootstrap_interval(sums, seed=seed, confidence=found.confidence, resamples=resamples)
        p_value = interval.p_value
    return replace(found, low=interval.low, high=interval.high, p_value=p_value, error=interval.error)
