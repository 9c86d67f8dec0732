"""Datasets opened in the Data tab."""

from types import SimpleNamespace

import gradio as gr
import pytest
from datasets import Dataset

from core.access.roles import Caller, Role, acting
from core.data import subset, table
from core.data.recipe import Recipe
from core.errors import StudioError
from core.system.jobs import Job
from studio.data.open_dataset import MAX_OPENINGS, OpenDataset
from studio.data.page_state import PageState
from studio.data.reading_form import ReadingForm
from tests.helpers.datasets import dialog, json_lines


@pytest.fixture
def do(settings, jobs):
    return OpenDataset(settings, jobs)


def test_open_file_shows_progress_and_chooses_the_dataset(do, settings, tmp_path, toasts):
    path = tmp_path / "mine.jsonl"
    path.write_text(json_lines([{"messages": dialog("a", "b")}] * 3))
    *running, last = do.open_file(str(path))
    assert running, "a bar is shown at once"
    assert "Opening mine.jsonl" in running[0]["progress"]
    [data] = table.opened_datasets(settings)
    assert last["dataset"]["value"] == data.id
    assert last["progress_row"] == gr.update(visible=False)
    assert "3 rows, 3 usable" in toasts[0]


def test_open_file_twice_at_once_opens_both(do, tmp_path, toasts):
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text(json_lines([{"messages": dialog("a", name)}]))
    first, second = (do.open_file(str(tmp_path / f"{name}.jsonl")) for name in ("one", "two"))
    assert "dataset" not in next(first), "it still runs"
    assert list(second)[-1]["dataset"]["value"].startswith("two-")
    assert list(first)[-1]["dataset"]["value"].startswith("one-")


def test_open_file_without_usable_rows_warns(do, tmp_path, toasts):
    path = tmp_path / "odd.jsonl"
    path.write_text(json_lines([{"prompt": "a", "completion": "b", "label": False}] * 2))
    *_, last = do.open_file(str(path))
    assert last["dataset"]["value"].startswith("odd-")
    assert "The format is not certain" in toasts[0]
    assert "labeled as a bad answer" in table.opened_datasets(do.settings)[0].evidence


def test_open_file_of_an_uncertain_format_points_to_the_question(do, tmp_path, toasts):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json_lines([{"prompt": ["a", "b"], "id": i} for i in range(3)]))
    *_, last = do.open_file(str(path))
    assert last["dataset"]["value"].startswith("pairs-")
    assert "Answer the question below" in toasts[0]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("x.exe", "x", "'x.exe' cannot be opened: its ending is unknown"),
        ("x.jsonl", "", "is empty"),
        ("x.jsonl", "oops", "Nothing in 'x.jsonl' can be read"),
    ],
)
def test_open_file_that_cannot_be_read_is_refused(do, settings, tmp_path, name, text, why):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(StudioError, match=why):
        list(do.open_file(str(path)))
    assert table.opened_datasets(settings) == []


@pytest.mark.parametrize(("name", "content"), [("x.exe", b"x"), ("x.jsonl", b"oops"), ("x.parquet", b"PAR1 nonsense")])
def test_upload_that_cannot_be_opened_leaves_no_file(do, settings, monkeypatch, name, content):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    path = settings.uploads_dir / "a1b2" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(StudioError) as refused:
        list(do.open_file(str(path)))
    assert ".)" not in str(refused.value)
    assert list(settings.uploads_dir.iterdir()) == []


def test_open_without_a_choice_is_refused(do):
    with pytest.raises(StudioError, match="No file was chosen"):
        list(do.open_file(None))
    with pytest.raises(StudioError, match="No Hub id was given"):
        list(do.open_hub(" ", "", "", "", ""))


