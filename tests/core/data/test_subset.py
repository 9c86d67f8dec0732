"""Subsets on disk: equal bytes for equal recipes, names, and failures."""

import hashlib
import json

import pytest

from core.access.roles import Caller, Role, acting
from core.data import subset, table
from core.data.formats import Reading
from core.data.recipe import Recipe
from core.data.rows import Rows
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


@pytest.mark.parametrize("content", ["{", "", "[1]", '{"name": "s"}', '"s"', "\xff"])
def test_damaged_recipe_hides_no_other_subset(settings, data, content, capsys):
    subset.create(settings, "fine", Recipe(dataset=data.id, rows=5))
    damaged = settings.subsets_dir / "s"
    damaged.mkdir()
    (damaged / "recipe.json").write_text(content, encoding="latin-1")
    for _ in range(2):
        assert [s.name for s in subset.subsets(settings)] == ["fine"]
    assert capsys.readouterr().err.count("cannot be read and is left out") == 1
    with pytest.raises(StudioError, match=r"recipe.json of the subset 's' cannot be read"):
        subset.find(settings, "s")
    with pytest.raises(StudioError, match=r"recipe.json of the subset 's' cannot be read"):
        subset.create(settings, "s", Recipe(dataset=data.id, rows=5))
    assert subset.free_name(settings, "s", Recipe(dataset=data.id)).startswith("s-")
    with pytest.raises(StudioError, match=r"no subset 't'\. Subsets so far: fine\."):
        subset.find(settings, "t")
    with acting(Caller(Role.VISITOR, "x")), pytest.raises(StudioError, match="There is no subset 's'"):
        subset.find(settings, "s")


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


def test_create_with_edited_added_and_excluded_rows_changes_only_the_subset(settings, tmp_path):
    data = open_dialogs(settings, tmp_path, [dialog(f"q{i}", f"a{i}") for i in range(6)])
    before = list(Rows(settings, data.id).usable_rows())
    changed = dialog("asked anew", "answered anew")
    recipe = Recipe(
        dataset=data.id, held_out_share=0, edited={2: changed, 5: changed}, added=[dialog("new", "one"), changed],
        excluded=[5, 7],
    )  # fmt: skip
    made = subset.create(settings, "changed", recipe)
    found = list(subset.stream(settings, "changed"))
    assert [row for _, row, _ in found] == [0, 1, 2, 3, 4, 6], "an added row has a number behind the last of the source"
    assert (found[2][2], found[5]) == (changed, ("train", 6, dialog("new", "one")))
    assert (made.rows, made.edited, made.added, made.left_out) == (6, 1, 1, {"left out by hand": 1})
    assert list(Rows(settings, data.id).usable_rows()) == before
    assert subset.read_recipe(settings.subsets_dir / "changed" / "recipe.json", "recipe.json") == recipe
    assert subset.create(settings, "again", recipe).sha256 == made.sha256


def test_subset_of_an_earlier_version_opens_without_changed_rows(settings, tmp_path):
    data = open_dialogs(settings, tmp_path, [dialog("q", "a"), dialog("r", "b")])
    made = subset.create(settings, "old", Recipe(dataset=data.id))
    path = settings.subsets_dir / "old" / "recipe.json"
    stored = json.loads(path.read_text())
    for name in ("edited", "added"):
        del stored[name], stored["recipe"][name]
    path.write_text(json.dumps(stored))
    assert subset.find(settings, "old") == made
