"""Tests of core.evaluate.harness.results: stored results, their texts, and the comparison of two lanes."""

import pytest

from core.errors import StudioError
from core.evaluate.harness.config import HarnessConfig
from core.evaluate.harness.results import describe_origin, describe_value, read_results, save
from tests.helpers.harness_results import task_metric, task_result


def test_results_are_read_as_they_were_saved_the_newest_first(tmp_path):
    old, new = task_result(created=1_000_000.0), task_result(created=2_000_000.0)
    save(tmp_path, old)
    path = save(tmp_path, new)
    assert path.parent == tmp_path / "harness"
    assert read_results(tmp_path) == [new, old]
    assert read_results(tmp_path / "other") == []
    path.write_text("{")
    with pytest.raises(StudioError, match="is damaged"):
        read_results(tmp_path)


def test_rows_of_two_lanes_are_compared_in_pairs():
    found = task_metric().compare(0, 1)
    assert (found.rows, found.risen, found.fallen) == (40, 20, 0)
    assert found.difference == pytest.approx(0.5)
    assert found.low > 0


def test_a_metric_without_rows_has_values_and_no_interval():
    found = task_metric(metric="word_perplexity", is_higher_better=False, values=[20.0, 10.0], by_row=None)
    assert found.compare(0, 1).problem == "no rows"
    assert [describe_value(found, lane) for lane in (0, 1)] == ["20.00 ± 0.10", "10.00 ± 0.10"]
    assert found.as_metric().better == "lower"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, "25.0% ± 10.0%"),
        ({"errors": [None, None]}, "25.0%"),
        ({"values": [None, 1.0], "by_row": None}, "–"),
        ({"metric": "bleu", "values": [31.24, 1.0], "by_row": None}, "31.2 ± 0.1"),
        ({"metric": "brier_score", "values": [0.314, 1.0], "by_row": None}, "0.31 ± 0.10"),
    ],
)
def test_values_have_the_unit_of_their_metric(change, text):
    assert describe_value(task_metric(**change), 0) == text


def test_titles_name_the_filter_and_shares_of_right_rows_are_binary():
    assert task_metric().title == "colors: acc"
    assert task_metric(filter="first-number").title == "colors: acc, first-number"
    assert task_metric().as_metric().is_binary
    assert not task_metric(by_row=[[0.5] * 40, [1.0] * 40]).as_metric().is_binary


def test_origin_names_packages_tasks_and_limits():
    lines = describe_origin(task_result(config=HarnessConfig(tasks="mine", limit=40), notes=["A note."]))
    assert lines[0] == (
        "Measured by lm-eval 0.4.13, with weights in none, float32. Tasks: colors version 2.0, 3 examples. "
        "The first 40 rows of each task were asked."
    )
    assert lines[2] == "A note."