def test_open_folder_accepts_only_folders_below_the_home(do, settings, tmp_path):
    Dataset.from_list([{"prompt": "a", "completion": "b"}]).save_to_disk(str(settings.folders_dir / "mine"))
    Dataset.from_list([{"prompt": "a", "completion": "b"}]).save_to_disk(str(tmp_path / "outside"))
    assert do.folders() == ["mine"]
    *_, last = do.open_folder("mine")
    assert last["dataset"]["value"].startswith("mine-")
    for name in ("../../outside", str(tmp_path / "outside"), None):
        with pytest.raises(StudioError, match="cannot be used as a"):
            list(do.open_folder(name))


def test_on_load_chooses_the_newest_dataset(do, data):
    loaded = do.on_load(SimpleNamespace(query_params={}))
    assert (loaded["dataset"]["value"], "opened" in loaded) == (data.id, False)


def test_on_load_opens_the_row_of_a_link_and_reports_one_that_is_wrong(do, data, monkeypatch):
    linked = do.on_load(SimpleNamespace(query_params={"dataset": data.id, "row": "57"}))
    assert (linked["dataset"]["value"], linked["opened"], linked["state"]["at_row"]) == (data.id, 57, 57)
    warned = []
    monkeypatch.setattr("studio.data.open_dataset.warn", lambda text, title: warned.append(text))
    for dataset, row in (("../x", "1"), ("none", "1"), (data.id, "60"), (data.id, "-1"), (data.id, "9" * 5000)):
        loaded = do.on_load(SimpleNamespace(query_params={"dataset": dataset, "row": row}))
        assert (loaded["dataset"]["value"], "opened" in loaded) == (data.id, False)
    assert len(warned) == 5


def test_subset_chosen_in_the_list_is_opened_and_then_chosen(do, settings, data, toasts):
    subset.create(settings, "mine", Recipe(dataset=data.id))
    *_, last = do.open_chosen("subset:mine")
    shown = table.find(settings, last["dataset"]["value"])
    assert (shown.source.kind, shown.source.name) == ("subset", "mine")
    assert list(do.open_chosen(data.id)) == list(do.open_chosen(None)) == []
    with pytest.raises(StudioError, match="cannot be used as a subset name"):
        list(do.open_chosen("subset:../x"))
    with acting(Caller(Role.VISITOR, "v")), pytest.raises(StudioError, match="Only the owner can open subsets"):
        list(do.open_chosen("subset:mine"))


def test_open_file_beyond_the_limit_is_refused(do, jobs, tmp_path, monkeypatch):
    waiting = {number: Job(number, f"open/{number}", "Opening") for number in range(MAX_OPENINGS)}
    monkeypatch.setattr(jobs, "_jobs", waiting)
    path = tmp_path / "rows.jsonl"
    path.write_text(json_lines([{"messages": dialog("a", "b")}]))
    with pytest.raises(StudioError, match="8 files are being opened already"):
        next(do.open_file(str(path)))
    monkeypatch.undo()
    *_, last = do.open_file(str(path))
    assert last["dataset"]["value"]


def test_table_of_one_column_is_split_into_a_dataset_of_its_own(do, settings, jobs, tmp_path, toasts):
    path = tmp_path / "rows.csv"
    path.write_text("question^answer\n" + "".join(f"what is {i}?^it is {i}\n" for i in range(9)))
    *_, opened = do.open_file(str(path))
    state = PageState(dataset=opened["dataset"]["value"]).model_dump()
    asked = ReadingForm(settings, jobs).question(state)
    assert (asked["question"]["visible"], asked["split_row"]["visible"], asked["characters"]) == (True, True, "^")
    *_, made = do.split_column(state, "^")
    assert [column.name for column in table.find(settings, made["dataset"]["value"]).columns] == ["question", "answer"]
    shown = ReadingForm(settings, jobs).question(PageState(dataset=made["dataset"]["value"]).model_dump())
    assert not shown["split_row"]["visible"]
    with pytest.raises(StudioError, match="No delimiter is given"):
        list(do.split_column(state, ""))
