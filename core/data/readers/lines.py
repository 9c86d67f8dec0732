"""Text files as numbered lines: unpacked, decoded, with broken bytes and lines without end marked."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from core.data.readers import encoding
from core.data.readers.unpack import Unpacked, buffered

# A longer row is reported and left out: this bounds the memory that any file can take.
ROW_LIMIT = 64 * 2**20
TOO_LONG = f"is longer than {ROW_LIMIT // 2**20} MB"
MAX_COLUMNS = 10_000
MAX_NAME_CHARACTERS = 1000
MARK = "\ufeff"  # A byte order mark that stands inside a file, where files were joined.


class SourceRow(NamedTuple):
    """One row as a reader found it.

    Attributes:
        line: where it begins: the number of its line (text files) or of its row, from 1.
        row: its fields, or None when it cannot be read.
        raw: the row as it stands in the file, or as JSON where the file is not text.
        trouble: what is wrong with it; with a row, what was done about it.
        split: the name of its split, where the file holds several.
    """

    line: int
    row: dict[str, Any] | None
    raw: str = ""
    trouble: str = ""
    split: str | None = None


class LineSource:
    """The lines of a text file, decompressed and decoded.

    Bytes that are not text come through as lone surrogates, which `broken` finds.

    Attributes:
        note: receives sentences about the file as a whole.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        at: Callable[[float], None] = lambda share: None,
        note: Callable[[str], None] = lambda words: None,
    ):
        self.name, self.note = name, note
        self._path, self._at = path, at
        self._size = max(1, path.stat().st_size)
        with buffered(Unpacked(path, name)) as stream:
            self.encoding = encoding.detect(stream, name)
        if self.encoding.note:
            note(self.encoding.note)
        self._unpacked, self._text = self._open()

    def _open(self) -> tuple[Unpacked, io.TextIOWrapper]:
        unpacked = Unpacked(self._path, self.name)
        stream = buffered(unpacked)
        stream.read(self.encoding.mark_bytes)
        return unpacked, io.TextIOWrapper(stream, self.encoding.codec, errors=encoding.ERRORS, newline="")

    def __enter__(self) -> "LineSource":
        return self

    def __exit__(self, *_: object) -> None:
        self._text.close()

    @property
    def unpacked_bytes(self) -> int:
        return self._unpacked.size

    def broken(self, text: str) -> str | None:
        """Return what is wrong with a text that holds undecodable bytes, or None."""
        return self.encoding.broken(text)

    def head(self, characters: int) -> str:
        """Return the first characters of the file; what `read` and `lines` give next is not changed."""
        _, text = self._open()
        with text:
            return text.read(characters)

    def read(self, characters: int) -> str:
        """Return the next characters; "" at the end."""
        self._tell()
        return self._text.read(characters)

    def lines(self) -> Iterator[tuple[int, str | None]]:
        """Yield numbered lines with their ends; None stands for one that is longer than ROW_LIMIT."""
        number = 0
        while line := self._text.readline(ROW_LIMIT):
            number += 1
            if number % 1000 == 0:
                self._tell()
            if len(line) < ROW_LIMIT or line.endswith(("\n", "\r")):
                yield number, line
                continue
            while (rest := self._text.readline(ROW_LIMIT)) and not rest.endswith(("\n", "\r")):
                pass
            yield number, None

    def _tell(self) -> None:
        self._at(min(1.0, self._unpacked.file.tell() / self._size))


def head_lines(lines: Iterator[tuple[int, str | None]], most: int, characters: int) -> list[tuple[int, str | None]]:
    """Take up to `most` lines to look at, fewer when they reach so many characters."""
    taken: list[tuple[int, str | None]] = []
    size = 0
    while len(taken) < most and size < characters and (item := next(lines, None)) is not None:
        taken.append(item)
        size += len(item[1] or "")
    return taken
