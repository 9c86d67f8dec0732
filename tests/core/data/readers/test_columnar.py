"""Parquet files and saved datasets: types, bytes, splits and damage."""

import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Value

from core.data.readers import columnar, read_rows
from core.errors import StudioError


def test_read_parquet_numbers_rows_and_converts_other_types(tmp_path):
    path = tmp_path / "rows.parquet"
    day = datetime.date(2026, 1, 2)
    rows = [{"text": "a", "n": 1, "day": day, "blob": b"xyz", "sum": Decimal("1.50"), "turns": [{"role": "user"}]},
            {"text": None, "n": None, "day": None, "blob": None, "sum": None, "turns": None}]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), path)
    found = list(read_rows(path, path.name))
    assert [r.line for r in found] == [1, 2]
    assert found[0].row == {
        "text": "a", "n": 1, "day": "2026-01-02", "blob": "xyz", "sum": "1.50", "turns": [{"role": "user"}]
    }  # fmt: skip
    assert set(found[1].row.values()) == {None}


def test_read_parquet_of_damaged_file_is_rejected(tmp_path):
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1" + b"\0" * 100)
    with pytest.raises(StudioError, match="not a readable Parquet file"):
        list(read_rows(path, path.name))


def read_back(tmp_path, table: pa.Table) -> tuple[list[dict], list[str]]:
    path, notes = tmp_path / "rows.parquet", []
    pq.write_table(table, path)
    return [read.row for read in read_rows(path, path.name, note=notes.append)], notes


BYTES = [b"caf\xc3\xa9", b"plain", None]


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.binary()), pa.binary_view()], ids=str
)
def test_read_parquet_decodes_text_in_every_binary_type(tmp_path, kind):
    rows, notes = read_back(tmp_path, pa.table({"text": pa.array(BYTES, pa.binary()).cast(kind)}))
    assert [row["text"] for row in rows] == ["café", "plain", None]
    assert notes == ["the column 'text' holds bytes; 2 values are read as UTF-8 text"]


def test_read_parquet_decodes_nested_and_fixed_size_bytes(tmp_path):
    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.binary())]))
    table = pa.table({
        "code": pa.array([b"abc", b"abd"], pa.binary(3)),
        "messages": pa.array([[{"role": "user", "content": b"hi"}]] * 2, turns),
    })  # fmt: skip
    rows, notes = read_back(tmp_path, table)
    assert rows[0] == {"code": "abc", "messages": [{"role": "user", "content": "hi"}]}
    assert len(notes) == 2


def test_read_parquet_leaves_out_other_bytes_with_note(tmp_path):
    rows, notes = read_back(tmp_path, pa.table({"text": ["a", "b"], "image": [b"\x89PNG\r\n\xff", b"\0\1\2"]}))
    assert rows == [{"text": "a", "image": None}, {"text": "b", "image": None}]
    assert notes == ["the column 'image' holds bytes that are no text; 2 values are left out"]


def test_read_parquet_drops_null_fields_of_structs_only(tmp_path):
    calls = [[{"name": "move", "arguments": {"x": 0}}], [{"name": "weather", "arguments": {"city": "Oslo"}}], None]
    rows, _ = read_back(tmp_path, pa.table({"calls": calls, "note": [None, "a", None]}))
    assert [row["calls"] for row in rows] == calls
    assert [row["note"] for row in rows] == [None, "a", None]


def test_read_parquet_converts_values_of_other_types(tmp_path):
    table = pa.table({
        "score": pa.array([float("nan"), 0.5]),
        "tags": pa.array([[("a", 1)], [("b", 2), ("c", None)]], pa.map_(pa.string(), pa.int64())),
        "when": pa.array([datetime.datetime(2026, 1, 2, 3, 4), None]),
        "took": pa.array([datetime.timedelta(seconds=90), None]),
        "price": pa.array([Decimal("1.10"), None]),
        "none": pa.nulls(2),
    })  # fmt: skip
    rows, notes = read_back(tmp_path, table)
    assert rows[0] == {
        "score": None, "tags": {"a": 1}, "when": "2026-01-02T03:04:00", "took": "0:01:30", "price": "1.10",
        "none": None,
    }  # fmt: skip
    assert (rows[1]["score"], rows[1]["tags"], notes) == (0.5, {"b": 2}, [])


