import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.readers import BadLine, read_rows
from core.errors import StudioError


def rows_of(tmp_path, name: str, content: bytes) -> list:
    (tmp_path / name).write_bytes(content)
    return list(read_rows(tmp_path / name, name))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'\xef\xbb\xbf{"a": "1"}\r\n\r\n{"a": "2"}'),
        ("a.json", b'[{"a": "1"}, {"a": "2"}]'),
        ("a.json", b'{"data": [{"a": "1"}, {"a": "2"}]}'),
        ("a.json", b'{"a": "1"}\n{"a": "2"}\n'),
        ("a.CSV", b"\xef\xbb\xbfa\r\n1\r\n2\r\n"),
    ],
)
def test_text_files_are_read_whatever_their_line_ends_and_marks(tmp_path, name, content):
    assert rows_of(tmp_path, name, content) == [{"a": "1"}, {"a": "2"}]


def test_csv_keeps_quotes_commas_and_line_breaks(tmp_path):
    assert rows_of(tmp_path, "a.csv", b'a,b\n"x, ""y""\nz",2\n') == [{"a": 'x, "y"\nz', "b": "2"}]


def test_parquet_keeps_nested_rows(tmp_path):
    rows = [{"messages": [{"role": "user", "content": "?"}]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert list(read_rows(tmp_path / "a.parquet", "a.parquet")) == rows


def test_a_bad_line_is_told_by_its_number_and_the_rest_is_read(tmp_path):
    good, bad, number, deep, last = rows_of(
        tmp_path, "a.jsonl", b'{"a": 1}\n{"a": \n3\n' + b"[" * 100_000 + b'\n{"a": 2}\n'
    )
    assert (good, last) == ({"a": 1}, {"a": 2})
    assert [str(row)[:7] for row in (bad, number, deep)] == ["line 2 ", "line 3 ", "line 4 "]
    assert all(isinstance(row, BadLine) for row in (bad, number, deep))


def test_a_ragged_csv_row_is_told_by_its_number(tmp_path):
    _, bad = rows_of(tmp_path, "a.csv", b"a,b\n1,2\n3\n")
    assert "line 3" in str(bad)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.txt", b"x", "ends in '.txt'"),
        ("a", b"x", "Expected one of"),
        ("a.jsonl", b'{"a": "\xff"}', "is not UTF-8"),
        ("a.json", b"{", "is not JSON"),
        ("a.json", b"3", "holds one int"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.parquet", b"PAR1 nonsense PAR1", "not a readable Parquet file"),
        ("a.csv", b'a,b\n"1,2\n', "is not CSV"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_sentence_with_its_name(tmp_path, name, content, words):
    with pytest.raises(StudioError, match=r"'a(\.\w+)?'") as caught:
        rows_of(tmp_path, name, content)
    assert words in str(caught.value)
