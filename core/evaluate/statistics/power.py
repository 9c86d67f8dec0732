"""Power of a paired comparison: the smallest difference that rows can detect, and the rows that a difference needs.

Means: the paired t-test has a noncentral t distribution (Cohen 1988, Statistical Power Analysis, chapter 2; Miller
2024, arXiv 2411.00640, has its normal approximation). Right/wrong: the number of rows that differ is binomial, and
among them the number that improve. For each number of differing rows, its probability is multiplied by the chance that
enough of them improve or worsen for a verdict; the power is the sum of these products (exact unconditional power of
McNemar's test, Duffy 1984, Biometrics 40). Rows of one conversation count as rows / design effect.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.evaluate.statistics.clusters import sum_by_cluster
from core.evaluate.statistics.paired import MIN_CLUSTERS, PairedScores

POWER, LEVEL = 0.8, 0.05
# No evaluation has more rows; a difference that needs more is reported as such.
MAX_ROWS = 1_000_000
# Numbers of differing rows further from their mean than this many standard deviations have no weight.
_TAIL_DEVIATIONS = 6
# The number of rows that a difference needs is found up to one part in this many.
_PRECISION = 500


@dataclass(frozen=True)
class PairedSpread:
    """How much the paired differences of a metric vary, from data or assumed.

    Attributes:
        deviation: Standard deviation of the difference of a row.
        discordance: For right/wrong, the share of rows in which the lanes differ; None for other metrics.
        design_effect: By which factor rows in conversations say less than as many independent rows; 1 for one row each.
    """

    deviation: float
    discordance: float | None = None
    design_effect: float = 1.0


def design_effect(sizes: np.ndarray, correlation: float) -> float:
    """Return by which factor rows in clusters say less than independent rows.

    1 + ((1 + cv²) · mean − 1) · correlation, with the mean and the coefficient of variation cv of the sizes (Kish 1965,
    Survey Sampling; Eldridge, Ashby and Kerry 2006, International Journal of Epidemiology 35).

    Args:
        sizes: Number of rows of each cluster, (clusters,).
        correlation: Correlation of the differences within a cluster, 0 to 1.
    """
    mean_of_squares = float(np.mean(np.square(sizes, dtype=np.float64)))
    # (1 + cv²) · mean = mean of the squares / mean.
    return 1 + (mean_of_squares / float(np.mean(sizes)) - 1) * correlation


def spread_of(scores: PairedScores) -> PairedSpread | None:
    """Return the spread of measured scores; None with fewer than two clusters or without any difference.

    The design effect is the squared ratio of the jackknife error over clusters to that of independent rows, at least 1.
    """
    kept = scores.select(scores.has_both)
    if len(np.unique(kept.clusters)) < 2:
        return None
    differences = kept.differences
    rows, deviation = len(differences), float(differences.std(ddof=1))
    if not deviation:
        return None
    error = sum_by_cluster(differences, kept.clusters).jackknife_error
    discordance = float(np.count_nonzero(differences) / rows) if kept.is_binary else None
    return PairedSpread(deviation, discordance, max(1.0, error**2 * rows / deviation**2))


def power(difference: float, rows: int, spread: PairedSpread) -> float:
    """Return the chance to detect a difference at the level `LEVEL`, 0 to 1.

    Args:
        difference: True mean difference; for right/wrong, of the shares, at most the discordance.
        rows: Number of rows.
        spread: Of the differences.
    """
    independent = rows / spread.design_effect
    if independent < MIN_CLUSTERS:
        return 0.0
    if spread.discordance is None:
        return _power_of_mean(difference, independent, spread.deviation)
    return _power_of_share(abs(difference), int(independent), spread.discordance)


def _power_of_mean(difference: float, rows: float, deviation: float) -> float:
    """Return the power of the two-sided paired t-test."""
    from scipy.stats import nct, t

    shift, limit = abs(difference) * rows**0.5 / deviation, float(t.ppf(1 - LEVEL / 2, rows - 1))
    if shift > limit + 10:
        return 1.0
    # Beyond 5 the other tail is below 1e-9, and scipy gives NaN for some of it.
    other = nct.cdf(-limit, rows - 1, shift) if shift < 5 else 0.0
    return float(nct.sf(limit, rows - 1, shift) + other)


def _power_of_share(difference: float, rows: int, discordance: float) -> float:
    """Return the power of `PairedDifference.direction`: the mid-p test rejects and the adjusted interval excludes 0."""
    from scipy.stats import binom

    mean, deviation = rows * discordance, (rows * discordance * (1 - discordance)) ** 0.5
    reach = _TAIL_DEVIATIONS * deviation + 1
    differing = np.arange(max(0, int(mean - reach)), min(rows, int(mean + reach)) + 1)
    needed = _needed_successes(differing, rows)
    improving = (1 + difference / discordance) / 2
    rejected = binom.sf(needed - 1, differing, improving) + binom.cdf(differing - needed, differing, improving)
    return float((binom.pmf(differing, rows, discordance) * rejected).sum())


def _needed_successes(differing: np.ndarray, rows: int) -> np.ndarray:
    """Return how many of the differing rows must improve for a verdict, (n,); more than all of them if none suffices.

    Args:
        differing: Numbers of differing rows, (n,).
        rows: Number of all rows, of one cluster each.
    """
    from scipy.stats import binom, t

    needed = np.maximum(binom.isf(LEVEL / 2, differing, 0.5), 0)
    mid_p = binom.sf(needed, differing, 0.5) + binom.pmf(needed, differing, 0.5) / 2
    needed += mid_p > LEVEL / 2
    # The adjusted interval excludes 0 if excess / (rows + 2) > width. With s = differing + 2 squared differences and
    # m = rows + 2, the jackknife variance is (s − excess² / m) / (m · (m − 1)), so excess² > c · s / (1 + c / m).
    total = rows + 2
    factor = float(t.ppf(1 - LEVEL / 2, rows - 1)) ** 2 * total / (total - 1)
    excess = np.sqrt(factor * (differing + 2) / (1 + factor / total))
    needed = np.maximum(needed, np.floor((differing + excess) / 2) + 1)
    return np.minimum(needed, differing + 1)


def detectable_difference(rows: int, spread: PairedSpread) -> float | None:
    """Return the smallest difference that is detected with the power `POWER`; None if these rows detect none.

    Args:
        rows: Number of rows.
        spread: Of the differences.
    """
    from scipy.optimize import brentq

    # A mean can differ by any amount; 20 standard deviations are detected by the fewest rows that are tested.
    largest = 20 * spread.deviation if spread.discordance is None else spread.discordance
    if not largest or power(largest, rows, spread) < POWER:
        return None
    return float(brentq(lambda difference: power(difference, rows, spread) - POWER, 0, largest, xtol=largest * 1e-6))


def rows_to_detect(difference: float, spread: PairedSpread) -> int | None:
    """Return the number of rows that detect a difference with the power `POWER`; None if more than `MAX_ROWS`.

    Args:
        difference: True mean difference, not 0.
        spread: Of the differences.
    """
    if not difference:
        return None
    return _first_true(lambda rows: power(difference, rows, spread) >= POWER)


def _first_true(is_enough: Callable[[int], bool]) -> int | None:
    """Return the smallest number for which a function is true, by `_PRECISION`; None if above `MAX_ROWS`."""
    high = MIN_CLUSTERS
    while not is_enough(high):
        if high >= MAX_ROWS:
            return None
        high = min(2 * high, MAX_ROWS)
    low = high // 2
    while high - low > max(1, high // _PRECISION):
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
