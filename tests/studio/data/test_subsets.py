"""Subsets created in the Data tab."""

import html

import pytest
from pydantic import ValidationError

from core.data import subset
from core.data.recipe import Recipe
from core.data.view import Filter
from core.errors import StudioError
from studio.data.browse import Browse
from studio.data.page_state import PageState, parse_state
from studio.data.subsets import FIELDS, CreateSubset, validate_subset

FORM = {name: Recipe.model_fields[name].get_default(call_default_factory=True) for name in FIELDS}


@pytest.fixture
def do(settings, jobs):
    return CreateSubset(settings, jobs)


def last(updates):
    """Return the last of the updates that a handler yields."""
    *_, update = updates
    return update


def test_create_uses_the_form_and_the_filters_of_the_page(do, settings, state):
    filtered = Browse(settings).toggle_filter(state, Filter(column="kind", values=["a"]).model_dump())["state"]
    updates = last(do.create(filtered, [], {}, "mine", **FORM | {"rows": 5, "seed": 3}))
    made = subset.find(settings, "mine")
    assert (updates["subset"]["value"], updates["created"]) == ("mine", "mine")
    assert made.recipe.view == parse_state(filtered).view
    assert all(row % 2 == 0 for _, row, _ in subset.stream(settings, "mine"))
    assert do.describe_recipe(filtered, [], {}, **FORM | {"rows": 5})["recipe_text"].count("kind is") == 1


def test_create_of_picked_rows_ignores_the_filter(do, settings, state):
    filtered = Browse(settings).search(state, "question 1")["state"]
    last(do.create(filtered, [3, 40], {}, "picked", **FORM | {"method": "picked", "held_out_share": 0}))
    assert {row for _, row, _ in subset.stream(settings, "picked")} == {3, 40}
    assert "tick rows in the table" in do.describe_recipe(state, [], {}, **FORM | {"method": "picked"})["recipe_text"]


def test_suggest_name_returns_a_free_name_of_the_recipe(do, state, settings):
    assert do.suggest_name(state, {}, **FORM) == {"name": "rows-all"}
    assert do.suggest_name(state, {}, **FORM | {"rows": 5, "method": "first", "seed": 2}) == {
        "name": "rows-5-first-seed2"
    }
    last(do.create(state, [], {}, "rows-all", **FORM))
    assert do.suggest_name(state, {}, **FORM) == {"name": "rows-all-2"}
    assert "filtered" in do.suggest_name(Browse(settings).search(state, "x")["state"], {}, **FORM)["name"]
    assert do.suggest_name(PageState().model_dump(), {}, **FORM) == {"name": ""}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"rows": 1000}, "asks for 1,000 rows"),
        ({"method": "picked"}, "no rows are picked"),
        ({"method": "stratified"}, "needs a column"),
        ({"held_out_share": 0.7}, "held_out_share"),
    ],
)
def test_create_by_an_invalid_recipe_is_refused(do, settings, state, values, why):
    with pytest.raises((StudioError, ValidationError), match=why):
        last(do.create(state, [], {}, "mine", **FORM | values))
    assert subset.subsets(settings) == []


def test_create_without_a_dataset_or_a_name_is_refused(do, state):
    with pytest.raises(StudioError, match="No dataset is open"):
        last(do.create(PageState().model_dump(), [], {}, "x", **FORM))
    with pytest.raises(StudioError, match="cannot be used as a subset name"):
        last(do.create(state, [], {}, "  ", **FORM))


def test_validate_subset_returns_only_inputs_with_a_problem(state):
    problems = validate_subset(state, [], {}, " ", **FORM | {"rows": -1})
    assert problems.keys() == {"rows", "name"}
    assert not any(result["is_valid"] for result in problems.values())
    assert validate_subset(state, [], {}, "mine", **FORM | {"method": "stratified"}) == {}


def test_create_with_a_near_filter_needs_near_in_the_recipe(do, settings, state):
    view = parse_state(state).view.toggle(Filter(column="near_duplicate_of", low=0))
    with pytest.raises(StudioError, match="needs “near” under Duplicates"):
        last(do.create(state | {"view": view.model_dump()}, [], {}, "x", **FORM))


def test_create_by_sql_takes_the_rows_of_the_result(do, settings, state):
    last(do.create_by_sql(state, "SELECT row FROM rows WHERE score >= 50", "late"))
    assert {row for _, row, _ in subset.stream(settings, "late")} == set(range(50, 60))
    with pytest.raises(StudioError, match="No SQL was given"):
        last(do.create_by_sql(state, " ", "x"))


def test_create_from_file_repeats_the_recipe(do, settings, state, tmp_path):
    last(do.create(state, [], {}, "mine", **FORM | {"rows": 9}))
    last(do.create_from_file(str(settings.subsets_dir / "mine" / "recipe.json"), "again"))
    assert subset.find(settings, "again").sha256 == subset.find(settings, "mine").sha256
    with pytest.raises(StudioError, match="No recipe was chosen"):
        last(do.create_from_file(None, "x"))


def test_stratify_choices_are_columns_of_values(do, state):
    choices = do.stratify_choices(state)["stratify_by"]["choices"]
    assert {"kind", "language", "turns"} <= set(choices)
    assert "prompt" not in choices
    assert do.stratify_choices(PageState().model_dump()) == {}


def test_create_of_near_duplicates_runs_in_the_background_with_a_bar_and_ends_with_a_card(do, settings, state):
    *bars, created = do.create(state, [], {}, "near", **FORM | {"duplicates": "near"})
    assert all("Creating near" in bar["progress"] for bar in bars[:-1])
    assert created["created_card"]["visible"]
    assert "Created near" in created["created_text"]
    assert subset.find(settings, "near").describe() in html.unescape(created["created_text"])
