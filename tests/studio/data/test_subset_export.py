"""Subsets exported, compared and pushed from the Data tab."""

import json
import zipfile

import pytest

from core.data import sources, subset
from core.data.recipe import Recipe
from core.errors import StudioError
from studio.data.page_state import PageState
from studio.data.subset_export import ExportSubset
from studio.data.subsets import FIELDS, CreateSubset
from tests.helpers.datasets import dialog, open_dataset

FORM = {name: Recipe.model_fields[name].get_default(call_default_factory=True) for name in FIELDS}


@pytest.fixture
def do(settings, jobs):
    return ExportSubset(settings, jobs)


@pytest.fixture
def create(settings, jobs, state):
    """Create a subset by a name, with other fields than the form's defaults."""

    def run(name, **values):
        list(CreateSubset(settings, jobs).create(state, [], {}, name, **FORM | values))

    return run


def test_create_and_export_of_a_small_dataset_takes_all_rows(do, settings, state):
    *_, last = do.create_and_export(state)
    made = subset.find(settings, "rows-llama2-59")
    assert (made.rows, made.held_out) == (59, 0)
    assert last["created"] == made.name
    with zipfile.ZipFile(last["download"]["value"]) as archive:
        rows = [json.loads(line) for line in archive.read("train.jsonl").splitlines()]
    assert all(row["text"].startswith("<s>[INST] ") and row["text"].endswith(" </s>") for row in rows)
    assert len(rows) == 59


def test_create_and_export_leaves_out_questions_of_the_datasets_own_held_out_rows(do, settings, tmp_path):
    """Questions in both parts are no training rows, so fewer rows are available than are usable."""
    train = [{"messages": dialog(f"{n}?", f"{n}.")} for n in range(6)]
    test = [{"messages": dialog(f"{n}?", "Another.")} for n in range(2)]
    path = tmp_path / "parts.json"
    path.write_text(json.dumps({"train": train, "test": test}))
    data = sources.open_file(settings, path)
    assert data.splits == {"train": 6, "held-out": 2}
    *_, last = do.create_and_export(PageState(dataset=data.id).model_dump())
    made = subset.find(settings, last["created"])
    assert (made.name, made.rows, made.held_out) == ("parts-llama2-4", 4, 2)


def test_create_and_export_of_another_file_of_the_same_name_makes_another_subset(do, settings, state, tmp_path):
    *_, first = do.create_and_export(state)
    (tmp_path / "again").mkdir()
    # As many rows as the first file has, so that the plain names are equal.
    other = open_dataset(settings, tmp_path / "again", [{"messages": dialog(f"{n}?", f"{n}.")} for n in range(59)])
    *_, second = do.create_and_export(PageState(dataset=other.id).model_dump())
    assert second["created"].startswith("rows-llama2-59-")
    assert subset.find(settings, second["created"]).recipe.dataset == other.id
    *_, again = do.create_and_export(state)
    assert again["created"] == first["created"]


def test_export_writes_a_zip_and_reports_the_rows(do, create):
    create("mine")
    *running, last = do.export("mine", "messages", ["jsonl"])
    assert running
    assert all("Exporting mine" in update["progress"] for update in running)
    assert last["download"]["value"].endswith("mine-messages.zip")
    assert "59 rows written" in last["written"]
    with pytest.raises(StudioError, match="No kind of file"):
        list(do.export("mine", "messages", []))
    with pytest.raises(StudioError, match="cannot be used as a subset name"):
        list(do.export(None, "messages", ["jsonl"]))


def test_compare_two_subsets_counts_shared_conversations(do, create):
    create("one", held_out_share=0)
    create("two", rows=9, method="first", held_out_share=0)
    assert "<b>8</b> conversations in both, of 58 and 8 different ones" in do.compare("one", "two")["comparison"]
    assert "Choose two subsets" in do.compare("one", None)["comparison"]
    assert "without" not in do.describe("two")["subset_text"]
    assert do.on_load()["subset"]["value"] == "two"


def test_push_without_a_token_is_refused(do, create, settings, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(settings.home / "hf"))
    create("mine")
    with pytest.raises(StudioError, match="A token with write access is needed"):
        list(do.push("mine", "messages", repo="me/mine", private=True, token=""))
    with pytest.raises(StudioError, match="'mine' is not a Hub id"):
        list(do.push("mine", "messages", repo="mine", private=True, token=""))
