"""Tests of core/data/readers/encoding.py: one encoding per file, with a note if it is not UTF-8."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.readers import read_rows

WESTERN = "Grüße aus Köln, à bientôt – señor, 5 € für «Käse»\n"


def read(folder, data: bytes, name: str = "rows.txt") -> tuple[list, list[str]]:
    path, notes = folder / name, []
    path.write_bytes(data)
    return list(read_rows(path, name, note=notes.append)), notes


@pytest.mark.parametrize("codec", ["cp1252", "latin-1"])
def test_detect_western_european_file_is_windows_1252_with_note(tmp_path, codec):
    text = WESTERN if codec == "cp1252" else WESTERN.replace("–", "-").replace("€", "EUR")
    rows, [note] = read(tmp_path, text.encode(codec) * 3)
    assert [row.row["text"] for row in rows] == [text.strip()] * 3
    assert "is read as Windows-1252" in note


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-8"])
def test_detect_unicode_encodings_are_read_with_and_without_mark(tmp_path, codec):
    rows, _ = read(tmp_path, (WESTERN * 3).encode(codec))
    assert [row.row["text"] for row in rows] == [WESTERN.strip()] * 3


def test_detect_damaged_utf8_reports_only_its_line(tmp_path):
    rows, notes = read(tmp_path, WESTERN.encode() * 2 + b"caf\xe9\n" + WESTERN.encode())
    assert [row.trouble for row in rows] == ["", "", "is not UTF-8 text (byte 0xe9)", ""]
    assert notes == []


@pytest.mark.parametrize(
    ("text", "codec", "label"),
    [
        ("Привет, как дела?\n", "cp1251", "WINDOWS-1251"),
        ("こんにちは、灯台守さん\n", "shift_jis", "SHIFT_JIS"),
        ("你好吗，灯塔看守人\n", "gb18030", "GB18030"),
        ("你好嗎，燈塔看守人\n", "big5", "BIG5"),
        ("안녕하세요 등대지기\n", "euc_kr", "EUC-KR"),
    ],
)
def test_detect_other_alphabets_advises_how_to_convert(tmp_path, text, codec, label):
    rows, [note] = read(tmp_path, (text * 5).encode(codec))
    assert {row.trouble[:15] for row in rows} == {"is not UTF-8 te"}
    assert label in note
    assert "Convert it: iconv -f " in note


def test_detect_bytes_of_no_encoding_advise_without_a_name(tmp_path):
    _, [note] = read(tmp_path, b"\x98\xff\xfe\xff\n" * 5)
    assert note == "'rows.txt' is not UTF-8, and its other lines are left out. Convert it: iconv -f ENCODING -t UTF-8"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0\ufeff"), min_size=1, max_size=40))
def test_detect_valid_utf8_is_utf8(tmp_path_factory, text):
    rows, notes = read(tmp_path_factory.mktemp("utf8"), (text + "\n").encode())
    assert [row.row["text"] for row in rows] == ([text] if text.strip() else [])
    assert notes == []
