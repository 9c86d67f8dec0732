"""The reader of a file, selected by its ending."""

import pytest

from core.data.readers import SUFFIXES, kind_of, read_rows
from core.errors import StudioError


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_kind_of_accepts_endings_in_any_case(suffix):
    assert kind_of(f"Some.Name{suffix.upper()}") == suffix


def test_read_rows_rejects_unknown_endings_and_empty_files(tmp_path):
    path = tmp_path / "rows.xlsx"
    path.write_bytes(b"x")
    with pytest.raises(StudioError, match=r"'rows.xlsx' cannot be opened.*\.jsonl.*\.gz or \.zst"):
        list(read_rows(path, path.name))
    empty = tmp_path / "rows.csv"
    empty.touch()
    with pytest.raises(StudioError, match=r"'rows\.csv' is empty"):
        list(read_rows(empty, empty.name))
