"""What is reported of a data set under a reading, and which readings are refused."""

import pytest

from core.data import parse_rows, subset
from core.data.formats import Reading
from core.data.recipe import Recipe
from core.data.report import FIRST_ROWS, SHOWN_CANDIDATES, build_report, candidates, check_reading, join_names
from core.errors import StudioError
from tests.helpers.datasets import opened, talk
from tests.helpers.public_shapes import SHAPES

UNDECIDED = [shape for shape in SHAPES if shape.form == "undecided"]


@pytest.mark.parametrize("shape", UNDECIDED, ids=lambda shape: shape.name)
def test_undecided_public_set_offers_candidates_that_pass_the_check(settings, tmp_path, shape):
    data = opened(settings, tmp_path, shape.rows)
    found = candidates(settings, data)
    assert 0 < len(found) <= SHOWN_CANDIDATES
    for candidate in found:
        check_reading(data, candidate.reading)
        assert 0 < candidate.usable <= candidate.rows == len(shape.rows)


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.form != "undecided"], ids=lambda shape: shape.name)
def test_detected_reading_passes_the_check_and_unread_columns_are_listed(settings, tmp_path, shape):
    data = opened(settings, tmp_path, shape.rows)
    check_reading(data, data.detected)
    about = build_report(settings, data, parse_rows.parse_dataset(settings, data, data.detected))
    assert not about.chosen
    assert about.candidates == []
    assert {column.name for column in about.unread} >= set(shape.unread)
    kinds = [column.is_text for column in about.columns]
    assert kinds == sorted(kinds, reverse=True), "columns of text come first"


def test_candidates_are_few_and_tried_on_the_first_rows(settings, tmp_path):
    rows = [{f"text {k}": f"some prose {i} of column {k}" for k in range(40)} for i in range(FIRST_ROWS + 5)]
    found = candidates(settings, opened(settings, tmp_path, rows))
    assert len(found) == SHOWN_CANDIDATES
    assert {candidate.rows for candidate in found} == {FIRST_ROWS}


def test_column_of_a_late_row_is_known(settings, tmp_path):
    data = opened(
        settings, tmp_path, [*[{"messages": talk("a", "b")}] * 300, {"messages": talk("a", "b"), "late": "x y"}]
    )
    reading = Reading(format="messages", extra={"late": "context"})
    check_reading(data, reading)
    assert parse_rows.parse_dataset(settings, data, data.detected).unread == {"late": 1}


def test_recipe_whose_reading_names_nothing_is_refused(settings, tmp_path):
    data = opened(settings, tmp_path, [{"messages": talk("a", "b")}] * 3)
    recipe = Recipe(dataset=data.id, reading=Reading(format="messages", extra={"nope": "ignore"}))
    with pytest.raises(StudioError, match=r"There is no column 'nope'\. There are: messages"):
        subset.create(settings, "x", recipe)


def test_subset_of_undecided_rows_is_refused_with_the_next_step(settings, tmp_path):
    data = opened(settings, tmp_path, UNDECIDED[0].rows)
    with pytest.raises(StudioError, match=f"cannot be used yet: .* python -m core data about {data.id}"):
        subset.create(settings, "x", Recipe(dataset=data.id))


def test_names_stay_one_short_line():
    assert join_names(["a", "b"]) == "a, b"
    assert join_names([f"c{k}" for k in range(1000)]).endswith("c19 and 980 more")
