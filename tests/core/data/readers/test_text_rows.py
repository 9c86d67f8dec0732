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


def test_read_markdown_as_text(tmp_path):
    path = tmp_path / "manual.md"
    path.write_text("# Lamps\n\nTrim the wick.\n\n| a | b |\n|---|---|\n")
    assert [r.row["text"] for r in read_rows(path, path.name)] == ["# Lamps", "Trim the wick.", "| a | b |\n|---|---|"]


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


TABLE = (
    "Question\tAnswer\r\nHow do tides come about?\tThe moon.\r\nWhy is it salty?\tRivers.\r\nWhat is it?\tA keel.\r\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_read_text_reads_table_between_tabs(tmp_path, encoding):
    path, notes = tmp_path / "unicode.txt", []
    path.write_bytes(TABLE.encode(encoding))
    rows = [found.row for found in read_rows(path, path.name, note=notes.append)]
    assert rows[0] == {"Question": "How do tides come about?", "Answer": "The moon."}
    assert len(rows) == 3
    assert any("read like a .tsv file" in note for note in notes)


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        ("\tOne day.\n\tIt rained.\n\tThen not.\n", True),
        ("Go.\tGeh.\nHi!\tHallo!\nRun.\tLauf.\n", True),
        ("Anna\tHello there\nBen\tHi\nAnna\tBye\nAnna\tWell\n", True),
        ("one\ttwo\nthree\nfour\nfive\n", False),
        ("one\ntwo\nthree\n", False),
    ],
)
def test_read_text_keeps_tabs_without_header(tmp_path, text, noted):
    path, notes = tmp_path / "prose.txt", []
    path.write_text(text)
    rows = [found.row for found in read_rows(path, path.name, note=notes.append)]
    assert [row["text"] for row in rows] == text.splitlines()
    assert bool(notes) == noted


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("Chapter 1\n\nThe ship left.\n\nNobody spoke.\n", 3),
        ("One.\ntwo\n\n\nThree.\n", 2),
        ("One.\r\n\r\nTwo.\r\n", 2),
        ("Only one paragraph\nof two lines\n\n", 0),
        ("One line.\nAnother.\n", 0),
    ],
)
def test_read_text_notes_the_number_of_paragraphs(tmp_path, text, rows):
    path, notes = tmp_path / "prose.txt", []
    path.write_bytes(text.encode())
    found = list(read_rows(path, path.name, note=notes.append))
    if rows:
        assert len(found) == rows
        assert f"one row per paragraph ({rows} rows)" in notes[-1]
        assert "continued pre-training" in notes[-1]
    else:
        assert not notes


@pytest.mark.parametrize("token", ["__eou__", "<eot>", "[EOU]"])
def test_read_lines_with_tokens_of_turns_as_conversations(tmp_path, token):
    lines = [f"Hello {i} . {token} Good day . {token}" for i in range(4)]
    found = read(tmp_path, "\n".join(lines).encode())
    assert [r.row for r in found] == [{"messages": [f"Hello {i} .", "Good day ."]} for i in range(4)]
    # A line without the token shows that it has another meaning.
    assert read(tmp_path, "\n".join([*lines, "Plain."]).encode())[0].row == {"text": lines[0]}
