"""The reader of a file, selected by its ending."""

import gzip

import pytest
import zstandard

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


INSIDE = {
    "JSON lines": b'{"text": "a b"}\n' * 3,
    "JSON": b'[{"text": "a b"},\n {"text": "c"}]',
    "a table": b"prompt,completion\na,b\nc,d\ne,f\n",
    "plain text. If it is a table, name it .csv": b"one line\nand another\n",
}


@pytest.mark.parametrize("pack", [".gz", ".zst"])
@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("stem", ["pile", "pile-2024", "pile.v1"])
def test_read_rows_compressed_file_without_an_inner_ending_is_read_by_its_content(tmp_path, stem, inside, pack):
    path = tmp_path / f"{stem}{pack}"
    path.write_bytes({".gz": gzip.compress, ".zst": zstandard.compress}[pack](INSIDE[inside]))
    notes = []
    assert len(list(read_rows(path, path.name, note=notes.append))) > 1
    assert f"it is read as {inside}" in notes[0]


@pytest.mark.parametrize("name", ["rows.tar.gz", "dump.sql.zst", "page.html.gz", "x.exe", "rows"])
def test_kind_of_other_endings_is_unknown(name):
    assert kind_of(name) is None
