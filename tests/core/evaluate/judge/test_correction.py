"""Tests of core.evaluate.judge.correction."""

import numpy as np
import pytest

from core.evaluate.judge.correction import MIN_VOTES, correct_mean


def _sample(generator, n, bias):
    """Votes and a judge that sees them through noise and is biased towards wins."""
    votes = generator.choice([0.0, 0.5, 1.0], size=n, p=[0.4, 0.2, 0.4])
    judged = np.where(generator.random(n) < 0.75, votes, generator.choice([0.0, 0.5, 1.0], size=n))
    return votes, np.where(generator.random(n) < bias, 1.0, judged)


def test_intervals_cover_the_mean_although_the_judge_is_biased():
    generator = np.random.default_rng(5)
    covered, narrower = 0, 0
    for _ in range(400):
        votes, judged = _sample(generator, 500, bias=0.3)
        found = correct_mean(votes[:100], judged[:100], judged[100:])
        covered += found.low <= 0.5 <= found.high
        narrower += found.high - found.low < 2 * 1.96 * votes[:100].std(ddof=1) / 10
    # 95 % of 400 is 380; the standard deviation of the count is 4.4.
    assert 365 <= covered <= 395
    # The judge is informative, so its replies nearly always help.
    assert narrower > 350


def test_a_judge_that_says_nothing_gets_no_weight():
    generator = np.random.default_rng(1)
    votes = generator.choice([0.0, 1.0], size=60)
    constant = correct_mean(votes, np.ones(60), np.ones(500))
    assert constant.weight == 0
    assert constant.mean == pytest.approx(votes.mean())
    # Worked example: without the judge, the interval is mean ± 1.96 standard errors.
    assert constant.high - constant.mean == pytest.approx(1.959964 * votes.std(ddof=1) / 60**0.5)


def test_a_worked_example():
    votes = np.tile([1.0, 0.0, 1.0, 0.0], 10)
    judged_votes = np.tile([1.0, 0.0, 1.0, 1.0], 10)
    judged = np.tile([1.0, 1.0, 0.0, 1.0], 100)
    found = correct_mean(votes, judged_votes, judged)
    covariance = np.cov(votes, judged_votes)[0, 1]
    weight = covariance / (1.1 * np.concatenate([judged_votes, judged]).var(ddof=1))
    assert found.weight == pytest.approx(weight)
    # Both means of the judge are 0.75, so the estimate is the mean of the votes.
    assert found.mean == pytest.approx(0.5)
    variance = (votes - weight * judged_votes).var(ddof=1) / 40 + weight**2 * judged.var(ddof=1) / 400
    assert found.high - found.mean == pytest.approx(1.959964 * variance**0.5)


def test_too_few_votes_are_refused():
    with pytest.raises(ValueError, match=f"expected at least {MIN_VOTES}"):
        correct_mean(np.ones(MIN_VOTES - 1), np.ones(MIN_VOTES - 1), np.ones(5))
