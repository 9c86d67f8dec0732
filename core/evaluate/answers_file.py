"""answers.jsonl: one flushed line an answer, append only. A line that a crash cut short counts as not written."""

import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.evaluate.metrics import LaneMetrics
from core.runs.events import size

FILE = "answers.jsonl"

Line = dict[str, Any]


class AnswerWriter:
    """Appends answers, after dropping half a line that a crash left at the end."""

    def __init__(self, path: Path):
        self._stream = path.open("ab+")
        whole = _whole_bytes(path)
        if whole < size(path):
            self._stream.truncate(whole)

    def write(self, lines: Iterable[Line]) -> None:
        """They are on disk when this returns."""
        whole = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        if whole:
            self._stream.write(whole.encode("utf-8", "replace"))
            self._stream.flush()
            os.fsync(self._stream.fileno())

    def close(self) -> None:
        self._stream.close()


def _whole_bytes(path: Path) -> int:
    """Up to where the file consists of whole lines."""
    at = size(path)
    with path.open("rb") as stream:
        while at > 0:
            start = max(0, at - 65_536)
            stream.seek(start)
            found = stream.read(at - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            at = start
    return 0


class AnswerReader:
    """Follows a file of answers; knows the place of each and keeps none in memory. Threads may share it."""

    def __init__(self, path: Path, lanes: int):
        self.path, self._lanes = path, lanes
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._position = 0
        self.offsets: dict[tuple[int, int], int] = {}  # of (prompt, lane): where its line begins
        self.metrics = [LaneMetrics() for _ in range(self._lanes)]
        self.finished: list[int] = []  # prompts that every lane has answered, as they came
        self._answered: dict[int, int] = {}

    def update(self) -> "AnswerReader":
        """Read on; a last line that is still being written is left for the next time."""
        with self._lock:
            there = size(self.path)
            if there < self._position:
                self._reset()
            if there > self._position:
                with self.path.open("rb") as stream:
                    stream.seek(self._position)
                    for line in stream:
                        if not line.endswith(b"\n"):
                            break
                        self._take(json.loads(line), self._position)
                        self._position += len(line)
        return self

    def _take(self, line: Line, place: int) -> None:
        prompt, lane = line["prompt"], line["lane"]
        if (prompt, lane) in self.offsets or not 0 <= lane < self._lanes:
            return
        self.offsets[prompt, lane] = place
        self.metrics[lane].add(line)
        self._answered[prompt] = self._answered.get(prompt, 0) + 1
        if self._answered[prompt] == self._lanes:
            self.finished.append(prompt)

    def __len__(self) -> int:
        return len(self.offsets)

    def read(self, prompt: int) -> list[Line | None]:
        """The answers to one prompt, one a lane; None where there is none yet."""
        found: list[Line | None] = []
        with self.path.open("rb") as stream:
            for lane in range(self._lanes):
                place = self.offsets.get((prompt, lane))
                if place is None:
                    found.append(None)
                    continue
                stream.seek(place)
                found.append(json.loads(stream.readline()))
        return found
