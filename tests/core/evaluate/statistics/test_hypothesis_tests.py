"""The exact test of right/wrong scores and Holm's correction, against scipy, statsmodels and enumeration."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, kstest

from core.evaluate.statistics.hypothesis_tests import holm, sign_flip_p_value
from tests.helpers.paired_data import simulate


@pytest.mark.parametrize(("improved", "worsened"), [(0, 0), (1, 0), (5, 5), (3, 12), (40, 20), (600, 500), (0, 30)])
def test_exact_p_value_of_single_rows_is_that_of_mcnemar(improved, worsened):
    differences = np.repeat([1.0, -1.0, 0.0], [improved, worsened, 17])
    expected = binomtest(improved, improved + worsened).pvalue if improved + worsened else 1.0
    assert sign_flip_p_value(differences, tie=1) == pytest.approx(expected)


def test_exact_p_value_of_single_rows_is_that_of_statsmodels():
    from statsmodels.stats.contingency_tables import mcnemar

    expected = mcnemar([[50, 7], [21, 30]], exact=True).pvalue
    assert sign_flip_p_value(np.repeat([1.0, -1.0, 0.0], [21, 7, 80]), tie=1) == pytest.approx(expected)


@settings(max_examples=40)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9), st.sampled_from([0.0, 0.5, 1.0]))
def test_p_value_of_clusters_is_that_of_all_sign_flips(differences, tie):
    values = np.array(differences)
    totals = np.array([values @ signs for signs in itertools.product((-1, 1), repeat=len(values))])
    observed = abs(values.sum())
    expected = (np.abs(totals) > observed).mean() + tie * (np.abs(totals) == observed).mean()
    found = sign_flip_p_value(values.astype(float), tie)
    assert found == pytest.approx(expected if values.any() else 1.0, abs=1e-12)


def test_many_large_clusters_are_computed_with_little_memory():
    differences = np.random.default_rng(0).integers(-5, 6, 20_000).astype(float)
    z = differences.sum() / np.sqrt((differences**2).sum())
    # Durkalski's statistic, which is this test's normal approximation.
    from scipy.stats import norm

    assert sign_flip_p_value(differences) == pytest.approx(2 * norm.sf(abs(z)), abs=1e-3)


def test_p_value_with_random_ties_is_uniform_without_a_difference():
    random = np.random.default_rng(5)
    found = []
    for _ in range(800):
        made = simulate("binary", "unequal", 30, random, effect=False).scores
        sums = np.bincount(made.clusters, made.second - made.first)
        found.append(sign_flip_p_value(sums, tie=random.random()))
    assert kstest(found, "uniform").pvalue > 0.05


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_equals_statsmodels(p_values):
    from statsmodels.stats.multitest import multipletests

    expected = multipletests(p_values, method="holm")[1] if p_values else []
    assert holm(p_values) == pytest.approx(list(expected))


def test_holm_leaves_out_tests_that_were_not_made():
    assert holm([0.03, float("nan"), 0.01]) == pytest.approx([0.03, float("nan"), 0.02], nan_ok=True)