@pytest.mark.parametrize("kind", [pa.float32(), pa.float16(), pa.float64()], ids=str)
def test_read_parquet_writes_short_floats_with_their_own_digits(tmp_path, kind):
    values = pa.array([0.1, 3.25, -2.0, float("nan"), None]).cast(kind)
    table = pa.table({
        "score": values,
        "scores": pa.array([[value] for value in values.to_pylist()], pa.list_(kind)),
        "turns": pa.array([[{"weight": value}] for value in values.to_pylist()],
                          pa.list_(pa.struct([("weight", kind)]))),
        "by_name": pa.array([[("a", value)] for value in values.to_pylist()], pa.map_(pa.string(), kind)),
        "text": ["a", "b", "c", "d", "e"],
    })  # fmt: skip
    rows, _ = read_back(tmp_path, table)
    assert [row["score"] for row in rows] == [0.1, 3.25, -2.0, None, None]
    assert [row["scores"] for row in rows[:3]] == [[0.1], [3.25], [-2.0]]
    assert [row["turns"] for row in rows[:3]] == [[{"weight": 0.1}], [{"weight": 3.25}], [{"weight": -2.0}]]
    assert [row["by_name"] for row in rows[:3]] == [{"a": 0.1}, {"a": 3.25}, {"a": -2.0}]


def test_converter_writes_short_floats_of_saved_datasets_with_their_own_digits():
    table = Dataset.from_dict({"score": [0.1]}, features=Features(score=Value("float32")))
    converter = columnar.Converter()
    converter.use_schema(table.features.arrow_schema)
    assert converter.row(1, table[0]).row == {"score": 0.1}


def stamps(value: int, kind: pa.DataType) -> pa.Array:
    return pa.array([value], pa.int64()).cast(pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)


# Values that Arrow holds and Python does not.
NO_VALUES = {
    "date": stamps(2**31 - 1, pa.date32()),
    "duration": stamps(2**62, pa.duration("s")),
    "time zone": stamps(1, pa.timestamp("us", tz="../../etc/passwd")),
    "text": pa.StringArray.from_buffers(1, pa.array([0, 3], pa.int32()).buffers()[1], pa.py_buffer(b"a\xff\xfe")),
    "fields of one name": pa.StructArray.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["k", "k"]),
}


@pytest.mark.parametrize("name", NO_VALUES)
def test_read_parquet_leaves_out_and_counts_what_python_cannot_hold(tmp_path, name):
    rows, notes = read_back(tmp_path, pa.table({"prompt": ["Why?"], "odd": NO_VALUES[name]}))
    assert rows == [{"prompt": "Why?", "odd": None}]
    assert len(notes) == 1
    assert "'odd' holds values that cannot be read" in notes[0]
    assert "1 value is left out" in notes[0]


@pytest.mark.parametrize(
    ("pairs", "key", "expected"),
    [
        ([("a", 1), ("b", 2)], pa.string(), {"a": 1, "b": 2}),
        ([("a", 1), ("a", 2)], pa.string(), [["a", 1], ["a", 2]]),
        ([([1], 1)], pa.list_(pa.int32()), [[[1], 1]]),
    ],
)
def test_read_parquet_keeps_every_entry_of_a_map(tmp_path, pairs, key, expected):
    rows, notes = read_back(tmp_path, pa.table({"m": pa.array([pairs], pa.map_(key, pa.int32()))}))
    assert rows == [{"m": expected}]
    assert notes == []


def test_check_columns_refuses_two_of_one_name():
    with pytest.raises(StudioError, match=r"'a\.arrow' has two columns called 'output'"):
        columnar.check_columns(["prompt", "output", "output"], "a.arrow")
