"""Subsets on disk: equal bytes for equal recipes, names, and failures."""

import hashlib
import json

import pytest

from core.data import subset, table
from core.data.formats import Reading
from core.data.recipe import Recipe
from core.errors import StudioError
from tests.helpers.datasets import dialog, open_dialogs


@pytest.fixture
def data(settings, tmp_path):
    return open_dialogs(settings, tmp_path, [dialog(f"q{i}", f"a{i}") for i in range(50)])


def test_create_subset_twice_gives_identical_bytes(settings, data):
    recipe = Recipe(dataset=data.id, rows=20, seed=3)
    one, two = (subset.create(settings, name, recipe) for name in ("one", "two"))
    files = [(settings.subsets_dir / name / "rows.parquet").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]
    assert one.sha256 == two.sha256
    assert one.sha256 != subset.create(settings, "three", recipe.model_copy(update={"seed": 4})).sha256
    records = list(subset.stream(settings, "one"))
    text = "".join(json.dumps(r, ensure_ascii=False, sort_keys=True) + "\n" for r in records)
    assert hashlib.sha256(text.encode()).hexdigest() == one.sha256


def test_load_subset_returns_selected_rows(settings, data):
    made = subset.create(settings, "s", Recipe(dataset=data.id, rows=20))
    loaded = subset.load(settings, "s")
    assert (len(loaded["train"]), len(loaded["held-out"])) == (made.rows, made.held_out) == (20, 2)
    for rows in loaded.values():
        assert [messages for _, messages in rows] == [dialog(f"q{row}", f"a{row}") for row, _ in rows]
    assert made.describe().startswith(
        "20 rows to train on and 2 held out, from rows.jsonl: 20 rows, sampled with seed 0"
    )


def test_create_subset_with_used_name_is_rejected_unless_equal(settings, data):
    recipe = Recipe(dataset=data.id, rows=5)
    made = subset.create(settings, "s", recipe)
    assert subset.create(settings, "s", recipe) == made
    assert subset.create(settings, "s", recipe.model_copy(update={"reading": data.detected})) == made
    with pytest.raises(StudioError, match="'s' exists already"):
        subset.create(settings, "s", Recipe(dataset=data.id, rows=6))
    for name in ("../out", "/abs", "", "a/b", ".hidden"):
        with pytest.raises(StudioError, match="cannot be used as a subset name"):
            subset.create(settings, name, recipe)
    assert [s.name for s in subset.subsets(settings)] == ["s"]


def test_create_subset_that_fails_leaves_no_folder(settings, data):
    with pytest.raises(StudioError, match="asks for 500 rows"):
        subset.create(settings, "s", Recipe(dataset=data.id, rows=500))
    assert [p.name for p in settings.subsets_dir.iterdir() if p.name != ".lock"] == []


def test_create_subset_stores_other_reading_in_recipe(settings, data):
    reading = Reading(format="messages", placeholders={"x": "y"})
    made = subset.create(settings, "s", Recipe(dataset=data.id, reading=reading))
    assert made.recipe.reading.placeholders == {"x": "y"}


def test_read_recipe_accepts_plain_recipe_and_subset_file(settings, data, tmp_path):
    recipe = Recipe(dataset=data.id, rows=5)
    subset.create(settings, "s", recipe)
    inside = settings.subsets_dir / "s" / "recipe.json"
    assert subset.read_recipe(inside, inside.name) == recipe
    alone = tmp_path / "alone.json"
    alone.write_text(recipe.model_dump_json())
    assert subset.read_recipe(alone, alone.name) == recipe
    for bad in ("[1]", "oops", '{"rows": 3}', '{"dataset": "d", "nope": 1}', '{"rows": ' + "1" * 5000 + "}"):
        alone.write_text(bad)
        with pytest.raises(StudioError, match=r"'alone.json' is not a recipe"):
            subset.read_recipe(alone, alone.name)


def test_ensure_bundled_creates_subset_and_unknown_name_is_rejected(settings):
    made = subset.ensure_bundled(settings)
    assert made == subset.ensure_bundled(settings)
    assert (made.rows, made.held_out) == (table.find(settings, made.recipe.dataset).splits["train"], 34)
    with pytest.raises(StudioError, match=r"There is no subset 'none'\. Subsets so far: keeper"):
        subset.find(settings, "none")
