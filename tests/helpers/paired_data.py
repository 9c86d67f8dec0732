"""Simulated scores of two lanes with a known true difference, in conversations of several rows."""

from dataclasses import dataclass

import numpy as np

from core.evaluate.statistics.paired import PairedScores

SIZES = ("one row", "unequal", "very unequal")
KINDS = ("normal", "skewed", "loss", "mostly equal", "very skewed", "binary", "rare binary")
# Share of rows that differ, and how much larger the share that improves is, by kind.
BINARY = {"binary": (0.3, 0.1), "rare binary": (0.1, 0.05)}
# Correlation of rows of one conversation, before a row becomes right or wrong.
_CORRELATION = 0.4


@dataclass(frozen=True)
class Simulated:
    """One dataset and its true difference."""

    scores: PairedScores
    truth: float


def cluster_numbers(sizes: str, clusters: int, random: np.random.Generator) -> np.ndarray:
    """Return the cluster of each row; unequal ones are geometric with mean 3.3, or Pareto with up to 30 rows."""
    counts = {
        "one row": lambda: np.ones(clusters, np.int64),
        "equal": lambda: np.full(clusters, 4),
        "unequal": lambda: random.geometric(0.3, clusters),
        "very unequal": lambda: np.minimum(1 + (2 * random.pareto(1.5, clusters)).astype(np.int64), 30),
    }[sizes]()
    return np.repeat(np.arange(clusters), counts)


def simulate(kind: str, sizes: str, clusters: int, random: np.random.Generator, effect: bool = True) -> Simulated:
    """Return a dataset; without an effect, both lanes have the same distribution."""
    numbers = cluster_numbers(sizes, clusters, random)
    shared, own = random.standard_normal(clusters)[numbers], random.standard_normal((3, len(numbers)))
    if kind in BINARY:
        share, shift = BINARY[kind]
        shift *= effect
        from scipy.special import ndtr

        level = ndtr(_CORRELATION**0.5 * shared + (1 - _CORRELATION) ** 0.5 * own[0])
        moved = (level > 1 - (share + shift) / 2) * 1.0 - (level < (share - shift) / 2)
        first = np.where(moved == 0, own[1] > 0, moved < 0).astype(float)
        return Simulated(PairedScores(first, first + moved, numbers), shift)
    if kind == "loss":
        # Both lanes share how hard a row is; the second one has a lower loss by a random factor.
        hard, fall = np.exp(0.5 * shared + 0.5 * own[0]), -0.2 * effect
        first, second = hard * np.exp(0.2 * own[1]), hard * np.exp(fall + 0.2 * own[2])
        return Simulated(PairedScores(first, second, numbers), np.exp(0.27) * (np.exp(fall) - 1))
    if kind == "mostly equal":
        moved = (own[0] > 1.0364) * (0.1 * effect + 0.4 * own[1])
        return Simulated(PairedScores(own[2], own[2] + moved, numbers), 0.015 * effect)
    spread = {
        "normal": lambda: 0.5 * shared + own[0],
        "skewed": lambda: 0.5 * random.exponential(1, clusters)[numbers] + random.exponential(1, len(numbers)) - 1.5,
        "very skewed": lambda: np.exp(0.6 * shared + 0.8 * own[0]) - np.exp(0.5),
    }[kind]()
    return Simulated(PairedScores(own[2], own[2] + spread + 0.2 * effect, numbers), 0.2 * effect)


def planted(kind: str, effect: float, rows: int, seed: int, per_cluster: int = 1) -> PairedScores:
    """Return scores of a planted case.

    Args:
        kind: "loss", "share" (0 to 1) or "binary".
        effect: How much the second lane is higher on average.
        rows: Number of rows.
        seed: Of the scores.
        per_cluster: Rows per conversation.
    """
    random = np.random.default_rng(seed)
    if kind == "binary":
        moved = random.choice([1.0, -1.0, 0.0], rows, p=[(0.2 + effect) / 2, (0.2 - effect) / 2, 0.8])
        first = np.where(moved == 0, random.random(rows) < 0.6, moved < 0).astype(float)
        return PairedScores(first, first + moved, np.arange(rows) // per_cluster)
    first = random.gamma(8, 0.25, rows) if kind == "loss" else random.beta(2, 3, rows)
    change = effect + random.normal(0, 0.3 if kind == "loss" else 0.15, rows)
    return PairedScores(first, first + change, np.arange(rows) // per_cluster)
