"""Correction of a judge's mean by people's votes on some of the same rows: prediction-powered inference.

A judge answers all rows and is biased; people answer few and are not. The estimate takes the judge's mean over all rows
and adds the mean error that the judge makes where people voted. The weight of the judge is chosen from the data so that
the interval is never wider, for many votes, than that of the votes alone (Angelopoulos, Duchi and Zrnic 2023, "PPI++:
Efficient Prediction-Powered Inference", for the mean).
"""

from dataclasses import dataclass

import numpy as np

# Below this number of votes the normal approximation of the interval is not usable.
MIN_VOTES = 20


@dataclass(frozen=True)
class CorrectedMean:
    """A mean with its interval.

    Attributes:
        mean: The estimate.
        low: Lower end of the interval.
        high: Upper end of the interval.
        weight: Weight of the judge, 0 to 1; 0 means that its replies say nothing about the votes.
        votes: Number of rows with a vote.
        judged: Number of rows that only the judge has answered.
    """

    mean: float
    low: float
    high: float
    weight: float
    votes: int
    judged: int


def correct_mean(
    votes: np.ndarray, judged_votes: np.ndarray, judged: np.ndarray, confidence: float = 0.95
) -> CorrectedMean:
    """Return the mean of the votes' population, with its interval.

    With y the votes, f the judge's scores of the same n rows, and g its scores of N other rows, the estimate is
    mean(y) + w (mean(g) - mean(f)), its variance w² var(g) / N + var(y - w f) / n, and
    w = cov(y, f) / ((1 + n / N) var(f, g)), within 0 and 1.

    Args:
        votes: (n,) scores by people, such as 1 for a win, 0.5 for a tie, 0 for a loss.
        judged_votes: (n,) the judge's scores of the same rows.
        judged: (N,) the judge's scores of the rows without a vote.
        confidence: Probability that the interval covers the mean.

    Raises:
        ValueError: There are fewer than `MIN_VOTES` votes, or the shapes differ.
    """
    from scipy.stats import norm

    if votes.shape != judged_votes.shape:
        raise ValueError(f"votes have shape {votes.shape}, the judge's scores of them {judged_votes.shape}")
    n, others = len(votes), len(judged)
    if n < MIN_VOTES:
        raise ValueError(f"{n} votes, expected at least {MIN_VOTES}")
    spread = np.concatenate([judged_votes, judged]).var(ddof=1)
    weight = 0.0
    if others > 1 and spread > 0:
        weight = float(np.clip(np.cov(votes, judged_votes)[0, 1] / ((1 + n / others) * spread), 0, 1))
    mean, variance = float(votes.mean()), float((votes - weight * judged_votes).var(ddof=1)) / n
    if weight:
        mean += weight * float(judged.mean() - judged_votes.mean())
        variance += weight**2 * float(judged.var(ddof=1)) / others
    margin = float(norm.ppf((1 + confidence) / 2)) * variance**0.5
    return CorrectedMean(mean, mean - margin, mean + margin, weight, n, others)
