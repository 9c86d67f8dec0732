"""Append-only files of an evaluation, such as answers.jsonl, with one flushed JSON line per prompt and lane.

A crash can leave an incomplete last line. It counts as not written: readers skip it and the next writer removes it.
"""

import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

from core.system.files import file_size, log_unreadable

_BLOCK_BYTES = 65_536

Line = dict[str, Any]


class LineWriter:
    """Appends lines to a file, after removing an incomplete last line."""

    def __init__(self, path: Path):
        self._stream = path.open("ab+")
        complete_bytes = _complete_bytes(path)
        if complete_bytes < file_size(path):
            self._stream.truncate(complete_bytes)

    def write(self, lines: Iterable[Line]) -> None:
        """Append lines; they are on disk when this returns."""
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        if text:
            # Lone surrogates of a hostile or broken decoding cannot be encoded; they become question marks.
            self._stream.write(text.encode("utf-8", "replace"))
            self._stream.flush()
            os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _complete_bytes(path: Path) -> int:
    """Return the size of the complete lines of a file, in bytes."""
    end = file_size(path)
    with path.open("rb") as stream:
        # Search backwards in blocks: the file may be large, but only its last line can be incomplete.
        while end > 0:
            start = max(0, end - _BLOCK_BYTES)
            stream.seek(start)
            newline = stream.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0


class LineReader:
    """An index of a growing file of lines; threads may share it.

    Only the offset of each line is kept in memory, so that a large evaluation stays cheap to show. A subclass keeps
    more in `_reset` and `_take`.

    Attributes:
        FIELDS: Types of the fields that a line must have besides prompt and lane; a line without one is damaged.
        path: The file.
        offsets: Byte offset of the line of each (prompt, lane).
    """

    FIELDS: ClassVar[dict[str, tuple[type, ...]]] = {}

    def __init__(self, path: Path, lanes: int):
        self.path, self._lanes = path, lanes
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._position = 0
        self.offsets: dict[tuple[int, int], int] = {}

    def update(self) -> Self:
        """Index the lines that were added, and return self; an incomplete last line is left for the next call."""
        with self._lock:
            end = file_size(self.path)
            if end < self._position:
                # Only complete lines were counted, and a writer removes none of them: it is another file.
                self._reset()
            if end > self._position:
                with self.path.open("rb") as stream:
                    stream.seek(self._position)
                    for line in stream:
                        if not line.endswith(b"\n"):
                            break
                        try:
                            self._add(self._parse(line), self._position)
                        except ValueError as error:
                            # A damaged line must not hide the other ones; a resume writes that of its prompt again.
                            log_unreadable(f"{self.path}, the line at byte {self._position},", str(error))
                        self._position += len(line)
        return self

    def _parse(self, line: bytes) -> Line:
        """Return what the index needs of a line.

        Raises:
            ValueError: The line is damaged.
        """
        return json.loads(line)

    def _add(self, line: Line, offset: int) -> None:
        if not isinstance(line, dict):
            raise ValueError("it is no object")
        for name, types in {"prompt": (int,), "lane": (int,), **self.FIELDS}.items():
            if name not in line or type(line[name]) not in types:
                raise ValueError(f"it has no valid {name!r}")
        prompt, lane = line["prompt"], line["lane"]
        # The first line counts: an answer that was written twice must not be scored twice.
        if (prompt, lane) in self.offsets or not 0 <= lane < self._lanes:
            return
        self.offsets[prompt, lane] = offset
        self._take(line)

    def _take(self, line: Line) -> None:
        """Take the first line of a prompt and a lane."""

    def __len__(self) -> int:
        return len(self.offsets)

    def read(self, prompt: int) -> list[Line | None]:
        """Return the lines of a prompt, one per lane; None for a lane that has none yet."""
        lines: list[Line | None] = []
        if not any((prompt, lane) in self.offsets for lane in range(self._lanes)):
            return [None] * self._lanes
        with self.path.open("rb") as stream:
            for lane in range(self._lanes):
                offset = self.offsets.get((prompt, lane))
                if offset is None:
                    lines.append(None)
                    continue
                stream.seek(offset)
                lines.append(json.loads(stream.readline()))
        return lines
