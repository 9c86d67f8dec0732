import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from core.data.readers import columnar, read_rows
from core.errors import StudioError


def test_parquet_rows_come_with_their_numbers_and_what_json_cannot_say_as_text(tmp_path):
    path = tmp_path / "rows.parquet"
    day = datetime.date(2026, 1, 2)
    rows = [{"text": "a", "n": 1, "day": day, "blob": b"xyz", "sum": Decimal("1.50"), "turns": [{"role": "user"}]},
            {"text": None, "n": None, "day": None, "blob": None, "sum": None, "turns": None}]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), path)
    found = list(read_rows(path, path.name))
    assert [r.line for r in found] == [1, 2]
    assert found[0].row == {
        "text": "a", "n": 1, "day": "2026-01-02", "blob": "<3 bytes>", "sum": "1.50", "turns": [{"role": "user"}]
    }  # fmt: skip
    assert set(found[1].row.values()) == {None}


def test_a_damaged_parquet_file_is_a_sentence(tmp_path):
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1" + b"\0" * 100)
    with pytest.raises(StudioError, match="not a readable Parquet file"):
        list(read_rows(path, path.name))


def test_folders_that_datasets_saved_are_loaded_with_their_splits(tmp_path):
    one, two = Dataset.from_list([{"text": "a"}]), Dataset.from_list([{"text": "b"}])
    one.save_to_disk(str(tmp_path / "one"))
    DatasetDict(train=one, test=two).save_to_disk(str(tmp_path / "both"))
    assert list(columnar.load_saved(tmp_path / "one")) == ["train"]
    assert {name: rows[0]["text"] for name, rows in columnar.load_saved(tmp_path / "both").items()} == {
        "train": "a",
        "test": "b",
    }
    with pytest.raises(StudioError, match="no folder that datasets saved"):
        columnar.load_saved(tmp_path)
