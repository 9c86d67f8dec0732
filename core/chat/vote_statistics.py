"""Statistics of votes: the interval of a share, and a test for a side that wins too often."""

import math

# Quantile of the normal distribution for a two-sided interval of 95 %.
_Z95 = 1.959963984540054
# Up to here the exact sum takes less than a millisecond; at 20,000 votes it would take seconds.
MAX_EXACT_VOTES = 1000


def wilson_interval(wins: int, votes: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Args:
        wins: Number of votes for one side.
        votes: Number of votes; without any, the interval is 0 to 1.
    """
    if not votes:
        return 0.0, 1.0
    share, square = wins / votes, _Z95**2
    middle = (share + square / (2 * votes)) / (1 + square / votes)
    half = _Z95 / (1 + square / votes) * math.sqrt(share * (1 - share) / votes + square / (4 * votes**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def sign_test(most: int, total: int) -> float:
    """Return the p-value of a two-sided sign test.

    It is exact up to `MAX_EXACT_VOTES`. Above, the binomial distribution is approximated by the normal one with
    continuity correction, because the exact sum takes seconds; the two differ by less than 0.0001.

    Args:
        most: Number of votes for the side that won, at least half.
        total: Number of votes with a winner.
    """
    if not total:
        return 1.0
    if total > MAX_EXACT_VOTES:
        return min(1.0, math.erfc((2 * most - total - 1) / math.sqrt(2 * total)))
    term, tail = math.comb(total, most), 0
    for count in range(most, total + 1):
        tail += term
        # The next binomial coefficient from this one, instead of each from its factorials.
        term = term * (total - count) // (count + 1)
    return min(1.0, 2 * tail / 2**total)
