"""Recipes of subsets: their description, and fields that contradict each other."""

import pytest
from pydantic import ValidationError

from core.data.formats import Reading
from core.data.recipe import Recipe
from core.data.view import Filter, View


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({}, "all usable rows"),
        ({"rows": 1000, "seed": 7}, "1,000 rows, sampled with seed 7"),
        ({"rows": 5, "method": "first"}, "5 rows in order"),
        (
            {"rows": 5, "method": "stratified", "stratify_by": "kind"},
            "5 rows in proportion to kind, sampled with seed 0",
        ),
        ({"rows": 5, "method": "longest"}, "the longest 5 rows, counted in characters"),
        ({"rows": 5, "method": "shortest", "model": "m"}, "the shortest 5 rows, counted in tokens of m"),
        ({"method": "picked", "picked": [3, 4]}, "2 rows picked by hand"),
        (
            {"view": View(search="tide", filters=[Filter(column="turns", low=2)]), "duplicates": "near"},
            "all usable rows, of those with 'tide' in them, turns at least 2, without near duplicates",
        ),
        ({"sql": "SELECT row FROM rows"}, "all usable rows, of those that 'SELECT row FROM rows' gives"),
        ({"reading": Reading(format="text")}, "all usable rows, read as plain text"),
    ],
)
def test_recipe_describe_names_every_choice(recipe, words):
    assert Recipe(dataset="d", **recipe).describe() == words


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        ({"method": "stratified"}, "needs a column"),
        ({"method": "picked"}, "no rows are picked"),
        ({"sql": "SELECT 1", "view": View(search="x")}, "exclude each other"),
        ({"rows": -1}, "rows"),
        ({"held_out_share": 0.9}, "held_out_share"),
        ({"seed": 2**32}, "seed"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_recipe_with_contradicting_fields_is_rejected(recipe, why):
    with pytest.raises(ValidationError, match=why):
        Recipe(dataset="d", **recipe)


@pytest.mark.parametrize(
    ("rows", "end"), [(20, "row 19"), (21, "row 19, 1 more row"), (200_000, "row 19, 199,980 more rows")]
)
def test_recipe_describe_names_a_bounded_number_of_excluded_rows(rows, end):
    words = Recipe(dataset="d", excluded=list(range(rows))).describe()
    assert words.endswith(f", without row 0, {', '.join(f'row {i}' for i in range(1, 19))}, {end}")


TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


def test_recipe_of_an_earlier_version_has_no_changed_rows():
    stored = Recipe(dataset="d").model_dump(exclude={"edited", "added"})
    assert Recipe.model_validate(stored) == Recipe(dataset="d")
    assert (
        Recipe(dataset="d", edited={3: TURNS}, added=[TURNS, TURNS])
        .describe()
        .endswith("with 1 row edited, with 2 rows added")
    )


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ([], "no text"),
        (TURNS[:1], "no answer"),
        (TURNS[1:], "starts with an answer"),
        ([{"role": "judge", "content": "x"}], "Input should be"),
        ([*TURNS, {"role": "user"}], "Field required"),
    ],
)
def test_edited_row_that_cannot_be_trained_on_is_refused(turns, why):
    for changes in ({"edited": {0: turns}}, {"added": [turns]}):
        with pytest.raises(ValidationError, match=why):
            Recipe(dataset="d", **changes)


def test_edited_row_ends_with_its_last_answer():
    assert Recipe(dataset="d", added=[[*TURNS, TURNS[0]]]).added == [TURNS]
