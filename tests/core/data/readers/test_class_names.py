"""Numbers of classes are read as the names that the file keeps beside its rows or in its schema."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Sequence, Value

from core.data.readers import read_rows

NAMES = ["neg", "pos"]
ROWS = [{"text": "I like it.", "label": 1}, {"text": "I hate it.", "label": 0}, {"text": "Unmarked.", "label": None}]
NAMED = ["pos", "neg", None]
FEATURES = Features({"text": Value("string"), "label": ClassLabel(names=NAMES)})


def read(path):
    notes = []
    return [found.row for found in read_rows(path, path.name, note=notes.append)], notes


def read_json(folder, value):
    path = folder / "rows.json"
    path.write_text(json.dumps(value))
    return read(path)


FILES = {
    "label_names": {"label_names": NAMES, "data": ROWS},
    "labels": {"labels": NAMES, "data": ROWS},
    "classes": {"version": "1.0", "classes": NAMES, "examples": ROWS},
    "id2label": {"id2label": {"0": "neg", "1": "pos"}, "data": ROWS},
    "label2id": {"label2id": {"pos": 1, "neg": 0}, "data": ROWS},
    "labelMap": {"labelMap": {"neg": 0, "pos": 1}, "data": ROWS},
    "one level deeper": {"info": {"label_names": NAMES}, "data": ROWS},
    "splits": {"label_names": NAMES, "train": ROWS[:2], "test": ROWS[2:]},
    "objects with ids": {"labels": [{"id": 0, "name": "neg"}, {"id": 1, "name": "pos"}], "data": ROWS},
    "the viewer of the Hub": {
        "features": [{"name": "label", "type": {"names": NAMES, "_type": "ClassLabel"}}],
        "rows": [{"row_idx": i, "row": row} for i, row in enumerate(ROWS)],
    },
}


@pytest.mark.parametrize("name", FILES)
def test_classes_beside_the_rows_are_named(tmp_path, name):
    rows, notes = read_json(tmp_path, FILES[name])
    assert [row["label"] for row in rows] == NAMED
    assert any("the numbers in 'label' are read as the names that the file gives them (neg, pos)" in n for n in notes)


OTHERS = {
    "a number without a name": {"label_names": NAMES, "data": [*ROWS, {"text": "Odd.", "label": 2}]},
    "numbers from 1": {"label_names": NAMES, "data": [{"text": "Odd.", "label": 2}, {"text": "Even.", "label": 1}]},
    "names of something else": {"authors": NAMES, "data": ROWS},
    "names twice": {"label_names": ["pos", "pos"], "data": ROWS},
}


@pytest.mark.parametrize("name", OTHERS)
def test_numbers_without_certain_names_stay_and_the_list_is_noted(tmp_path, name):
    rows, notes = read_json(tmp_path, OTHERS[name])
    assert [row["label"] for row in rows] == [row["label"] for row in OTHERS[name]["data"]]
    assert any("which is not read" in note for note in notes)


def test_classes_of_a_schema_are_named_at_any_depth(tmp_path):
    features = Features(
        {**FEATURES, "tags": Sequence(ClassLabel(names=["O", "B-PER"])), "more": {"kind": ClassLabel(names=["a", "b"])}}
    )
    rows = [row | {"tags": [0, 1], "more": {"kind": 1}} for row in ROWS]
    table = Dataset.from_list(rows, features=features)
    table.to_parquet(str(tmp_path / "rows.parquet"))
    found, notes = read(tmp_path / "rows.parquet")
    assert [row["label"] for row in found] == NAMED
    assert found[0]["tags"] == ["O", "B-PER"]
    assert found[0]["more"] == {"kind": "b"}
    assert len([note for note in notes if "the names that the file gives them" in note]) == 3


@pytest.mark.parametrize(
    "metadata",
    [
        b"{",
        b"[]",
        b'{"info": {"features": 3}}',
        b'{"info": {"features": {"label": 1}}}',
        b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": 3}}}}',
    ],
)
def test_metadata_that_names_no_classes_changes_nothing(tmp_path, metadata):
    table = pa.Table.from_pylist(ROWS).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "rows.parquet")
    found, notes = read(tmp_path / "rows.parquet")
    assert ([row.get("label") for row in found], notes) == ([1, 0, None], [])


def test_viewer_features_without_a_name_are_passed_over(tmp_path):
    features = [3, {"name": {"a": 1}}, {"type": "label"}]
    rows, notes = read_json(tmp_path, {"features": features, "rows": [{"row_idx": 0, "row": ROWS[0]}]})
    assert (rows, notes) == ([ROWS[0]], [])
