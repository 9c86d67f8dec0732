"""Hypothesis tests of paired right/wrong scores, and the correction for many tests."""

from collections.abc import Sequence

import numpy as np

# Convolution by FFT has absolute errors of this order.
_SMALLEST_P = 1e-14


def sign_flip_p_value(differences: np.ndarray, tie: float = 0.5) -> float:
    """Return the two-sided p-value of the exact sign-flip test over clusters: McNemar's test for clustered rows.

    If neither lane is better, a cluster's sum of differences could as well have the other sign. The distribution of the
    total over all signs is computed, not sampled (Pesarin and Salmaso 2010, Permutation Tests for Complex
    Data). For sums of ±1, such as one row per cluster, it is McNemar's exact test (McNemar 1947, Psychometrika 12).

    Totals are discrete: the exact p-value is above its nominal level. The mid-p-value, which counts a tie half, is
    close to uniform if neither lane is better (Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology
    13:91).

    Args:
        differences: Sum of the differences of each cluster, (clusters,), whole numbers.
        tie: Weight of totals as far from 0 as the observed one. 0.5: mid-p-value; 1: exact p-value; a random number
            between 0 and 1: a p-value that is exactly uniform, for simulations.
    """
    signed = np.rint(differences).astype(np.int64)
    sizes, observed = np.abs(signed[signed != 0]), abs(int(signed.sum()))
    if not len(sizes):
        return 1.0
    values, counts = np.unique(sizes, return_counts=True)
    # Total = 2 · sum of the sizes with a positive sign − sum of all sizes; its distribution is symmetric.
    upper = (int(sizes.sum()) + observed) // 2
    above, equal = _binomial_tail(counts[0], upper) if values.tolist() == [1] else _total_tail(values, counts, upper)
    both_sides = 2 * equal if observed else equal
    return float(min(2 * above + tie * both_sides, 1))


def _binomial_tail(count: int, upper: int) -> tuple[float, float]:
    """Return the chances of more than `upper` positive signs of `count`, and of exactly `upper`."""
    from scipy.stats import binom

    return float(binom.sf(upper, count, 0.5)), float(binom.pmf(upper, count, 0.5))


def _total_tail(values: np.ndarray, counts: np.ndarray, upper: int) -> tuple[float, float]:
    """Return the chances that the sizes with a positive sign add up to more than `upper`, and to exactly `upper`.

    Args:
        values: Different sizes.
        counts: How many clusters have each size.
        upper: At least half of the sum of all sizes.
    """
    from scipy.signal import convolve
    from scipy.stats import binom

    chances = np.ones(1)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        # The sum of the sizes of this value with a positive sign is value · Binomial(count, 1/2).
        own = np.zeros(value * count + 1)
        own[::value] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = convolve(chances, own)
    above, equal = float(chances[upper + 1 :].sum()), float(chances[upper])
    return max(above, _SMALLEST_P), max(equal, 0.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for the number of tests, so that any false alarm among them has the level of one test.

    The i-th smallest of m is multiplied by m − i + 1, and none is smaller than one before it (Holm 1979, Scandinavian
    Journal of Statistics 6). NaN, a test that was not made, stays NaN and does not count.
    """
    found = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(found)[: np.count_nonzero(~np.isnan(found))]
    corrected = np.full(len(found), np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(found[order] * np.arange(len(order), 0, -1)), 1)
    return corrected.tolist()
