"""What a run reports: one flushed JSON line an event, append only, read while it is being written."""

import json
import os
import time
from pathlib import Path
from typing import Any

FILE = "events.jsonl"

Event = dict[str, Any]


class EventWriter:
    """Appends events. Each line is whole on disk before the next step begins."""

    def __init__(self, path: Path):
        self._stream = path.open("ab")
        if path.stat().st_size and not _ends_whole(path):
            self._stream.write(b"\n")  # what a crash left half written must not swallow the next event

    def write(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, "time": round(time.time(), 3), **values}, ensure_ascii=False, allow_nan=True)
        self._stream.write(line.encode("utf-8", "replace") + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())


class NoEvents:
    """For a process that trains beside the one that reports."""

    def write(self, event: str, **values: Any) -> None:
        pass


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class EventReader:
    """Follows a file of events: each call reads what is new and nothing else; a subclass takes it."""

    def __init__(self, path: Path):
        self.path = path
        self._offset = 0

    def take(self, event: Event) -> None:
        """One whole event, in order."""
        raise NotImplementedError

    def reset(self) -> None:
        """The file begins anew."""
        raise NotImplementedError

    def update(self) -> bool:
        """Read on; whether anything was new. A last line that is still being written is left for the next call."""
        there = size(self.path)
        if there < self._offset:
            self.reset()
            self._offset = 0
        if there == self._offset:
            return False
        with self.path.open("rb") as stream:
            stream.seek(self._offset)
            fresh = stream.read(there - self._offset)
        whole = fresh.rfind(b"\n") + 1
        self._offset += whole
        for line in fresh[:whole].split(b"\n"):
            if line.strip():
                try:
                    event = json.loads(line)
                except ValueError:  # a line cut short by a crash; the writer began a new one after it
                    continue
                if isinstance(event, dict) and "event" in event:
                    self.take(event)
        return whole > 0


class History(EventReader):
    """All events of a run, once each.

    A run that was resumed went back to its checkpoint: what it had reported after that step happened again, and its
    end was none.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        self.events: list[Event] = []

    def reset(self) -> None:
        self.events = []

    def take(self, event: Event) -> None:
        if event["event"] == "resumed":
            back_to = event.get("step", 0)
            self.events = [e for e in self.events if e.get("step", 0) <= back_to and e["event"] not in _ENDS]
        self.events.append(event)


_ENDS = ("done", "failed")


def read(path: Path) -> list[Event]:
    """The history of a run, in order."""
    history = History(path)
    history.update()
    return history.events
