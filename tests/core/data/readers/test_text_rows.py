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
def test_empty_lines_part_paragraphs(tmp_path_factory, paragraphs):
    text = "\n\n".join("\n".join(lines) for lines in paragraphs)
    found = read(tmp_path_factory.mktemp("t"), text.encode())
    assert [r.row["text"] for r in found] == ["\n".join(lines) for lines in paragraphs]


def test_without_empty_lines_a_row_is_a_line(tmp_path):
    found = read(tmp_path, b"one\r\ntwo\r\nthree")
    assert [(r.line, r.row["text"]) for r in found] == [(1, "one"), (2, "two"), (3, "three")]


def test_a_row_that_is_no_text_is_told(tmp_path):
    found = read(tmp_path, "fine ä ö ü\n\ncaf".encode() + b"\xe9\n\nfine too\n")
    assert [(r.line, r.row and r.row["text"], r.trouble) for r in found] == [
        (1, "fine ä ö ü", ""),
        (3, None, "is not UTF-8 text (byte 0xe9)"),
        (5, "fine too", ""),
    ]


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_line_ends_inside_a_paragraph_are_line_feeds(tmp_path, ends):
    found = read(tmp_path, ends.join([b"a", b"b", b"", b"c"]))
    assert [r.row["text"] for r in found] == ["a\nb", "c"]
