"""Lines of a file in bounded memory, with encoding, compression and progress."""

import codecs
import gzip
import io

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from core.data.readers import lines
from core.data.readers.lines import LineSource
from core.errors import StudioError


def source(tmp_path, data: bytes, name: str = "rows.jsonl") -> LineSource:
    path = tmp_path / name
    path.write_bytes(data)
    return LineSource(path, name)


def read(tmp_path, data: bytes, name: str = "rows.jsonl") -> list[tuple[int, str | None]]:
    with source(tmp_path, data, name) as opened:
        return list(opened.lines())


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ],
)
def test_line_source_with_byte_order_mark_uses_and_skips_it(tmp_path, mark, encoding):
    assert read(tmp_path, mark + "é 🎈\nb".encode(encoding)) == [(1, "é 🎈\n"), (2, "b")]


def pack_gz(data: bytes) -> bytes:
    return gzip.compress(data)


def pack_zst(data: bytes) -> bytes:
    """Return two consecutive frames, like the output of `cat a.zst b.zst`."""
    packer = zstandard.ZstdCompressor()
    half = len(data) // 2
    return packer.compress(data[:half]) + packer.compress(data[half:])


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", pack_gz), (".zst", pack_zst)])
def test_line_source_decompresses_and_rejects_damage(tmp_path, suffix, pack):
    data = "".join(f"line {i}\n" for i in range(3000)).encode()
    name = f"rows.jsonl{suffix}"
    assert [text for _, text in read(tmp_path, pack(data), name)] == data.decode().splitlines(keepends=True)
    for damaged in (pack(data)[:-20], pack(data)[:40] + b"\xff" * 40):
        with pytest.raises(StudioError, match="cannot be unpacked"):
            read(tmp_path, damaged, name)


def test_line_source_reports_invalid_bytes(tmp_path):
    with source(tmp_path, b"caf\xe9\ncaf\xc3\xa9 \xc3\xa9\n") as opened:
        [(_, first), (_, second)] = opened.lines()
        assert opened.broken(first) == "is not UTF-8 text (byte 0xe9)"
        assert opened.broken(second) is None


def test_line_source_skips_endless_line_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "ROW_LIMIT", 100)
    assert read(tmp_path, b"a\n" + b"x" * 450 + b"\nb\n") == [(1, "a\n"), (2, None), (3, "b\n")]


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\ufeff")))
def test_line_source_yields_lines_of_any_text(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("lines", numbered=True)
    joined = "".join(line for _, line in read(folder, text.encode()))
    assert joined == text
    assert len(read(folder, text.encode())) == len(io.StringIO(text, newline="").readlines()) or "\r" in text


def test_line_source_progress_grows_to_one(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("x" * 100 + "\n" * 5000)
    shares: list[float] = []
    with LineSource(path, path.name, shares.append) as opened:
        list(opened.lines())
    assert shares == sorted(shares)
    assert 0 < shares[-1] <= 1
