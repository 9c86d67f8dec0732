"""Counts of a judge's replies: who won, how far the judge agrees with itself and with people, and the win rate.

The win rate of the second lane counts a tie as half a win. A row with an error in one of its orders is no judgment:
it is counted as an error and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.evaluate.judge.correction import MIN_VOTES, CorrectedMean, correct_mean
from core.evaluate.judge.judging import Judgment
from core.evaluate.judge.pairwise import Preference, is_consistent, preference
from core.evaluate.statistics.paired import PairedScores, compare

SCORES: dict[Preference, float] = {"second": 1.0, "tie": 0.5, "first": 0.0}


@dataclass(frozen=True)
class Agreement:
    """The judge beside people who voted blind on the same rows.

    Attributes:
        rows: Rows with a judgment and a vote.
        agreed: Rows on which both have the same preference, ties included.
        corrected: The win rate, corrected by the votes; None if there are too few.
    """

    rows: int
    agreed: int
    corrected: CorrectedMean | None


@dataclass(frozen=True)
class JudgeSummary:
    """Counts of a judge's replies about two lanes.

    Attributes:
        wins: Rows on which the second lane is better in both orders.
        losses: Rows on which the first lane is better in both orders.
        ties: Rows where both orders are a tie or contradict each other.
        errors: Rows without a valid reply in one of the orders.
        reasons: The errors' texts with their numbers, the most frequent first.
        consistency: Share of rows on which both orders agree; None without judgments.
        first_slot: Share of answer A among the replies that prefer an answer: 0.5 for a judge without a preference for
            a position. None if every reply is a tie.
        agreement: The comparison with people's votes; None without any.
        interval: 95 % interval of the win rate over conversations; None if there are too few.
    """

    wins: int
    losses: int
    ties: int
    errors: int
    reasons: list[tuple[str, int]]
    consistency: float | None
    first_slot: float | None
    agreement: Agreement | None
    interval: tuple[float, float] | None = None

    @property
    def rows(self) -> int:
        """Return the number of rows with a judgment."""
        return self.wins + self.losses + self.ties

    @property
    def win_rate(self) -> float | None:
        """Return the win rate of the second lane; None without judgments."""
        return (self.wins + self.ties / 2) / self.rows if self.rows else None


def row_scores(judgments: Mapping[int, Judgment], prompts: int) -> np.ndarray:
    """Return (prompts,) the second lane's score of each row: 1, 0.5 or 0; NaN without a judgment."""
    scores = np.full(prompts, np.nan)
    for index, judgment in judgments.items():
        if judgment.both:
            scores[index] = SCORES[preference(judgment.both)]
    return scores


def summarize(
    judgments: Mapping[int, Judgment], votes: Mapping[int, Preference], clusters: np.ndarray | None = None
) -> JudgeSummary:
    """Return the counts.

    Args:
        judgments: By prompt.
        votes: Blind votes of people on the same prompts and lanes, by prompt.
        clusters: Number of the conversation of each prompt, (prompts,), for the interval; None for no interval.
    """
    valid = {index: judgment.both for index, judgment in judgments.items() if judgment.both}
    preferred = {index: preference(both) for index, both in valid.items()}
    counts = {name: list(preferred.values()).count(name) for name in SCORES}
    letters = [choice for both in valid.values() for choice in both if choice != "tie"]
    errors = [next(iter(j.errors.values()), "not asked yet") for j in judgments.values() if not j.both]
    reasons = sorted({text: errors.count(text) for text in errors}.items(), key=lambda each: -each[1])
    return JudgeSummary(
        wins=counts["second"], losses=counts["first"], ties=counts["tie"], errors=len(errors), reasons=reasons,
        consistency=float(np.mean([is_consistent(both) for both in valid.values()])) if valid else None,
        first_slot=letters.count("A") / len(letters) if letters else None,
        agreement=_compare_with_votes(preferred, votes),
        interval=None if clusters is None else _interval(row_scores(judgments, len(clusters)), clusters),
    )  # fmt: skip


def _interval(scores: np.ndarray, clusters: np.ndarray) -> tuple[float, float] | None:
    """Return the interval of the mean score; the score of one lane is 1 minus that of the other."""
    found = compare(PairedScores(1 - scores, scores, clusters), seed=0)
    # The difference is 2 · win rate - 1.
    return ((found.low + 1) / 2, (found.high + 1) / 2) if np.isfinite(found.low) else None


def _compare_with_votes(preferred: Mapping[int, Preference], votes: Mapping[int, Preference]) -> Agreement | None:
    both = [index for index in preferred if index in votes]
    if not both:
        return None
    agreed = sum(preferred[index] == votes[index] for index in both)
    corrected = None
    if len(both) >= MIN_VOTES:
        corrected = correct_mean(
            np.array([SCORES[votes[index]] for index in both]),
            np.array([SCORES[preferred[index]] for index in both]),
            np.array([SCORES[name] for index, name in preferred.items() if index not in votes]),
        )
    return Agreement(len(both), agreed, corrected)
