"""Kinds of files that hold no rows of text, found by their content, each with the sentence that says what to do.

A picture or a document that was renamed to .csv or .jsonl would otherwise be read as damaged text, and subtitles or a
mailbox as paragraphs with their times and headers.
"""

import re
from pathlib import Path
from typing import NamedTuple

# The first bytes that are compared; the signature of an ISO file (MP4) begins at byte 4, that of a TAR archive at 257.
HEAD_BYTES = 512
# Number of bytes of an old Office file that are searched for the name of its main stream.
_SEARCHED_BYTES = 4 * 2**20
_PICTURE = "A picture has no rows. Choose a file of text, such as .jsonl or .csv"
_SOUND = "A recording has no rows. Choose a file with its transcript"
_ARCHIVE = "Unpack it, and open a file from it"
_TEXT = "Save its text as .txt, and open that file"
_SHEET = "Save the sheet as .csv, after filling merged cells down, and open that file"
_TABLE = "Save its rows as .csv, .jsonl or .parquet, and open that file"
_PROGRAM = "Choose a file of text, such as .jsonl or .csv"
_MESSAGES = "Save each message with its answer as a row of .jsonl, with the columns prompt and completion"
_PICKLE = "It may run code when it is read, so it is not opened. Save its rows as .jsonl"
_TRANSCRIPT = "Save the spoken text without the times as .txt, or as .csv with a column text, and open that file"


class FileKind(NamedTuple):
    """A kind of file and what to do with it, without a full stop."""

    name: str
    advice: str


PARQUET = FileKind("a Parquet file", "Name it .parquet, and open it again")
GZIP = FileKind("a gzip file", "Add .gz to its name, and open it again")
ZSTANDARD = FileKind("a Zstandard file", "Add .zst to its name, and open it again")
ARROW = FileKind("an Arrow file", "Name it .arrow, and open it again")
_ZIP = FileKind("a ZIP archive", _ARCHIVE)
_OLD_OFFICE = FileKind("a document of an old version of Word, Excel or PowerPoint", _TEXT)
_IN_OLD_OFFICE = {
    "Workbook": FileKind("an Excel workbook (.xls)", _SHEET),
    "WordDocument": FileKind("a Word document (.doc)", _TEXT),
    "PowerPoint Document": FileKind("a PowerPoint presentation (.ppt)", _TEXT),
    "__nameid_version1.0": FileKind("an Outlook message (.msg)", _TEXT),
}
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
    b"ARROW1": ARROW,
    b"\xff\xff\xff\xff": ARROW,
    b"FEA1\x00": FileKind("a Feather file of version 1", _TABLE),
    b"Obj\x01": FileKind("an Avro file", _TABLE),
    b"\x04\x22\x4d\x18": FileKind("an LZ4 file", _ARCHIVE),
    b"SQLite format 3": FileKind("an SQLite database", "Export the table or query as .csv, and open that file"),
    b"\x89HDF\r\n": FileKind("an HDF5 file", _TABLE),
    b"\x93NUMPY": FileKind("a NumPy array", _TABLE),
    b"%PDF-": FileKind("a PDF document", _TEXT),
    b"{\\rtf": FileKind("an RTF document", _TEXT),
    b"\xd0\xcf\x11\xe0": _OLD_OFFICE,
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
    "data.pkl": FileKind("a PyTorch file", _PICKLE),
    ".npy": FileKind("an archive of NumPy arrays (.npz)", _TABLE),
}
_TAR = FileKind("a TAR archive", _ARCHIVE)
# A pickle of version 2 to 5 begins with these bytes; no text has the second one.
_PICKLE_HEAD = re.compile(rb"\x80[\x02-\x05]")
# Text in a form of its own. The times of subtitles, and the headers of a message.
_SUBTITLE_TIME = re.compile(r"\d{1,3}:\d\d(?::\d\d)?[.,]\d{1,3} +--> +\d")
_SUBTITLES = re.compile(r"\s*\d+\s*\r?\n" + _SUBTITLE_TIME.pattern)
_MAILBOX = re.compile(r"From \S+.*\r?\n(?:[\w-]+: .*\r?\n|[ \t]+.*\r?\n)*?(?:From|To|Date|Subject): ")
_NOTEBOOK = re.compile(r'\s*\{\s*"(?:cells|metadata|nbformat(?:_minor)?)"\s*:(?=[\s\S]*"(?:cell_type|nbformat)"\s*:)')
# Names of a ZIP archive that are looked at.
_MAX_NAMES = 1000
_ZIP_LIST_BYTES = 2**18
# The record at the end of an archive, and the longest comment after it.
_ZIP_END_RECORD = 22
_ZIP_END_BYTES = _ZIP_END_RECORD + 2**16
# An entry of the list, or the header before a file.
_ZIP_ENTRY = re.compile(rb"PK(?:\x01\x02|\x03\x04)")


