"""Tests of core.evaluate.classification.tables, against worked examples."""

import numpy as np
import pytest

from core.evaluate.classification.tables import UNPARSED, calibrate, tabulate


def test_a_worked_example_with_an_answer_that_names_no_label():
    true = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 1, 1, UNPARSED, 0])
    table = tabulate(["a", "b", "c"], true, predicted)
    assert table.confusion.tolist() == [[2, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0]]
    assert table.accuracy == pytest.approx(3 / 6)
    assert table.unparsed == pytest.approx(1 / 6)
    first, second, third = table.labels
    assert (first.precision, first.recall, first.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert (second.precision, second.recall, second.f1) == pytest.approx((1 / 2, 1 / 2, 1 / 2))
    assert (third.precision, third.recall, third.f1) == (None, 0.0, 0.0)
    assert table.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_a_label_that_never_occurs_does_not_lower_the_mean():
    table = tabulate(["a", "b", "unused"], np.array([0, 1]), np.array([0, 1]))
    assert (table.accuracy, table.macro_f1) == (1.0, 1.0)
    assert table.labels[2].f1 is None


def test_answers_without_any_label_are_all_wrong():
    table = tabulate(["a", "b"], np.array([0, 1]), np.array([UNPARSED, UNPARSED]))
    assert (table.accuracy, table.macro_f1, table.unparsed) == (0.0, 0.0, 1.0)


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        tabulate(["a", "b"], np.array([], int), np.array([], int))


def test_calibration_is_the_mean_distance_of_confidence_and_accuracy():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.45, 0.55]])
    bins, error = calibrate(probabilities, np.array([0, 1, 1, 0]), bins=10)
    assert [(each.rows, each.accuracy) for each in bins] == [(1, 0.0), (1, 1.0), (2, 0.5)]
    assert error == pytest.approx((0.55 + 0.2 + 2 * 0.4) / 4)


def test_a_calibrated_choice_has_a_small_error():
    generator = np.random.default_rng(3)
    certain = generator.uniform(0.5, 1.0, 20_000)
    true = (generator.random(20_000) > certain).astype(int)
    _, error = calibrate(np.stack([certain, 1 - certain], axis=1), true)
    assert error < 0.02
