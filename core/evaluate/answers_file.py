"""Append-only answers.jsonl of an evaluation, with one flushed line per answer.

A crash can leave an incomplete last line. It counts as not written: readers skip it and the next writer removes it.
"""

import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.evaluate.metrics import LaneMetrics
from core.system.files import file_size, log_unreadable

FILE = "answers.jsonl"
_BLOCK_BYTES = 65_536

Line = dict[str, Any]


class AnswerWriter:
    """Appends answers to a file, after removing an incomplete last line."""

    def __init__(self, path: Path):
        self._stream = path.open("ab+")
        complete_bytes = _complete_bytes(path)
        if complete_bytes < file_size(path):
            self._stream.truncate(complete_bytes)

    def write(self, lines: Iterable[Line]) -> None:
        """Append answers; they are on disk when this returns."""
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


class AnswerReader:
    """An index of a growing answers file; threads may share it.

    Only the offset of each answer is kept in memory, so that a large evaluation stays cheap to show.

    Attributes:
        path: The file.
        offsets: Byte offset of the line of each (prompt, lane).
        metrics: Running metrics of each lane.
        finished: Prompts that every lane has answered, in the order in which they were finished.
    """

    def __init__(self, path: Path, lanes: int):
        self.path, self._lanes = path, lanes
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._position = 0
        self.offsets: dict[tuple[int, int], int] = {}
        self.metrics = [LaneMetrics() for _ in range(self._lanes)]
        self.finished: list[int] = []
        self._answered_lanes: dict[int, int] = {}

    def update(self) -> "AnswerReader":
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
                            self._add(json.loads(line), self._position)
                        except ValueError as error:
                            # A damaged line must not hide the other answers; a resume answers its prompt again.
                            log_unreadable(f"{self.path}, the line at byte {self._position},", str(error))
                        self._position += len(line)
        return self

    def _add(self, line: Line, offset: int) -> None:
        prompt, lane = line["prompt"], line["lane"]
        # The first answer counts: an answer that was written twice must not be scored twice.
        if (prompt, lane) in self.offsets or not 0 <= lane < self._lanes:
            return
        self.offsets[prompt, lane] = offset
        self.metrics[lane].add(line)
        self._answered_lanes[prompt] = self._answered_lanes.get(prompt, 0) + 1
        if self._answered_lanes[prompt] == self._lanes:
            self.finished.append(prompt)

    def __len__(self) -> int:
        return len(self.offsets)

    def read(self, prompt: int) -> list[Line | None]:
        """Return the answers to a prompt, one per lane; None for a lane that has not answered yet."""
        answers: list[Line | None] = []
        with self.path.open("rb") as stream:
            for lane in range(self._lanes):
                offset = self.offsets.get((prompt, lane))
                if offset is None:
                    answers.append(None)
                    continue
                stream.seek(offset)
                answers.append(json.loads(stream.readline()))
        return answers
