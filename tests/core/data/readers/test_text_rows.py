"""Text files: paragraphs or lines become rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.readers import read_rows

WORDS = st.text(st.sampled_from("abcdé "), min_size=1, max_size=8).filter(str.strip)


def read(folder, data: bytes) -> list:
    path = folder / "prose.txt"
    path.write_bytes(data)
    return list(read_rows(path, path.name))


@given(paragraphs=st.lists(st.lists(WORDS, min_size=1, max_size=3), min_size=2, max_size=5))
def test_read_text_with_empty_lines_yields_paragraphs(tmp_path_factory, paragraphs):
    text = "\n\n".join("\n".join(lines) for lines in paragraphs)
    found = read(tmp_path_factory.mktemp("t"), text.encode())
    assert [r.row["text"] for r in found] == ["\n".join(lines) for lines in paragraphs]


def test_read_text_without_empty_lines_yields_lines(tmp_path):
    found = read(tmp_path, b"one\r\ntwo\r\nthree")
    assert [(r.line, r.row["text"]) for r in found] == [(1, "one"), (2, "two"), (3, "three")]


def test_read_text_reports_invalid_bytes(tmp_path):
    found = read(tmp_path, "fine ä ö ü\n\ncaf".encode() + b"\xe9\n\nfine too\n")
    assert [(r.line, r.row and r.row["text"], r.trouble) for r in found] == [
        (1, "fine ä ö ü", ""),
        (3, None, "is not UTF-8 text (byte 0xe9)"),
        (5, "fine too", ""),
    ]


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_read_text_normalizes_line_ends(tmp_path, ends):
    found = read(tmp_path, ends.join([b"a", b"b", b"", b"c"]))
    assert [r.row["text"] for r in found] == ["a\nb", "c"]
