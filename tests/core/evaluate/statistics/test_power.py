"""Power: against statsmodels, and against simulation with the comparison itself."""

import numpy as np
import pytest

from core.evaluate.statistics.paired import PairedScores, compare
from core.evaluate.statistics.power import (
    MAX_ROWS,
    PairedSpread,
    design_effect,
    detectable_difference,
    power,
    rows_to_detect,
    spread_of,
)
from tests.helpers.paired_data import planted, simulate


@pytest.mark.parametrize(("difference", "rows"), [(0.5, 20), (0.3, 80), (-0.1, 1000), (0.0, 50), (3.0, 5000)])
def test_power_of_a_mean_is_that_of_statsmodels(difference, rows):
    from statsmodels.stats.power import TTestPower

    expected = TTestPower().power(difference / 2, rows, 0.05)
    assert power(difference, rows, PairedSpread(2.0)) == pytest.approx(
        1.0 if np.isnan(expected) else expected, abs=1e-6
    )


def test_detectable_difference_and_rows_of_a_mean_are_those_of_statsmodels():
    from statsmodels.stats.power import TTestPower

    assert detectable_difference(80, PairedSpread(1.0)) == pytest.approx(
        TTestPower().solve_power(nobs=80, alpha=0.05, power=0.8), rel=1e-4
    )
    # statsmodels gives 198.2 and 786.8.
    assert rows_to_detect(0.2, PairedSpread(1.0)) == 199
    assert rows_to_detect(0.1, PairedSpread(1.0)) == pytest.approx(787, abs=1)


@pytest.mark.parametrize(("rows", "share", "difference"), [(60, 0.3, 0.18), (200, 0.1, 0.06)])
def test_power_of_right_or_wrong_agrees_with_simulation(rows, share, difference):
    random, repeats, detected = np.random.default_rng(2), 1000, 0
    for _ in range(repeats):
        moved = random.choice([1.0, -1.0, 0.0], rows, p=[(share + difference) / 2, (share - difference) / 2, 1 - share])
        made = PairedScores((moved < 0) * 1.0, (moved < 0) + moved, np.arange(rows))
        detected += compare(made, seed=0).direction != 0
    assert power(difference, rows, PairedSpread(1.0, share)) == pytest.approx(detected / repeats, abs=0.02)


def test_power_of_a_mean_agrees_with_simulation_in_conversations(monkeypatch):
    # Student's quantiles in place of resampled ones: many datasets in a second; bench/verdict.py resamples.
    monkeypatch.setattr("core.evaluate.statistics.bootstrap.MAX_RESAMPLED_CLUSTERS", 0)
    random, repeats, detected, effects = np.random.default_rng(4), 1200, 0, []
    for seed in range(repeats):
        made = simulate("normal", "equal", 60, random)
        detected += compare(made.scores, seed=seed).direction != 0
        effects.append(spread_of(made.scores).design_effect)
    # 0.25 of the variance 1.25 is shared by the 4 rows of a conversation.
    spread = PairedSpread(1.25**0.5, None, design_effect(np.full(60, 4), 0.2))
    assert spread.design_effect == pytest.approx(1.6)
    assert np.mean(effects) == pytest.approx(1.6, abs=0.05)
    assert power(0.2, 240, spread) == pytest.approx(detected / repeats, abs=0.02)


@pytest.mark.parametrize("spread", [PairedSpread(0.3), PairedSpread(0.4, 0.2), PairedSpread(0.3, None, 2.5)])
def test_rows_and_detectable_difference_are_inverse(spread):
    for rows in (50, 300, 5000):
        difference = detectable_difference(rows, spread)
        assert power(difference, rows, spread) == pytest.approx(0.8, abs=1e-3)
        assert rows_to_detect(difference, spread) == pytest.approx(rows, rel=0.03)


def test_more_rows_detect_smaller_differences():
    found = [detectable_difference(rows, PairedSpread(0.4, 0.2)) for rows in (60, 80, 300, 1000, 100_000)]
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(
    ("rows", "spread"),
    [
        (1, PairedSpread(1.0)),
        (19, PairedSpread(1.0)),
        (60, PairedSpread(1.0, None, 4.0)),
        (40, PairedSpread(1.0, 0.05)),
    ],
)
def test_too_few_rows_detect_nothing(rows, spread):
    assert detectable_difference(rows, spread) is None


@pytest.mark.parametrize(("difference", "spread"), [(0.0, PairedSpread(1.0)), (1e-5, PairedSpread(1.0)),
                                                    (1e-4, PairedSpread(1.0, 0.2))])  # fmt: skip
def test_a_difference_that_needs_too_many_rows_has_no_number(difference, spread):
    assert power(difference, MAX_ROWS, spread) < 0.8
    assert rows_to_detect(difference, spread) is None


def test_spread_of_data_is_its_deviation_and_share_of_differing_rows():
    made = planted("binary", 0.05, 500, 0)
    found, moved = spread_of(made), made.second - made.first
    assert (found.discordance, found.deviation) == pytest.approx((np.mean(moved != 0), np.std(moved, ddof=1)))
    assert found.design_effect == pytest.approx(1.0, abs=0.01)
    assert spread_of(planted("loss", 0.1, 500, 0)).discordance is None
    assert spread_of(PairedScores(moved, moved, np.arange(500))) is None
    assert spread_of(made.select(np.arange(1))) is None
