import json
import zipfile

import gradio as gr
import pytest
from pydantic import ValidationError

from core.data import subset
from core.data.recipe import Recipe
from core.data.view import Filter
from core.errors import StudioError
from studio.data.browse import Browsing
from studio.data.page_state import Lens, lens_of
from studio.data.subsets import FIELDS, Cutting, validate_cut

FORM = {name: Recipe.model_fields[name].get_default(call_default_factory=True) for name in FIELDS}


@pytest.fixture
def do(settings, jobs):
    return Cutting(settings, jobs)


def test_a_cut_takes_the_form_and_the_pages_filters(do, settings, state):
    filtered = Browsing(settings).toggle(state, Filter(column="kind", values=["a"]).model_dump())
    update, _, name = do.cut(filtered, [], "mine", **FORM | {"rows": 5, "seed": 3})
    made = subset.find(settings, "mine")
    assert (update["value"], name) == ("mine", "mine")
    assert made.recipe.view == lens_of(filtered).view
    assert all(row % 2 == 0 for _, row, _ in subset.stream(settings, "mine"))
    assert do.in_words(filtered, [], **FORM | {"rows": 5}).count("kind is") == 1


def test_picked_rows_are_cut_whatever_the_filter(do, settings, state):
    filtered = Browsing(settings).search(state, "question 1")
    do.cut(filtered, [3, 40], "picked", **FORM | {"method": "picked", "held_out_share": 0})
    assert {row for _, row, _ in subset.stream(settings, "picked")} == {3, 40}
    assert "tick rows in the table" in do.in_words(state, [], **FORM | {"method": "picked"})


def test_a_name_is_suggested_that_is_free_and_says_what_it_is(do, state, settings):
    assert do.suggest_name(state, **FORM) == "rows-all"
    assert do.suggest_name(state, **FORM | {"rows": 5, "method": "first", "seed": 2}) == "rows-5-first-seed2"
    do.cut(state, [], "rows-all", **FORM)
    assert do.suggest_name(state, **FORM) == "rows-all-2"
    assert "filtered" in do.suggest_name(Browsing(settings).search(state, "x"), **FORM)
    assert do.suggest_name(Lens().model_dump(), **FORM) == ""


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"rows": 1000}, "The recipe asks for 1,000 rows"),
        ({"method": "picked"}, "no rows are picked"),
        ({"method": "stratified"}, "needs a column"),
        ({"held_out_share": 0.7}, "held_out_share"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_by_the_server(do, settings, state, values, why):
    with pytest.raises((StudioError, ValidationError), match=why):
        do.cut(state, [], "mine", **FORM | values)
    assert subset.subsets(settings) == []


def test_a_cut_without_a_data_set_or_a_name_is_refused(do, state):
    with pytest.raises(StudioError, match="No data set is open"):
        do.cut(Lens().model_dump(), [], "x", **FORM)
    with pytest.raises(StudioError):
        do.cut(state, [], "  ", **FORM)
    shown = validate_cut(state, [], " ", **FORM | {"rows": -1})
    assert len(shown) == 3 + len(FORM)
    assert [result["is_valid"] for result in (shown[0], shown[2], shown[-1])] == [True, False, False]


def test_a_near_filter_without_near_in_the_recipe_is_explained(do, settings, state):
    view = lens_of(state).view.toggle(Filter(column="near_duplicate_of", low=0))
    with pytest.raises(StudioError, match="goes with “near” under Duplicates"):
        do.cut(state | {"view": view.model_dump()}, [], "x", **FORM)


def test_rows_named_by_sql_are_cut(do, settings, state):
    do.cut_by_sql(state, "SELECT row FROM rows WHERE score >= 50", "late")
    assert {row for _, row, _ in subset.stream(settings, "late")} == set(range(50, 60))
    with pytest.raises(StudioError, match="No SQL was given"):
        do.cut_by_sql(state, " ", "x")


def test_one_click_makes_a_thousand_rows_or_all_in_llama2_text(do, settings, state, tmp_path):
    *_, last = do.quick(state)
    made = subset.find(settings, "rows-llama2-59")
    assert (made.rows, made.held_out) == (59, 0)
    assert last[-1] == made.name
    download = next(
        update for update in last if isinstance(update, dict) and str(update.get("value", "")).endswith("zip")
    )
    with zipfile.ZipFile(download["value"]) as archive:
        rows = [json.loads(line) for line in archive.read("train.jsonl").splitlines()]
    assert all(row["text"].startswith("<s>[INST] ") and row["text"].endswith(" </s>") for row in rows)
    assert len(rows) == 59


def test_an_export_is_followed_to_its_file_and_tells_what_it_left_out(do, settings, state):
    do.cut(state, [], "mine", **FORM)
    *running, last = do.export("mine", "messages", ["jsonl"])
    assert len({len(update) for update in [*running, last]}) == 1
    assert last[3]["value"].endswith("mine-messages.zip")
    assert "59 rows written" in last[4]
    with pytest.raises(StudioError, match="No kind of file"):
        list(do.export("mine", "messages", []))
    with pytest.raises(StudioError, match="cannot be used as a subset name"):
        list(do.export(None, "messages", ["jsonl"]))


def test_a_recipe_file_is_run_again(do, settings, state, tmp_path):
    do.cut(state, [], "mine", **FORM | {"rows": 9})
    do.cut_from_file(str(settings.subsets_dir / "mine" / "recipe.json"), "again")
    assert subset.find(settings, "again").sha256 == subset.find(settings, "mine").sha256
    with pytest.raises(StudioError, match="No recipe was chosen"):
        do.cut_from_file(None, "x")


def test_two_subsets_are_compared(do, settings, state):
    do.cut(state, [], "one", **FORM | {"held_out_share": 0})
    do.cut(state, [], "two", **FORM | {"rows": 9, "method": "first", "held_out_share": 0})
    assert "<b>8</b> conversations in both, of 58 and 8 different ones" in do.compare("one", "two")
    assert "Choose two subsets" in do.compare("one", None)
    assert "without" not in do.describe("two")
    assert do.on_load()[0]["value"] == "two"


def test_the_columns_that_proportions_can_be_kept_of(do, state):
    choices = do.strata(state)["choices"]
    assert {"kind", "language", "turns"} <= set(choices)
    assert "prompt" not in choices
    assert do.strata(Lens().model_dump()) == gr.skip()


def test_a_push_without_a_token_is_a_sentence(do, settings, state, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(settings.home / "hf"))
    do.cut(state, [], "mine", **FORM)
    with pytest.raises(StudioError, match="needs a token with write access"):
        list(do.push("mine", "messages", "me/mine", True, ""))
