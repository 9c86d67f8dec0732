import gradio as gr
import pytest
from datasets import Dataset

from core.data import table
from core.errors import StudioError
from studio.data.open_dataset import Opening
from tests.helpers.datasets import lines, talk


@pytest.fixture
def do(settings, jobs):
    return Opening(settings, jobs)


def test_a_file_opens_with_a_bar_and_is_chosen(do, settings, tmp_path, toasts):
    path = tmp_path / "mine.jsonl"
    path.write_text(lines([{"messages": talk("a", "b")}] * 3))
    *running, last = do.open_file(str(path))
    assert running, "a bar is shown at once"
    assert "Opening mine.jsonl" in running[0][1]
    assert len({len(update) for update in [*running, last]}) == 1
    [data] = table.opened_datasets(settings)
    assert last[-1]["value"] == data.id
    assert last[0] == gr.update(visible=False)
    assert "3 rows, 3 usable" in toasts[0]


def test_who_opens_another_file_meanwhile_gets_their_own(do, tmp_path, toasts):
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text(lines([{"messages": talk("a", name)}]))
    first, second = (do.open_file(str(tmp_path / f"{name}.jsonl")) for name in ("one", "two"))
    next(first)
    assert list(second)[-1][-1]["value"].startswith("two-")
    assert list(first)[-1][-1]["value"].startswith("one-")


def test_one_that_nobody_can_use_yet_is_opened_with_a_warning(do, tmp_path, toasts):
    path = tmp_path / "odd.jsonl"
    path.write_text(lines([{"prompt": "a", "completion": "b", "label": False}] * 2))
    *_, last = do.open_file(str(path))
    assert last[-1]["value"].startswith("odd-")
    assert "No format is sure" in toasts[0]
    assert "labelled as a bad answer" in table.opened_datasets(do.settings)[0].evidence


def test_undecided_file_opens_with_the_question_named_in_the_toast(do, tmp_path, toasts):
    path = tmp_path / "pairs.jsonl"
    path.write_text(lines([{"prompt": ["a", "b"], "id": i} for i in range(3)]))
    *_, last = do.open_file(str(path))
    assert last[-1]["value"].startswith("pairs-")
    assert "Answer the question below" in toasts[0]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("x.exe", "x", "'x.exe' is no file that can be opened here"),
        ("x.jsonl", "", "is empty"),
        ("x.jsonl", "oops", "Nothing in 'x.jsonl' can be read"),
    ],
)
def test_a_file_that_cannot_be_opened_is_refused(do, settings, tmp_path, name, text, why):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(StudioError, match=why):
        list(do.open_file(str(path)))
    assert table.opened_datasets(settings) == []


def test_nothing_chosen_is_said(do):
    with pytest.raises(StudioError, match="No file was chosen"):
        list(do.open_file(None))
    with pytest.raises(StudioError, match="No Hub id was given"):
        list(do.open_hub(" ", "", "", "", ""))


def test_folders_below_the_home_are_offered_and_no_others(do, settings, tmp_path):
    Dataset.from_list([{"prompt": "a", "completion": "b"}]).save_to_disk(str(settings.folders_dir / "mine"))
    Dataset.from_list([{"prompt": "a", "completion": "b"}]).save_to_disk(str(tmp_path / "outside"))
    assert do.folders() == ["mine"]
    *_, last = do.open_folder("mine")
    assert last[-1]["value"].startswith("mine-")
    for name in ("../../outside", str(tmp_path / "outside"), None):
        with pytest.raises(StudioError):
            list(do.open_folder(name))


def test_the_newest_data_set_is_chosen_on_load(do, data):
    dataset, _ = do.on_load()
    assert dataset["value"] == data.id
    assert next(do.reattach())[-1] == gr.skip()
