"""Names of runs: what differs from a preset or from the parent, and distinct names in a list."""

import pytest

from core.runs.config import QLoRAConfig
from core.runs.names import changes, derive_name, file_stem, format_changes, format_value, make_distinct
from core.runs.presets import PRESETS, QUICK_DEMO
from core.runs.store import Label, Parent
from core.settings import is_plain_name


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "Quick demo · keeper"),
        ({"subset": "my-rows"}, "Quick demo · my-rows"),
        ({"lora_rank": 32}, "r32 · keeper"),
        ({"learning_rate": 1e-3, "lora_rank": 8}, "r8 · lr 1e-3 · keeper"),
        ({"model": "meta-llama/Llama-2-7b-hf"}, "Llama-2-7b-hf · keeper"),
        ({"packing": False}, "packing off · keeper"),
        ({"sample_prompts": "What is a tide?", "save_steps": 0}, "Quick demo · keeper"),
        (
            {"lora_rank": 8, "learning_rate": 1e-3, "epochs": 2.5, "seed": 1},
            "r8 · lr 1e-3 · 2.5 epochs · 1 more · keeper",
        ),
    ],
)
def test_name_is_made_of_what_differs_from_the_closest_preset(values, name):
    assert derive_name(QUICK_DEMO.config(**values)) == name


@pytest.mark.parametrize("name", PRESETS)
def test_name_of_an_unchanged_preset_is_that_of_the_preset(name):
    assert derive_name(PRESETS[name].config()) == f"{name} · keeper"


def test_name_of_the_defaults_says_so():
    assert derive_name(QLoRAConfig()) == "Defaults · keeper"


def test_name_of_a_copy_is_made_of_what_differs_from_its_parent():
    parent = QUICK_DEMO.config(lora_rank=64)
    assert derive_name(parent.model_copy(update={"learning_rate": 5e-4}), parent) == "lr 5e-4 · keeper"
    assert derive_name(parent, parent) == "r64 · keeper", "an unchanged copy is named like any run"


@pytest.mark.parametrize(
    ("value", "text"),
    [(2e-3, "2e-3"), (0.00025, "2.5e-4"), (0.05, "0.05"), (1.0, "1"), (True, "on"), ("", "–"), (7, "7")],
)
def test_value_is_short(value, text):
    assert format_value(value) == text


@pytest.mark.parametrize(
    ("values", "name"), [({"epochs": 1.0}, "1 epoch · keeper"), ({"max_steps": 1}, "1 step · keeper")]
)
def test_name_of_a_copy_has_the_noun_for_one(values, name):
    parent = QLoRAConfig(epochs=2.0, max_steps=0 if "epochs" in values else 20)
    assert derive_name(parent.model_copy(update=values), parent) == name


@pytest.mark.parametrize(
    ("title", "begin"),
    [
        ("r32 · lr 1e-3 · keeper", "r32-lr-1e-3-keeper-"), ("../../etc/passwd", "etc-passwd-"), ("Ярлык", "run-"),
        ("x" * 59 + " y", "x" * 59 + "-"), ("CON", "CON-"),
    ],
)  # fmt: skip
def test_names_of_files_have_the_title_and_differ_by_the_run(title, begin):
    first, second = file_stem(title, "20261129-1"), file_stem(title, "20261129-2")
    assert first != second
    assert {len(stem) for stem in (first, second)} == {len(begin) + 6}
    assert {stem[:-6] for stem in (first, second)} == {begin}
    assert is_plain_name(f"{first}-final-adapter.zip")


def test_changes_name_the_old_and_the_new_value():
    changed = changes(QUICK_DEMO.config(learning_rate=1e-3), QUICK_DEMO.config())
    assert format_changes(changed) == ["Learning rate 2e-3 → 1e-3"]


def test_equal_titles_get_their_dates_and_the_id_as_the_last_resort():
    minute = 60.0
    titles = make_distinct(["a", "b", "a", "a", "a"], [0, 0, minute, 2 * minute + 1, 2 * minute + 1], list("vwxyz"))
    assert titles[1] == "b"
    assert titles[0] != titles[2]
    assert titles[3:] == [f"{titles[3].removesuffix(' (y)')} (y)", f"{titles[3].removesuffix(' (y)')} (z)"]
    assert len(set(titles)) == 5
    assert all(title.startswith("a · ") for title in [titles[0], *titles[2:]])


def test_title_of_a_run_is_its_name_or_made_of_its_settings(runs, a_run):
    first, second = a_run(config=QUICK_DEMO.config(), created=1.0), a_run(config=QUICK_DEMO.config(), created=90.0)
    assert first.title == "Quick demo · keeper"
    assert sorted(runs.titles()) == sorted([first.id, second.id])
    assert len(set(runs.titles().values())) == 2
    second.save_label(Label(name="mine"))
    assert runs.titles() == {first.id: "Quick demo · keeper", second.id: "mine"}
    first.save_config(QUICK_DEMO.config(max_steps=99))
    assert first.title == "99 steps · keeper", "a resume can change settings"
    (first.folder / "config.json").write_text("{")
    assert first.title == first.id


def test_run_stores_its_parent(runs, a_run):
    parent = a_run(config=QUICK_DEMO.config())
    given = Parent(run=parent.id, title=parent.title, config=parent.config())
    copy = runs.create(QUICK_DEMO.config(learning_rate=1e-3, lora_rank=4), parent=given)
    assert copy.parent() == given
    assert copy.title == "r4 · lr 1e-3 · keeper"
    copy.parent_file.write_text("{")
    assert copy.parent() is None
    assert parent.parent() is None
