"""Files that hold no text under the name of one that does: each is named, with what to do."""

import gzip
import io
import json
import re
import tarfile
import zipfile

import pytest
import zstandard
from PIL import Image

from core.data.readers import file_kinds, read_rows
from core.errors import StudioError


def picture(kind: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, kind)
    return data.getvalue()


def archive(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        for name in names:
            made.writestr(name, "x")
    return data.getvalue()


def office(stream: str) -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + stream.encode("utf-16-le") + bytes(64)


def tar() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as made:
        made.addfile(tarfile.TarInfo("rows.jsonl"))
    return data.getvalue()


SUBTITLES = b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n2\n00:00:03,000 --> 00:00:04,000\nBye\n"
FILES = {
    "a PNG picture": picture("PNG"),
    "a JPEG picture": picture("JPEG"),
    "a GIF picture": picture("GIF"),
    "a WebP picture": picture("WEBP"),
    "a TIFF picture": picture("TIFF"),
    "a PDF document": picture("PDF"),
    "a Word document": archive("[Content_Types].xml", "word/document.xml"),
    "an Excel workbook": archive("[Content_Types].xml", "xl/workbook.xml"),
    "a PowerPoint presentation": archive("[Content_Types].xml", "ppt/presentation.xml"),
    "an OpenDocument file": archive("mimetype", "content.xml"),
    "a PyTorch file": archive("model/data.pkl"),
    "a ZIP archive": archive("rows.jsonl"),
    "a ZIP archive, although its name says text. Unpack it": b"PK\x03\x04 and not a whole one",
    "an old version|a document of an old version of Word": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64),
    "a WAV recording": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "an MP4 video": b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00",
    "an Excel workbook (.xls)": office("Workbook"),
    "a Word document (.doc)": office("WordDocument"),
    "an archive of NumPy arrays": archive("a.npy"),
    "a NumPy array": b"\x93NUMPY\x01\x00",
    "a Python pickle": b"\x80\x04\x95\r\x00\x00\x00\x00\x00\x00\x00]\x94}\x94\x8c\x01a\x94K\x01sa.",
    "a Python pickle|old": b"\x80\x02]q\x00}q\x01X\x01\x00\x00\x00aq\x02K\x01sa.",
    "a TAR archive": tar(),
    "an SQLite database": b"SQLite format 3\x00" + bytes(64),
    "an Arrow file, although its name says text. Name it .arrow": b"ARROW1\x00\x00",
    "a Feather file of version 1": b"FEA1\x00\x00\x00\x00",
    "a file of subtitles|WebVTT": b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n",
    "a file of subtitles": SUBTITLES,
    "a file of subtitles|of Windows": b"\xef\xbb\xbf" + SUBTITLES.replace(b"\n", b"\r\n"),
    "a mailbox": b"From a@b.c Mon Jan  1\nReceived: by x\n  folded\nSubject: Hi\n\nBody\n",
    "a Jupyter notebook": json.dumps({"cells": [{"cell_type": "code", "source": ["x"]}], "nbformat": 4}).encode(),
    "a Parquet file, although its name says text. Name it .parquet": b"PAR1" + bytes(64),
}


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
def test_renamed_file_is_named_by_its_content(tmp_path, what, name):
    path = tmp_path / name
    path.write_bytes(FILES[what])
    # The part behind | distinguishes two files of one kind.
    with pytest.raises(StudioError, match=re.escape(what.partition("|")[0])) as refused:
        list(read_rows(path, name))
    assert str(refused.value).startswith(f"{name!r} is a")
    assert str(refused.value).endswith(".")


