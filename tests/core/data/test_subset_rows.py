"""Subsets opened as datasets: the same rows in the same order, searchable, and the base of further subsets."""

import pytest

from core.access.roles import Caller, Role, acting
from core.data import subset, subset_rows, table
from core.data.recipe import Recipe
from core.data.rows import Rows
from core.data.view import View
from core.errors import StudioError
from tests.helpers.datasets import dialog, open_dialogs


@pytest.fixture
def data(settings, tmp_path):
    """30 rows, of which some hold what a parser would remove or split: end tokens, thoughts, marks of turns."""
    talks = [dialog(f"question {i}", f"answer {i}") for i in range(30)]
    talks[3] = dialog("### Human: a ### Assistant: b", "<think>so</think>yes</s>")
    talks[4] = [{"role": "system", "content": "Be brief."}, *dialog("a", "b"), *dialog("c", "d")]
    return open_dialogs(settings, tmp_path, talks)


def test_opened_subset_has_the_rows_as_selected(settings, data):
    made = subset.create(settings, "ten", Recipe(dataset=data.id, rows=20, seed=5))
    shown = subset_rows.open_subset(settings, "ten")
    rows = Rows(settings, shown.id)
    found = [(row["split"], row["messages"]) for row in map(rows.row, range(shown.rows))]
    assert found == [(split, messages) for split, _, messages in subset.stream(settings, "ten")]
    numbers = [row for _, row, _ in subset.stream(settings, "ten")]
    assert rows.page(View(), 0, 30, ["source_row"])["source_row"].tolist() == numbers
    assert shown.source.describe() == "subset ten"
    assert subset_rows.open_subset(settings, "ten") == shown
    assert table.find(settings, shown.id).splits == {"train": made.rows, "held-out": made.held_out}


def test_opened_subset_can_be_searched_and_selected_from(settings, data):
    subset.create(settings, "all", Recipe(dataset=data.id, held_out_share=0))
    shown = subset_rows.open_subset(settings, "all")
    assert Rows(settings, shown.id).count(View(search="question 2")) == 11
    again = subset.create(settings, "some", Recipe(dataset=shown.id, view=View(search="question 2"), held_out_share=0))
    assert again.rows == 11
    assert again.source.kind == "subset"


def test_opened_subset_is_closed_to_visitors_like_the_subset(settings, data):
    subset.create(settings, "all", Recipe(dataset=data.id))
    shown = subset_rows.open_subset(settings, "all")
    with acting(Caller(Role.VISITOR, "v")), pytest.raises(StudioError, match="There is no open dataset"):
        table.find(settings, shown.id)
    with pytest.raises(StudioError, match="There is no subset 'none'"):
        subset_rows.open_subset(settings, "none")
