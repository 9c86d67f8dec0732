"""Texts of a verdict: digits, units and signs."""

import pytest

from core.evaluate.metrics import METRICS
from core.evaluate.statistics.paired import PairedDifference
from core.evaluate.verdict_text import describe_change, describe_need, format_change, format_p_value, title_in_sentence

NAN = float("nan")


def difference(first, change, low, high, rows=200, clusters=200):
    return PairedDifference(first, first + change, change, low, high, rows, clusters, 0.01, 0, error=0.1)


@pytest.mark.parametrize(
    ("metric", "found", "text"),
    [
        ("loss", (2.31, -0.37, -0.45, -0.29),
         "loss on the reference fell from 2.310 to 1.940 (−0.370, 95% interval −0.450 to −0.290; 200 rows)"),
        ("word_f1", (0.3, 0.05, 0.0002, 0.1),
         "word F1 rose from 30.00% to 35.00% (+5.00 points, 95% interval +0.02 to +10.00 points; 200 rows)"),
        ("loss", (2.0, -0.0003, -0.0005, -0.0001),
         "loss on the reference fell from 2.00000 to 1.99970 (−0.00030, 95% interval −0.00050 to −0.00010; 200 rows)"),
        ("tokens", (1200.0, -40.0, -80.0, 1.0),
         "tokens fell from 1,200.0 to 1,160.0 (−40.0, 95% interval −80.0 to +1.0; 200 rows)"),
        ("bleu", (20.0, 0.0, -1.0, 1.0), "BLEU stayed at 20.0 (95% interval −1.0 to +1.0; 200 rows)"),
        ("chrf", (20.0, 0.5, NAN, NAN, 3, 1), "chrF rose from 20.0 to 20.5 (+0.5; 3 rows of 1 conversation)"),
    ],
)  # fmt: skip
def test_change_has_the_digits_that_its_interval_supports(metric, found, text):
    assert describe_change(METRICS[metric], difference(*found)) == text


def test_titles_keep_the_capitals_of_names():
    assert [title_in_sentence(METRICS[name]) for name in ("bleu", "rouge_l", "chrf", "word_f1", "exact_match")] == [
        "BLEU", "ROUGE-L", "chrF", "word F1", "exact match",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"), [(0.045, "+4.5 points"), (-0.2, "−20.0 points"), (-0.0001, "0.0 points"), (0.0, "0.0 points")]
)
def test_change_of_a_share_is_in_points(value, text):
    assert format_change(METRICS["word_f1"], value).lstrip("+") == text.lstrip("+")


@pytest.mark.parametrize(
    ("value", "text"), [(NAN, "not tested"), (1e-9, "below 0.0001"), (0.00234, "0.0023"), (0.0512, "0.05")]
)
def test_p_value_is_short(value, text):
    assert format_p_value(value) == text


@pytest.mark.parametrize(
    ("needed", "detectable", "text"),
    [
        (641, 0.072, "To detect a difference of this size, about 650 rows are needed (80% power). "
                     "These 200 rows detect a difference of 7.2 points or more."),
        (None, None, "To detect a difference of this size, more than 1,000,000 rows are needed (80% power)."),
        (150, 0.072, "These 200 rows detect a difference of 7.2 points or more."),
    ],
)  # fmt: skip
def test_need_says_how_many_rows_would_tell(needed, detectable, text):
    assert describe_need(METRICS["word_f1"], difference(0.3, 0.02, -0.03, 0.07), needed, detectable) == text
