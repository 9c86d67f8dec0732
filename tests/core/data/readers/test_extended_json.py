"""MongoDB's extended JSON is read as the values that it stands for, with a note; other objects stay."""

import json

import pytest

from core.data.readers import read_rows

ID = {"_id": {"$oid": "64b7f0c2a1b2c3d4e5f60001"}}
PLAIN_ID = {"_id": "64b7f0c2a1b2c3d4e5f60001"}


def read(folder, row):
    path, notes = folder / "dump.jsonl", []
    path.write_text(json.dumps(row) + "\n")
    [found] = read_rows(path, path.name, note=notes.append)
    assert json.loads(found.raw) == found.row
    return found.row, notes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"$numberInt": "1"}, 1),
        ({"$numberLong": "-3"}, -3),
        ({"$numberDouble": "0.5"}, 0.5),
        ({"$numberDouble": "NaN"}, "NaN"),
        ({"$numberDecimal": "12.50"}, 12.5),
        ({"$date": "2024-01-01T00:00:00Z"}, "2024-01-01T00:00:00Z"),
        ({"$date": {"$numberLong": "1700000000000"}}, 1700000000000),
        ([{"role": "user", "weight": {"$numberInt": "0"}}], [{"role": "user", "weight": 0}]),
        ({"$numberInt": "9" * 100}, {"$numberInt": "9" * 100}),
        ({"$binary": {"base64": "YQ=="}}, {"$binary": {"base64": "YQ=="}}),
    ],
)
def test_value_is_the_one_that_it_stands_for(tmp_path, value, expected):
    row, notes = read(tmp_path, {**ID, "label": value})
    assert row == {**PLAIN_ID, "label": expected}
    assert "extended JSON" in notes[0]


@pytest.mark.parametrize(
    "row",
    [
        {"answer": {"find": {"_id": {"$oid": "64b7"}}}},
        {"query": {"$gt": 3}},
        {"messages": [{"role": "assistant", "tool_calls": [{"arguments": {"_id": {"$oid": "64b7"}}}]}]},
    ],
)
def test_objects_deeper_in_a_row_stay(tmp_path, row):
    assert read(tmp_path, row) == (row, [])


def test_arguments_of_a_call_stay(tmp_path):
    calls = [{"name": "find", "arguments": {"_id": {"$oid": "64b7"}}}]
    assert read(tmp_path, {**ID, "tool_calls": calls})[0] == {**PLAIN_ID, "tool_calls": calls}
