"""Bytes to lines of text: compression, byte order marks, broken bytes and lines without end."""

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import zstandard

from core.errors import StudioError

COMPRESSED = (".gz", ".zst")
# A row longer than this is told and left out: it bounds the memory that any file can take.
ROW_LIMIT = 64 * 2**20
_BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_CHUNK = 2**20


class Read(NamedTuple):
    """One row as a reader found it.

    Attributes:
        line: where it begins: the number of its line (text files) or of its row, from 1.
        row: its fields, or None when it cannot be read.
        raw: the row as it stands in the file, or as JSON where the file is not text.
        trouble: what is wrong with it; with a row, what was done about it.
    """

    line: int
    row: dict[str, Any] | None
    raw: str = ""
    trouble: str = ""


class LineSource:
    """The lines of a text file, decompressed and decoded.

    UTF-8 is expected; a byte order mark may say UTF-16. Bytes that are not text come through as lone surrogates
    (U+DC80 to U+DCFF, Python's surrogateescape), which nothing in UTF-8 decodes to: `broken` finds them.
    """

    def __init__(self, path: Path, name: str, at: Callable[[float], None] = lambda share: None):
        self.name = name
        self._size = max(1, path.stat().st_size)
        self._file: BinaryIO = path.open("rb")
        self._at = at
        stream: Any = self._file
        if name.lower().endswith(".gz"):
            stream = gzip.GzipFile(fileobj=self._file)
        elif name.lower().endswith(".zst"):
            stream = _Frames(self._file)
        self._stream = io.BufferedReader(_Plain(stream, name), _CHUNK)
        head = self._stream.peek(4)
        mark = next((bom for bom in _BOMS if head.startswith(bom)), b"")
        self._stream.read(len(mark))
        self.encoding = _BOMS.get(mark, "utf-8")
        decoded = io.TextIOWrapper(self._stream, self.encoding, errors="surrogateescape", newline="")
        self._text = decoded

    def __enter__(self) -> "LineSource":
        return self

    def __exit__(self, *_: object) -> None:
        self._text.close()
        self._file.close()

    def read(self, characters: int) -> str:
        """The next characters; "" at the end."""
        self._tell()
        return self._text.read(characters)

    def lines(self) -> Iterator[tuple[int, str | None]]:
        """Numbered lines with their ends; None stands for one that is longer than ROW_LIMIT."""
        number = 0
        while line := self._text.readline(ROW_LIMIT):
            number += 1
            if number % 1000 == 0:
                self._tell()
            if len(line) < ROW_LIMIT or line.endswith("\n"):
                yield number, line
                continue
            while (rest := self._text.readline(ROW_LIMIT)) and not rest.endswith("\n"):
                pass
            yield number, None

    def _tell(self) -> None:
        self._at(min(1.0, self._file.tell() / self._size))


class _Frames:
    """Zstandard frames one behind the other. The library's own reader takes a file cut short for a whole one."""

    _STEP = 2**11  # bytes fed at a time: no frame makes more than ROW_LIMIT of so little

    def __init__(self, file: BinaryIO):
        self._file, self._waiting = file, b""
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._begun = False  # whether the frame has been fed anything

    def read(self, size: int) -> bytes:
        while not self._waiting:
            fed = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame, self._begun = zstandard.ZstdDecompressor().decompressobj(), False
            if not (fed := fed or self._file.read(self._STEP)):
                if self._begun:
                    raise EOFError("the file ends early")
                return b""
            self._begun = True
            self._waiting = self._frame.decompress(fed)
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        return data


class _Plain(io.RawIOBase):
    """A decompressed stream whose failures are told as what they are: a damaged file."""

    def __init__(self, stream: Any, name: str):
        self._source, self._name = stream, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._source.read(len(buffer))
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            raise StudioError(
                f"{self._name!r} cannot be unpacked ({error}). Compress it again, or upload it as it is."
            ) from error
        buffer[: len(data)] = data
        return len(data)


def broken(text: str) -> str | None:
    """The first byte in `text` that was not text, as hexadecimal digits, or None."""
    if text.isascii():
        return None
    return next((f"{ord(c) - 0xDC00:#04x}" for c in text if 0xDC80 <= ord(c) <= 0xDCFF), None)


TOO_LONG = f"is longer than {ROW_LIMIT // 2**20} MB"
