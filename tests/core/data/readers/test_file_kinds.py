"""Files that hold no text under the name of one that does: each is named, with what to do."""

import io
import zipfile

import pytest
from PIL import Image

from core.data.readers import read_rows
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
    "a Parquet file, although its name says text. Name it .parquet": b"PAR1" + bytes(64),
}


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
def test_renamed_file_is_named_by_its_content(tmp_path, what, name):
    path = tmp_path / name
    path.write_bytes(FILES[what])
    with pytest.raises(StudioError, match=what) as refused:
        list(read_rows(path, name))
    assert str(refused.value).startswith(f"{name!r} is a")
    assert str(refused.value).endswith(".")


def test_renamed_picture_named_parquet_is_named_by_its_content(tmp_path):
    path = tmp_path / "rows.parquet"
    path.write_bytes(FILES["a PNG picture"])
    with pytest.raises(StudioError, match=r"a PNG picture, although its name ends in \.parquet"):
        list(read_rows(path, path.name))


@pytest.mark.parametrize("text", ["RIFFs of a guitar,b\n1,2\n", "MM,b\n1,2\n", "ID3,b\n1,2\n", "GIF,b\n1,2\n"])
def test_text_that_begins_like_a_signature_is_read(tmp_path, text):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    assert len(list(read_rows(path, path.name))) == 1