def kind_of_bytes(head: bytes) -> FileKind | None:
    """Return the kind of a file that begins with some bytes; None if it may be text."""
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return FileKind("an MP4 video or a HEIC picture", _PROGRAM)
    if head[257:262] == b"ustar":
        return _TAR
    if _PICKLE_HEAD.match(head):
        return FileKind("a Python pickle", _PICKLE)
    return next((kind for sign, kind in _SIGNATURES.items() if head.startswith(sign)), None)


def kind_in_zip(path: Path) -> FileKind:
    """Return what a ZIP archive is: an office document by the names of its files, or an archive.

    Only the list of names is read, nothing is unpacked.
    """
    names = _names_in_zip(path)
    for sign, kind in _IN_ZIP.items():
        ends = (f"/{sign}", sign) if sign.startswith(".") else (f"/{sign}",)
        if any(name.startswith(sign) or name.endswith(ends) for name in names):
            return kind
    return _ZIP


def _names_in_zip(path: Path) -> list[str]:
    """Return the first names of a ZIP archive's list; empty if it has none, as a damaged archive.

    `zipfile` reads the whole list, which in an archive of many empty files is as large as the archive.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _ZIP_END_BYTES))
        tail = file.read()
        end = tail[tail.rfind(b"PK\x05\x06") :] if b"PK\x05\x06" in tail else b""
        start = int.from_bytes(end[16:20], "little") if len(end) >= _ZIP_END_RECORD else size
        # An archive of more than 4 GiB has its list elsewhere; its first files are named at its start, too.
        file.seek(start if start < size else 0)
        listed = file.read(_ZIP_LIST_BYTES)
    names = []
    for entry in _ZIP_ENTRY.finditer(listed):
        # The length of the name is at another place in the list than before a file.
        at, length = (28, 46) if entry[0][2] == 1 else (26, 30)
        found = entry.start()
        end_of_name = found + length + int.from_bytes(listed[found + at : found + at + 2], "little")
        names.append(listed[found + length : end_of_name].decode("utf-8", "replace"))
    return names[:_MAX_NAMES]


def kind_in_office(path: Path) -> FileKind:
    """Return what an old Office file is, by the name of its main stream."""
    with path.open("rb") as file:
        data = file.read(_SEARCHED_BYTES)
    return next((kind for name, kind in _IN_OLD_OFFICE.items() if name.encode("utf-16-le") in data), _OLD_OFFICE)


def kind_of_file(found: FileKind, path: Path) -> FileKind:
    """Return the kind of a file whose first bytes show one of several kinds; other kinds as they are."""
    return kind_in_zip(path) if found == _ZIP else kind_in_office(path) if found == _OLD_OFFICE else found


def kind_of_text(head: str) -> FileKind | None:
    """Return the kind of a text in a form that has no rows to train on, by its beginning; None for any other text."""
    if head.startswith("WEBVTT") or (_SUBTITLES.match(head) and len(_SUBTITLE_TIME.findall(head)) > 1):
        return FileKind("a file of subtitles", _TRANSCRIPT)
    if _MAILBOX.match(head):
        return FileKind("a mailbox (mbox)", _MESSAGES)
    if _NOTEBOOK.match(head):
        return FileKind("a Jupyter notebook", "Save its text as .md, or its cells as .jsonl, and open that file")
    return None
