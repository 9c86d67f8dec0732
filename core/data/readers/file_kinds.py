"""Kinds of files that hold no text, found by their first bytes, each with the sentence that says what to do.

A picture or a document that was renamed to .csv or .jsonl would otherwise be read as damaged text.
"""

import zipfile
from pathlib import Path
from typing import NamedTuple

# The first bytes that are compared; the signature of an ISO file (MP4) begins at byte 4.
HEAD_BYTES = 16
_PICTURE = "A picture has no rows. Choose a file of text, such as .jsonl or .csv"
_SOUND = "A recording has no rows. Choose a file with its transcript"
_ARCHIVE = "Unpack it, and open a file from it"
_TEXT = "Save its text as .txt, and open that file"
_SHEET = "Save the sheet as .csv, and open that file"
_TABLE = "Save its rows as .csv, .jsonl or .parquet, and open that file"
_PROGRAM = "Choose a file of text, such as .jsonl or .csv"


class FileKind(NamedTuple):
    """A kind of file and what to do with it, without a full stop."""

    name: str
    advice: str


PARQUET = FileKind("a Parquet file", "Name it .parquet, and open it again")
GZIP = FileKind("a gzip file", "Add .gz to its name, and open it again")
ZSTANDARD = FileKind("a Zstandard file", "Add .zst to its name, and open it again")
_ZIP = FileKind("a ZIP archive", _ARCHIVE)
_SIGNATURES = {
    b"\x1f\x8b": GZIP,
    b"\x28\xb5\x2f\xfd": ZSTANDARD,
    b"PAR1": PARQUET,
    b"PK\x03\x04": _ZIP,
    b"PK\x05\x06": FileKind("an empty ZIP archive", "Choose another file"),
    b"BZh": FileKind("a bzip2 file", _ARCHIVE),
    b"\xfd7zXZ\x00": FileKind("an xz file", _ARCHIVE),
    b"7z\xbc\xaf\x27\x1c": FileKind("a 7-Zip archive", _ARCHIVE),
    b"Rar!\x1a\x07": FileKind("a RAR archive", _ARCHIVE),
    b"ARROW1": FileKind("an Arrow file", _TABLE),
    b"SQLite format 3": FileKind("an SQLite database", _TABLE),
    b"\x89HDF\r\n": FileKind("an HDF5 file", _TABLE),
    b"\x93NUMPY": FileKind("a NumPy array", _TABLE),
    b"%PDF-": FileKind("a PDF document", _TEXT),
    b"{\\rtf": FileKind("an RTF document", _TEXT),
    b"\xd0\xcf\x11\xe0": FileKind("a document of an old version of Word, Excel or PowerPoint", _TEXT),
    b"\x89PNG\r\n": FileKind("a PNG picture", _PICTURE),
    b"\xff\xd8\xff": FileKind("a JPEG picture", _PICTURE),
    b"GIF87a": FileKind("a GIF picture", _PICTURE),
    b"GIF89a": FileKind("a GIF picture", _PICTURE),
    b"II*\x00": FileKind("a TIFF picture", _PICTURE),
    b"MM\x00*": FileKind("a TIFF picture", _PICTURE),
    b"OggS": FileKind("an Ogg recording", _SOUND),
    b"fLaC": FileKind("a FLAC recording", _SOUND),
    b"ID3\x03": FileKind("an MP3 recording", _SOUND),
    b"ID3\x04": FileKind("an MP3 recording", _SOUND),
    b"\x7fELF": FileKind("a program", _PROGRAM),
    b"GGUF": FileKind("a GGUF model", "Models are opened in the Train and Chat tabs. Choose a file of text"),
}
# A RIFF file names its kind at byte 8.
_RIFF = {
    b"WEBP": FileKind("a WebP picture", _PICTURE),
    b"WAVE": FileKind("a WAV recording", _SOUND),
    b"AVI ": FileKind("an AVI video", _SOUND),
}
# The folder or file in a ZIP archive that shows what made it.
_IN_ZIP = {
    "word/": FileKind("a Word document (.docx)", _TEXT),
    "xl/": FileKind("an Excel workbook (.xlsx)", _SHEET),
    "ppt/": FileKind("a PowerPoint presentation (.pptx)", _TEXT),
    "META-INF/container.xml": FileKind("an EPUB book", _TEXT),
    "content.xml": FileKind("an OpenDocument file (.odt, .ods)", "Save it as .txt or .csv, and open that file"),
    "data.pkl": FileKind(
        "a PyTorch file", "It may run code when it is read, so it is not opened. Save its rows as .jsonl"
    ),
}
# Names of a ZIP archive that are looked at.
_MAX_NAMES = 1000


def kind_of_bytes(head: bytes) -> FileKind | None:
    """Return the kind of a file that begins with some bytes; None if it may be text."""
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return FileKind("an MP4 video or a HEIC picture", _PROGRAM)
    return next((kind for sign, kind in _SIGNATURES.items() if head.startswith(sign)), None)


def kind_in_zip(path: Path) -> FileKind:
    """Return what a ZIP archive is: an office document by the names of its files, or an archive.

    Only the list of names is read, nothing is unpacked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:_MAX_NAMES]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return _ZIP
    for sign, kind in _IN_ZIP.items():
        if any(name.startswith(sign) or name.endswith(f"/{sign}") for name in names):
            return kind
    return _ZIP
