import json
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from core.data import sources, subset
from core.data.subset import Recipe, cut, export, load
from core.data.table import Rows
from core.errors import StudioError
from core.settings import Settings


def make_file(folder: Path, rows: int = 40) -> Path:
    lines = [json.dumps({"prompt": f"Question {n}?", "completion": f"Answer {n}, прилив."}) for n in range(rows)]
    path = folder / "questions.jsonl"
    path.write_text("\n".join([*lines, '{"prompt": "no answer", "completion": ""}']), encoding="utf-8")
    return path


@pytest.fixture
def dataset(settings, tmp_path):
    return sources.open_file(settings, make_file(tmp_path)).id


def numbers(settings, name):
    return {split: [row for row, _ in rows] for split, rows in load(settings, name).items()}


def test_the_same_recipe_gives_the_same_rows_and_hash_anywhere(settings, tmp_path, dataset):
    other = Settings(home=tmp_path / "other").prepare()
    sources.open_file(other, make_file(tmp_path))
    recipe = Recipe(dataset=dataset, rows=10, seed=5)
    one, two = cut(settings, "ten", recipe), cut(other, "zehn", recipe)
    assert one.sha256 == two.sha256
    assert numbers(settings, "ten") == numbers(other, "zehn")
    third = cut(settings, "ten-6", Recipe(dataset=dataset, rows=10, seed=6))
    assert third.sha256 != one.sha256


def test_first_is_the_first_and_held_out_rows_are_others(settings, dataset):
    made = cut(settings, "first", Recipe(dataset=dataset, rows=10, method="first", held_out_share=0.3))
    rows = numbers(settings, "first")
    assert rows["train"] == list(range(10))
    assert len(rows["held-out"]) == made.held_out == 3
    assert not set(rows["train"]) & set(rows["held-out"])
    assert made.left_out == {"no answer": 1}


def test_all_rows_keep_some_back(settings, dataset):
    made = cut(settings, "all", Recipe(dataset=dataset))
    assert (made.rows, made.held_out) == (36, 4)


def test_a_held_out_split_of_its_own_is_used_whole(settings):
    bundled = sources.open_bundled(settings)
    made = cut(settings, "fifty", Recipe(dataset=bundled.id, rows=50))
    assert (made.rows, made.held_out) == (50, bundled.splits["held-out"])


def test_more_rows_than_there_are_is_told_with_both_numbers(settings, dataset):
    with pytest.raises(StudioError, match=r"1,000 rows were asked for, but 'questions\.jsonl' has 40 usable"):
        cut(settings, "many", Recipe(dataset=dataset, rows=1000))
    assert subset.subsets(settings) == []


def test_a_name_is_taken_once(settings, dataset):
    made = cut(settings, "mine", Recipe(dataset=dataset, rows=5))
    assert cut(settings, "mine", Recipe(dataset=dataset, rows=5)) == made
    with pytest.raises(StudioError, match="exists already"):
        cut(settings, "mine", Recipe(dataset=dataset, rows=6))
    assert subset.find(settings, "mine") == made
    for name in ("../mine", "", "a b", "-x"):
        with pytest.raises(StudioError, match="cannot be used"):
            cut(settings, name, Recipe(dataset=dataset, rows=6))


@pytest.mark.parametrize("form", ["llama2", "guanaco", "messages"])
def test_an_export_reads_back_as_the_same_conversations(settings, tmp_path, dataset, form):
    cut(settings, "ten", Recipe(dataset=dataset, rows=10, seed=1))
    path = export(settings, "ten", form)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / form)
    recipe = json.loads((tmp_path / form / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["recipe"]["rows"] == 10
    assert recipe["format"] == form
    expected = [messages for _, messages in load(settings, "ten")["train"]]
    for suffix in ("jsonl", "parquet"):
        opened = sources.open_file(settings, tmp_path / form / f"train.{suffix}")
        assert [messages for _, _, messages in Rows(settings, opened.id).usable()] == expected
    assert pq.read_table(tmp_path / form / "held-out.parquet").num_rows == 1


def test_an_unknown_export_format_or_subset_is_a_sentence(settings, dataset):
    cut(settings, "ten", Recipe(dataset=dataset, rows=10))
    with pytest.raises(StudioError, match="Expected one of llama2, guanaco, messages"):
        export(settings, "ten", "pickle")
    with pytest.raises(StudioError, match="Subsets so far: ten"):
        export(settings, "eleven", "llama2")


def test_a_newer_bundled_set_does_not_push_out_the_old_subset(settings, monkeypatch, tmp_path):
    old = subset.ensure_bundled(settings)
    assert subset.ensure_bundled(settings) == old
    newer = tmp_path / "bundled"
    newer.mkdir()
    for name in ("train.jsonl", "heldout.jsonl"):
        text = (sources.BUNDLED_FOLDER / name).read_text(encoding="utf-8")
        (newer / name).write_text(text.replace("lamp", "lantern"), encoding="utf-8")
    monkeypatch.setattr(sources, "BUNDLED_FOLDER", newer)
    made = subset.ensure_bundled(settings)
    assert made.name != old.name
    assert subset.find(settings, old.name) == old
