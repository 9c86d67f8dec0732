"""Folders saved by `datasets`: splits, stored formats, and folders that name what lies outside."""

import json

import pytest
from datasets import Dataset, DatasetDict, Features, Json, Value

from core.data.readers import saved
from core.data.readers.columnar import Converter
from core.errors import StudioError

ROWS = [{"instruction": "Why?", "output": "So."}] * 2
ARROW = "data-00000-of-00001.arrow"


def save(folder, rows=ROWS, features=None):
    Dataset.from_list(rows, features=features).save_to_disk(str(folder))
    return folder


def change(path, edit):
    found = json.loads(path.read_text())
    edit(found)
    path.write_text(json.dumps(found))


def read(folder):
    return list(saved.rows_of(saved.load_saved(folder)["train"], "train", Converter()))


def test_load_saved_returns_splits(tmp_path):
    one, two = Dataset.from_list([{"text": "a"}]), Dataset.from_list([{"text": "b"}])
    one.save_to_disk(str(tmp_path / "one"))
    DatasetDict(train=one, test=two).save_to_disk(str(tmp_path / "both"))
    assert list(saved.load_saved(tmp_path / "one")) == ["train"]
    assert {name: rows[0]["text"] for name, rows in saved.load_saved(tmp_path / "both").items()} == {
        "train": "a",
        "test": "b",
    }
    with pytest.raises(StudioError, match="was not saved by datasets"):
        saved.load_saved(tmp_path)


@pytest.mark.parametrize("name", ["../outside/" + ARROW, "{outside}/" + ARROW, "http://127.0.0.1:9/x.arrow", "a/b"])
@pytest.mark.parametrize("key", ["_data_files", "_indices_data_files"])
def test_load_saved_refuses_files_elsewhere(tmp_path, name, key):
    name = name.format(outside=save(tmp_path / "outside"))
    folder = save(tmp_path / "mine")
    change(folder / "state.json", lambda state: state.update({key: [{"filename": name}]}))
    with pytest.raises(StudioError, match="Expected the name of a file in the folder itself"):
        saved.load_saved(folder)


def test_load_saved_refuses_splits_and_links_elsewhere(tmp_path):
    save(tmp_path / "outside")
    DatasetDict(train=Dataset.from_list(ROWS)).save_to_disk(str(tmp_path / "mine"))
    (tmp_path / "mine" / "dataset_dict.json").write_text('{"splits": ["../outside"]}')
    with pytest.raises(StudioError, match=r"names the file '\.\./outside'"):
        saved.load_saved(tmp_path / "mine")
    linked = save(tmp_path / "linked")
    (linked / ARROW).unlink()
    (linked / ARROW).symlink_to(tmp_path / "outside" / ARROW)
    with pytest.raises(StudioError, match="has a link out of it"):
        saved.load_saved(linked)


@pytest.mark.parametrize(
    "state", [{"_format_type": "pandas"}, {"_format_type": "arrow"}, {"_format_columns": ["output"]}]
)
def test_rows_of_a_stored_output_format_are_complete(tmp_path, state):
    folder = save(tmp_path / "mine")
    change(folder / "state.json", lambda found: found.update(state))
    assert read(folder) == ROWS


@pytest.mark.parametrize("state", [[], {"_data_files": "x"}, {"_format_type": "custom"}])
def test_load_saved_with_a_damaged_state_is_refused(tmp_path, state):
    folder = save(tmp_path / "mine")
    change(folder / "state.json", lambda found: found.update(state) if state else None)
    if not state:
        (folder / "state.json").write_text("[]")
    with pytest.raises(StudioError, match="was not saved by datasets"):
        saved.load_saved(folder)


@pytest.mark.parametrize("kind", ["Image", "Audio", "Video", "Pdf", "Nifti", "Mesh"])
@pytest.mark.parametrize("is_listed", [False, True])
def test_rows_of_media_open_nothing_that_they_name(tmp_path, kind, is_listed):
    named = {"bytes": None, "path": str(tmp_path / "canary.png")}
    plain = {"bytes": Value("binary"), "path": Value("string")}
    value, feature = ([named], [plain]) if is_listed else (named, plain)
    folder = save(tmp_path / "mine", [{"text": "a", "pic": value}], Features({"text": Value("string"), "pic": feature}))
    shown = {"_type": "List", "feature": {"_type": kind}} if is_listed else {"_type": kind}
    change(folder / "dataset_info.json", lambda info: info["features"].update(pic=shown))
    # The file does not exist: to decode it would fail.
    assert read(folder) == [{"text": "a", "pic": value}]


def test_rows_of_json_columns_are_decoded(tmp_path):
    rows = [{"tools": {"a": 1}}, {"tools": ["b"]}]
    assert read(save(tmp_path / "mine", rows, Features({"tools": Json()}))) == rows
