"""Numbered lines of a text file, decompressed and decoded.

Invalid bytes become lone surrogates, so that they can be reported by line, and lines longer than `ROW_LIMIT` become
None, so that memory is bounded.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from core.data.readers import encoding
from core.data.readers.unpack import Unpacked, buffered

# A longer row (in characters) is reported and left out, which bounds the memory that a file can take.
ROW_LIMIT = 64 * 2**20
TOO_LONG = f"is longer than {ROW_LIMIT:,} characters"
MAX_COLUMNS = 10_000
MAX_NAME_CHARACTERS = 1000
# Byte order mark; it also occurs inside files that were joined from several ones.
MARK = "\ufeff"


class SourceRow(NamedTuple):
    """One row of a source file.

    Attributes:
        line: Number of its first line (text files) or of the row, from 1.
        row: Its fields, or None if it cannot be read.
        raw: The row as in the file, or as JSON if the file is not text.
        trouble: Why it cannot be read; if it can, what was corrected.
        split: Name of its split, if the file has several.
    """

    line: int
    row: dict[str, Any] | None
    raw: str = ""
    trouble: str = ""
    split: str | None = None


class LineSource:
    """Text file that is read as numbered lines or by characters.

    Attributes:
        name: Name of the file for the user.
        note: Callback for sentences about the file as a whole.
        encoding: The detected encoding.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        progress: Callable[[float], None] = lambda share: None,
        note: Callable[[str], None] = lambda words: None,
    ):
        """Detect the encoding and open the file.

        Args:
            path: The file.
            name: Name of the file for the user; its ending determines the compression.
            progress: Callback for the share of the file that was read, 0 to 1.
            note: Callback for sentences about the file as a whole.

        Raises:
            StudioError: The file is not text, or cannot be decompressed.
        """
        self.name, self.note = name, note
        self._path, self._progress = path, progress
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

    def broken(self, text: str) -> str | None:
        """Return the trouble of a text with invalid bytes, or None."""
        return self.encoding.broken(text)

    def head(self, characters: int) -> str:
        """Return the first characters of the file without moving the position of `read` and `lines`."""
        _, text = self._open()
        with text:
            return text.read(characters)

    def read(self, characters: int) -> str:
        """Return the next characters; "" at the end."""
        self._report_progress()
        return self._text.read(characters)

    def lines(self) -> Iterator[tuple[int, str | None]]:
        """Yield (number, line with its end), with None in place of a line longer than ROW_LIMIT."""
        number = 0
        while line := self._text.readline(ROW_LIMIT):
            number += 1
            if number % 1000 == 0:
                self._report_progress()
            if len(line) < ROW_LIMIT or line.endswith(("\n", "\r")):
                yield number, line
                continue
            # Skip the rest of the line in pieces.
            while (rest := self._text.readline(ROW_LIMIT)) and not rest.endswith(("\n", "\r")):
                pass
            yield number, None

    def _report_progress(self) -> None:
        self._progress(min(1.0, self._unpacked.file.tell() / self._size))


def head_lines(lines: Iterator[tuple[int, str | None]], most: int, characters: int) -> list[tuple[int, str | None]]:
    """Return the next lines for a sample.

    Args:
        lines: Numbered lines.
        most: Maximum number of lines.
        characters: Number of characters after which no further line is taken.
    """
    taken: list[tuple[int, str | None]] = []
    size = 0
    while len(taken) < most and size < characters and (item := next(lines, None)) is not None:
        taken.append(item)
        size += len(item[1] or "")
    return taken
