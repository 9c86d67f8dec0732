import pytest

from core.evaluate import scores
from core.evaluate.verdict_text import format_change
from studio.evaluate.row_selection import Selection, select_rows
from tests.helpers.scored_evaluation import scored_evaluation


@pytest.fixture
def scored(settings, tmp_path):
    return scores.find(scored_evaluation(settings, tmp_path)[1])


def _select(scored, **fields):
    return select_rows(scored, Selection(0, 1, **fields), list(range(scored.prompts)), format_change)


def test_all_rows_stay_in_the_order_of_the_prompts_with_their_changes(scored):
    found = _select(scored, metric="loss")
    assert found.prompts == list(range(40))
    assert found.counts["better"] + found.counts["worse"] == found.counts["all"] == 40
    assert all(text.startswith(("+", "−")) for text in found.changes.values())


@pytest.mark.parametrize("side", ["better", "worse"])
def test_a_side_has_its_rows_with_the_largest_change_first(scored, side):
    found = _select(scored, metric="loss", side=side)
    change = scored.values("loss", 1) - scored.values("loss", 0)
    moved = [change[index] for index in found.prompts]
    assert moved == sorted(moved, reverse=side == "worse")
    assert all((value < 0) == (side == "better") for value in moved)
    assert len(moved) == found.counts[side]


def test_a_group_has_its_rows_only(scored):
    found = _select(scored, metric="loss", grouping="language", label="de")
    assert found.prompts == list(range(0, 40, 4))
    assert found.counts["all"] == 10


def test_right_and_wrong_are_named(scored):
    assert set(_select(scored, metric="exact_match").changes.values()) == {"both wrong"}


@pytest.mark.parametrize(
    "value", [None, {}, {"metric": "no-such"}, {"side": "up"}, {"unknown": 1}, {"metric": 7}, {"side": None}]
)
def test_selections_of_a_caller_are_checked(value):
    assert Selection.parse(value) == Selection()


def test_without_a_metric_or_a_second_lane_there_are_no_sides(scored):
    assert _select(scored).counts == {"all": 40}
    found = select_rows(scored, Selection(0, 0, "loss"), [3, 5], format_change)
    assert (found.prompts, found.changes) == ([3, 5], {})
