"""Index of a run's events, so that a few of a long log are read without the others.

The index holds the position of each line, and is extended by what was appended since: the first reading of a log costs
its length, later ones what they return.
"""

import contextlib
import json
import threading
from array import array
from collections import OrderedDict
from pathlib import Path

from core.runs.events import EventReader, ResumedEvent, RunEvent, StepEvent, parse_event

_MAX_CACHED_RUNS = 16


class EventIndex(EventReader):
    """Positions of all events of a run, also of those that a resume made obsolete, so that no position ever changes."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget all positions."""
        # 8 bytes each: the byte at which a line starts.
        self._starts = array("Q")
        self._event_of_step: dict[int, int] = {}

    def take(self, event: RunEvent) -> None:
        """Note the position; a resume first drops the steps that it makes obsolete."""
        if isinstance(event, StepEvent):
            self._event_of_step.setdefault(event.step, len(self._starts))
        elif isinstance(event, ResumedEvent):
            self._event_of_step = {s: at for s, at in self._event_of_step.items() if s <= event.step}
        self._starts.append(self.line_start)

    def read(self, after: int, count: int) -> list[RunEvent]:
        """Return at most `count` events after the first `after`."""
        with self._lock:
            self.update()
            return self._read(after, count)

    def step(self, step: int) -> StepEvent | None:
        """Return the event of a step, without those that a resume made obsolete; None if there is none."""
        with self._lock:
            self.update()
            at = self._event_of_step.get(step)
            found = self._read(at, 1)[0] if at is not None else None
        return found if isinstance(found, StepEvent) else None

    def _read(self, after: int, count: int) -> list[RunEvent]:
        found = []
        with self.path.open("rb") if self._starts else contextlib.nullcontext() as stream:
            for start in self._starts[after : after + count]:
                stream.seek(start)
                found.append(parse_event(json.loads(stream.readline())))
        return found


class EventIndexes:
    """Cache of indexes, shared by all pages; the least recently used one is dropped."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Path, EventIndex] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, events_file: Path) -> EventIndex:
        """Return the index of a run's events."""
        with self._lock:
            found = self._kept.pop(events_file, None) or EventIndex(events_file)
            self._kept[events_file] = found
            while len(self._kept) > _MAX_CACHED_RUNS:
                self._kept.popitem(last=False)
            return found
