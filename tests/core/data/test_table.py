"""Opened datasets are found by id and listed."""

import json

import pytest

from core.access.roles import Caller, Role, acting
from core.data import table
from core.data.table import Source
from core.errors import StudioError
from tests.helpers.datasets import open_dataset

ROW = {"instruction": "Add", "output": "2"}


def test_find_dataset_by_id_and_list_in_order_of_opening(settings, tmp_path):
    first = open_dataset(settings, tmp_path, [ROW], "b.jsonl")
    second = open_dataset(settings, tmp_path, [ROW, ROW], "a.jsonl")
    assert table.find(settings, first.id) == first
    assert [d.id for d in table.opened_datasets(settings)] == [first.id, second.id]


def test_find_unknown_or_outside_dataset_is_rejected(settings, tmp_path):
    known = open_dataset(settings, tmp_path, [ROW]).id
    with pytest.raises(StudioError, match=f"no open dataset 'none'. Opened so far: {known}"):
        table.find(settings, "none")
    for name in ("../home", "/etc", "a/b", ".hidden"):
        with pytest.raises(StudioError, match="cannot be used as a"):
            table.find(settings, name)


def test_opened_datasets_skips_other_layouts(settings, tmp_path):
    data = open_dataset(settings, tmp_path, [ROW])
    about = table.folder(settings, data.id) / "about.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"layout": 1}))
    assert table.opened_datasets(settings) == []
    # The dataset is stored again, in the current layout.
    assert open_dataset(settings, tmp_path, [ROW]) == data


@pytest.mark.parametrize("content", ["{", "[1]", '{"id": "s"}', "\xff"])
def test_damaged_description_hides_no_other_dataset_and_is_written_again(settings, tmp_path, content):
    fine = open_dataset(settings, tmp_path, [ROW], "fine.jsonl")
    damaged = open_dataset(settings, tmp_path, [ROW, ROW], "damaged.jsonl")
    (table.folder(settings, damaged.id) / "about.json").write_text(content, encoding="latin-1")
    assert table.opened_datasets(settings) == [fine]
    with pytest.raises(StudioError, match=f"about.json of the dataset '{damaged.id}' cannot be read"):
        table.find(settings, damaged.id)
    with acting(Caller(Role.VISITOR, "x")), pytest.raises(StudioError, match="There is no open dataset"):
        table.find(settings, damaged.id)
    assert open_dataset(settings, tmp_path, [ROW, ROW], "damaged.jsonl") == damaged


def test_source_describe_and_dataset_id_use_name_and_content():
    source = Source(kind="hub", name="a/b", key="0123456789abcdef", revision="f" * 40, config="de", split="train")
    assert source.describe() == "a/b, configuration de, split train, revision ffffffff"
    assert table.dataset_id(source) == "b-0123456789ab"
