"""Tests of the report on a dataset and of the check of readings."""

import pytest

from core.data import parse_rows, subset
from core.data.formats import Reading
from core.data.recipe import Recipe
from core.data.report import SHOWN_CANDIDATES, build_report, candidates, check_reading, join_names
from core.data.table import FIRST_ROWS
from core.errors import StudioError
from tests.helpers.datasets import dialog, open_dataset
from tests.helpers.public_shapes import SHAPES

UNDECIDED = [shape for shape in SHAPES if shape.form == "undecided"]


@pytest.mark.parametrize("shape", UNDECIDED, ids=lambda shape: shape.name)
def test_report_of_undecided_dataset_offers_valid_candidates(settings, tmp_path, shape):
    data = open_dataset(settings, tmp_path, shape.rows)
    found = candidates(settings, data)
    assert 0 < len(found) <= SHOWN_CANDIDATES
    for candidate in found:
        check_reading(data, candidate.reading)
        assert 0 < candidate.usable <= candidate.rows == len(shape.rows)


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.form != "undecided"], ids=lambda shape: shape.name)
def test_report_of_detected_dataset_lists_unread_columns(settings, tmp_path, shape):
    data = open_dataset(settings, tmp_path, shape.rows)
    check_reading(data, data.detected)
    about = build_report(settings, data, parse_rows.parse_dataset(settings, data, data.detected))
    assert not about.chosen
    assert about.candidates == []
    assert {column.name for column in about.unread} >= set(shape.unread)
    kinds = [column.is_text for column in about.columns]
    assert kinds == sorted(kinds, reverse=True), "columns of text come first"


def test_candidates_of_large_dataset_are_limited(settings, tmp_path):
    rows = [{f"text {k}": f"some prose {i} of column {k}" for k in range(40)} for i in range(FIRST_ROWS + 5)]
    found = candidates(settings, open_dataset(settings, tmp_path, rows))
    assert len(found) == SHOWN_CANDIDATES
    assert {candidate.rows for candidate in found} == {FIRST_ROWS}


def test_check_reading_accepts_column_of_late_row(settings, tmp_path):
    data = open_dataset(
        settings, tmp_path, [*[{"messages": dialog("a", "b")}] * 300, {"messages": dialog("a", "b"), "late": "x y"}]
    )
    reading = Reading(format="messages", extra={"late": "context"})
    check_reading(data, reading)
    assert parse_rows.parse_dataset(settings, data, data.detected).unread == {"late": 1}


def test_create_subset_with_unknown_column_in_reading_is_rejected(settings, tmp_path):
    data = open_dataset(settings, tmp_path, [{"messages": dialog("a", "b")}] * 3)
    recipe = Recipe(dataset=data.id, reading=Reading(format="messages", extra={"nope": "ignore"}))
    with pytest.raises(StudioError, match=r"There is no column 'nope'\. The columns are: messages"):
        subset.create(settings, "x", recipe)


def test_create_subset_of_undecided_dataset_is_rejected_with_next_step(settings, tmp_path):
    data = open_dataset(settings, tmp_path, UNDECIDED[0].rows)
    with pytest.raises(StudioError, match=f"cannot be used yet: .* python -m core data about {data.id}"):
        subset.create(settings, "x", Recipe(dataset=data.id))


def test_join_names_of_many_columns_is_short():
    assert join_names(["a", "b"]) == "a, b"
    assert join_names([f"c{k}" for k in range(1000)]).endswith("c19 and 980 more")
