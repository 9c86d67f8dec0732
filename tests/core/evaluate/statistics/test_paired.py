"""Differences of paired scores: worked examples, bad input, and the coverage of the intervals."""

import numpy as np
import pytest
from scipy import stats

from core.evaluate.statistics.paired import PairedScores, compare
from tests.helpers.paired_data import simulate

NAN = float("nan")


def scores(first, second, clusters=None):
    first, second = np.asarray(first, float), np.asarray(second, float)
    return PairedScores(first, second, np.arange(len(first)) if clusters is None else np.asarray(clusters))


@pytest.fixture
def normal():
    return simulate("normal", "unequal", 60, np.random.default_rng(3)).scores


def test_compare_means_and_counts_are_those_of_the_rows_with_both_values(normal):
    first = normal.first.copy()
    first[:7] = NAN
    first[7] = np.inf
    found = compare(PairedScores(first, normal.second, normal.clusters), seed=0)
    assert (found.rows, found.missing) == (len(first) - 8, 8)
    assert found.first_mean == pytest.approx(normal.first[8:].mean())
    assert found.difference == pytest.approx(found.second_mean - found.first_mean)
    assert found.clusters == len(set(normal.clusters[8:].tolist()))
    assert found.risen + found.fallen == found.rows


def test_compare_gives_equal_numbers_for_equal_seeds_and_orders(normal):
    found, turned = compare(normal, seed=1), np.arange(len(normal.first))[::-1]
    again = compare(PairedScores(normal.first[turned], normal.second[turned], normal.clusters[turned]), seed=1)
    assert again.difference == pytest.approx(found.difference)
    assert (again.low, again.high) == pytest.approx((found.low, found.high))
    assert compare(normal, seed=2).low != found.low


def test_compare_of_swapped_lanes_mirrors_the_interval(normal):
    found = compare(normal, seed=1)
    swapped = compare(PairedScores(normal.second, normal.first, normal.clusters), seed=1)
    assert (swapped.low, swapped.high, swapped.p_value) == pytest.approx((-found.high, -found.low, found.p_value))


def test_interval_of_independent_rows_is_close_to_that_of_the_t_test():
    random = np.random.default_rng(0)
    second = random.standard_normal(400) + 0.1
    expected = stats.ttest_1samp(second, 0)
    low, high = expected.confidence_interval()
    found = compare(scores(np.zeros(400), second), seed=0)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.02)


def test_repeating_each_row_in_its_conversation_adds_no_certainty(normal):
    once = compare(normal, seed=0)
    twice = compare(
        PairedScores(*(np.repeat(part, 2) for part in (normal.first, normal.second, normal.clusters))), seed=0
    )
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))
    assert (twice.rows, twice.clusters) == (2 * once.rows, once.clusters)


def test_many_clusters_use_the_t_distribution_with_the_same_result(monkeypatch):
    simulated = simulate("skewed", "unequal", 1500, np.random.default_rng(1)).scores
    resampled = compare(simulated, seed=0)
    monkeypatch.setattr("core.evaluate.statistics.bootstrap.MAX_RESAMPLED_CLUSTERS", 1000)
    direct = compare(simulated, seed=0)
    assert direct.low != resampled.low
    assert (direct.low, direct.high) == pytest.approx((resampled.low, resampled.high), abs=0.1 * direct.error)


@pytest.mark.parametrize(
    ("made", "problem", "p_value"),
    [
        (scores([], []), "no rows", NAN),
        (scores([NAN] * 40, [1.0] * 40), "no rows", NAN),
        (scores([0.3], [0.4]), "few clusters", NAN),
        (scores(np.zeros(19), np.arange(19)), "few clusters", NAN),
        (scores(np.zeros(400), np.arange(400), np.arange(400) // 100), "few clusters", NAN),
        (scores(np.zeros(400), np.arange(400), np.maximum(np.arange(400) - 375, 0)), "uneven clusters", NAN),
        (scores(np.full(50, 0.1 + 0.2), np.full(50, 0.3)), "identical", 1.0),
        (scores(np.zeros(50), [0.5] * 5 + [0.0] * 45), "few differ", NAN),
        (scores(np.arange(50) / 10, np.arange(50) / 10 + 0.5), "constant", 2**-49),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_compare_without_enough_data_names_the_problem_and_gives_no_interval(made, problem, p_value):
    found = compare(made, seed=0)
    assert found.problem == problem
    assert found.p_value == pytest.approx(p_value, nan_ok=True)
    if problem == "constant":
        assert (found.low, found.high, found.direction) == pytest.approx((0.5, 0.5, 1))
    else:
        assert np.isnan([found.low, found.high]).all()
        assert found.direction == 0


def test_identical_right_or_wrong_lanes_have_the_interval_of_the_rule_of_three():
    values = np.arange(300) % 3 == 0
    found = compare(scores(values, values), seed=0)
    assert (found.p_value, found.difference, found.direction) == (1.0, 0.0, 0)
    assert found.high == pytest.approx(3 / 300, rel=0.1)
    assert found.low == pytest.approx(-found.high)


def test_right_or_wrong_interval_equals_the_formula_of_bonett_and_price():
    improved, worsened, rows = 20, 8, 120
    moved = np.repeat([1.0, -1.0, 0.0], [improved, worsened, rows - improved - worsened])
    found = compare(scores(moved < 0, (moved < 0) + moved), seed=0)
    up, down = (improved + 1) / (rows + 2), (worsened + 1) / (rows + 2)
    # Theirs has rows + 2 in place of the jackknife's rows + 1, and the normal quantile in place of Student's.
    width = stats.t.ppf(0.975, rows - 1) * ((up + down - (up - down) ** 2) / (rows + 1)) ** 0.5
    assert (found.low, found.high) == pytest.approx((up - down - width, up - down + width))
    assert found.p_value == pytest.approx(2 * stats.binom.sf(20, 28, 0.5) + stats.binom.pmf(20, 28, 0.5))


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="of one length"):
        PairedScores(np.zeros(3), np.zeros(2), np.zeros(3))


@pytest.mark.parametrize(
    ("kind", "sizes", "clusters"),
    [
        ("normal", "one row", 20),
        ("skewed", "unequal", 40),
        ("loss", "very unequal", 60),
        ("binary", "unequal", 40),
        ("binary", "one row", 100),
    ],
)
def test_interval_covers_the_true_difference(kind, sizes, clusters):
    """Seeds are fixed; 2,000 datasets of more kinds are in bench/verdict.py."""
    random, repeats = np.random.default_rng(11), 300
    covered = 0
    for seed in range(repeats):
        made = simulate(kind, sizes, clusters, random)
        found = compare(made.scores, seed=seed, resamples=499)
        covered += found.low <= made.truth <= found.high
    assert 0.93 <= covered / repeats <= 0.975


@pytest.mark.parametrize(("kind", "sizes"), [("loss", "unequal"), ("binary", "unequal"), ("binary", "one row")])
def test_p_values_without_a_difference_are_uniform(kind, sizes):
    random = np.random.default_rng(7)
    found = [compare(simulate(kind, sizes, 60, random, effect=False).scores, seed=seed, resamples=499).p_value
             for seed in range(300)]  # fmt: skip
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.asarray(found) <= level) == pytest.approx(level, abs=3 * (level / 300) ** 0.5)
