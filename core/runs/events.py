"""What a run reports: one flushed JSON line an event, append only, read while it is being written."""

import json
import os
import time
from pathlib import Path
from typing import Any

FILE = "events.jsonl"


class EventWriter:
    """Appends events. Each line is whole on disk before the next step begins."""

    def __init__(self, path: Path):
        self._stream = path.open("a", encoding="utf-8")
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            self._stream.write("\n")  # what a crash left half written must not swallow the next event

    def write(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, "time": round(time.time(), 3), **values}, ensure_ascii=False, allow_nan=True)
        self._stream.write(line + "\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def read(path: Path) -> list[dict[str, Any]]:
    """All whole events, in order. A last line that is still being written is left for the next call."""
    if not path.exists():
        return []
    events = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        if line.strip():
            try:
                events.append(json.loads(line))
            except ValueError:  # a line cut short by a crash; the writer began a new one after it
                continue
    return events