UNKNOWN = {
    "table.xlsx": (archive("xl/workbook.xml"), "an Excel workbook (.xlsx). Save the sheet as .csv"),
    "table.xls": (office("Workbook"), "an Excel workbook (.xls). Save the sheet as .csv"),
    "text.docx": (archive("word/document.xml"), "a Word document (.docx). Save its text as .txt"),
    "text.pdf": (b"%PDF-1.7\n", "a PDF document. Save its text as .txt"),
    "work.ipynb": (FILES["a Jupyter notebook"], "a Jupyter notebook. Save its text as .md"),
    "mail.mbox": (FILES["a mailbox"], "a mailbox (mbox). Save each message with its answer as a row of .jsonl"),
    "talk.srt": (SUBTITLES, "a file of subtitles. Save the spoken text without the times as .txt"),
    "talk.vtt": (FILES["a file of subtitles|WebVTT"], "a file of subtitles. Save the spoken text"),
    "a.npy": (FILES["a NumPy array"], "a NumPy array. Save its rows as .csv, .jsonl or .parquet"),
    "a.pkl": (FILES["a Python pickle"], "a Python pickle. It may run code when it is read"),
    "a.sqlite": (FILES["an SQLite database"], "an SQLite database. Export the table or query as .csv"),
    "a.tar": (tar(), "a TAR archive. Unpack it, and open a file from it"),
    "a.tar.gz": (gzip.compress(tar()), "a gzip file, and its name does not show which kind of text"),
    "a.sql.zst": (zstandard.compress(b"SELECT 1"), "Rename it, for example to data.csv.zst"),
    "a.feather": (FILES["a Feather file of version 1"], "a Feather file of version 1, although its name says Arrow"),
    # The content decides, not the name.
    "table.pdf": (archive("xl/workbook.xml"), "an Excel workbook (.xlsx). Save the sheet as .csv"),
    "table.parquet": (archive("xl/workbook.xml"), "an Excel workbook (.xlsx), although its name ends in .parquet"),
    "table.jsonl.gz": (gzip.compress(tar()), "holds a TAR archive, although its name says text. Unpack it"),
    "page.html": (b"<html></html>", "cannot be opened: its ending is unknown. Name a file by what it holds"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_file_of_another_kind_is_refused_with_the_next_step(tmp_path, name):
    path = tmp_path / name
    data, words = UNKNOWN[name]
    path.write_bytes(data)
    with pytest.raises(StudioError, match=re.escape(words)):
        list(read_rows(path, name))


def test_renamed_picture_named_parquet_is_named_by_its_content(tmp_path):
    path = tmp_path / "rows.parquet"
    path.write_bytes(FILES["a PNG picture"])
    with pytest.raises(StudioError, match=r"a PNG picture, although its name ends in \.parquet"):
        list(read_rows(path, path.name))


LIKE_SIGNATURES = [
    "RIFFs of a guitar,b\n1,2\n", "FEA1,b\n1,2\n", "WEB,b\n1,00:00:01 --> 2\n", "From a,b\n1,2\n", "MM,b\n1,2\n",
    "ID3,b\n1,2\n", "GIF,b\n1,2\n",
]  # fmt: skip


@pytest.mark.parametrize("text", LIKE_SIGNATURES)
def test_text_that_begins_like_a_signature_is_read(tmp_path, text):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    assert len(list(read_rows(path, path.name))) == 1


def test_kind_of_an_archive_reads_only_the_beginning_of_its_list(tmp_path, monkeypatch):
    path = tmp_path / "many.bin"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3_000):
            archive.writestr(zipfile.ZipInfo(f"word/{number}"), b"")
    assert file_kinds.kind_in_zip(path).name == "a Word document (.docx)"
    assert len(file_kinds._names_in_zip(path)) == 1_000
    monkeypatch.setattr(file_kinds, "_ZIP_LIST_BYTES", 1_000)
    assert 5 < len(file_kinds._names_in_zip(path)) < 30


@pytest.mark.parametrize("start", [2**32 - 1, 7])
def test_kind_of_an_archive_with_a_wrong_start_of_its_list_is_an_archive_or_better(tmp_path, start):
    path = tmp_path / "book.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", b"x")
    data = path.read_bytes()
    at = data.rindex(b"PK\x05\x06") + 16
    path.write_bytes(data[:at] + start.to_bytes(4, "little") + data[at + 4 :])
    assert file_kinds.kind_in_zip(path).name == "an Excel workbook (.xlsx)"
