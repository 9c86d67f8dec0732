import pytest

from components.interval_table import Interval, IntervalRow, IntervalTable, interval_table_html
from tests.helpers.hostile_text import HOSTILE

MARKUP = HOSTILE[0]


@pytest.mark.parametrize(
    ("low", "high", "judged", "tone"),
    [(0.1, 0.3, True, "better"), (-0.3, -0.1, True, "worse"), (-0.1, 0.1, True, "unclear"), (0.0, 0.2, True, "unclear"),
     (0.1, 0.3, False, "unclear")],
)  # fmt: skip
def test_tone_is_the_side_of_zero_that_holds_the_whole_interval(low, high, judged, tone):
    assert Interval((low + high) / 2, low, high, 0.5, judged).tone == tone


def test_positions_stay_on_the_scale_and_zero_is_in_the_middle():
    interval = Interval(0.25, 0.0, 9.0, 0.5)
    assert [interval.percent(value) for value in (-0.5, 0.0, 0.25, 0.5, 9.0, -9.0)] == [0, 50, 75, 100, 100, 0]
    assert Interval(0.0, 0.0, 0.0, 0.0).percent(0.0) == 50


def test_rows_are_escaped_and_only_rows_with_a_key_can_be_chosen():
    rows = [
        IntervalRow("loss", MARKUP, ["1.0"], Interval(0.2, 0.1, 0.3, 0.4), note=MARKUP, is_main=True, help=MARKUP),
        IntervalRow("", "no key", ["–"], note="too few rows"),
    ]
    html = interval_table_html(IntervalTable(["", "base"], rows))
    assert MARKUP not in html
    assert html.count("data-key") == 1
    assert "left:62.50%;right:12.50%" in html
    assert "too few rows" in html
