"""The curves of a run, followed as they grow: compact, bounded when drawn, kept for all pages that watch."""

import itertools
import threading
from array import array
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from core.runs.events import (
    CheckpointEvent,
    EndEvent,
    EvalEvent,
    EventReader,
    ResumedEvent,
    RunEvent,
    SampleEvent,
    StepEvent,
)
from core.runs.progress import Progress, progress

MEASURES = ("loss", "learning_rate", "grad_norm", "tokens_per_second", "memory_gib", "use")
HELD_OUT = "held-out loss"
DRAWN = 600  # points of a curve that reach a page
_KEPT_RUNS = 12


class Timeline(EventReader):
    """All that a page shows of a run's events, without keeping the events.

    Attributes:
        samples: the answers at each evaluation.
        alarms: steps at which a measure was no number.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        # pages read while another's request brings it up to date
        self._lock = threading.RLock()
        self.reset()

    def update(self) -> bool:
        with self._lock:
            return super().update()

    def reset(self) -> None:
        self._steps, self._tokens, self._seconds = array("q"), array("q"), array("d")
        self._values = {name: array("d") for name in MEASURES}
        self._odd_losses: dict[int, Any] = {}  # by step, as they were written: no numbers
        self._evals: list[EvalEvent] = []
        self._last: dict[type[RunEvent], RunEvent] = {}
        self.samples: list[SampleEvent] = []
        self.checkpoints: list[int] = []

    def take(self, event: RunEvent) -> None:
        if isinstance(event, ResumedEvent):
            self._back_to(event.step)
        elif isinstance(event, StepEvent):
            self._steps.append(event.step)
            self._tokens.append(event.tokens or 0)
            self._seconds.append(event.seconds or 0.0)
            if not np.isfinite(_number(event.loss)):
                self._odd_losses[event.step] = event.loss
            for name, values in self._values.items():
                values.append(_number(getattr(event, name)))
        elif isinstance(event, EvalEvent):
            self._evals.append(event)
        elif isinstance(event, SampleEvent):
            self.samples.append(event)
        elif isinstance(event, CheckpointEvent):
            self.checkpoints.append(event.step)
        self._last[type(event)] = event

    def _back_to(self, step: int) -> None:
        """A resumed run did again what came after its checkpoint."""
        keep = int(np.searchsorted(np.frombuffer(self._steps, dtype=np.int64), step, side="right"))
        for values in (self._steps, self._tokens, self._seconds, *self._values.values()):
            del values[keep:]
        self._odd_losses = {at: loss for at, loss in self._odd_losses.items() if at <= step}
        self._evals = [event for event in self._evals if event.step <= step]
        self.samples = [event for event in self.samples if event.step <= step]
        self.checkpoints = [found for found in self.checkpoints if found <= step]
        for kind in (EndEvent, SampleEvent, CheckpointEvent):
            self._last.pop(kind, None)
        if (gone := self._last.pop(StepEvent, None)) and self._steps:
            self._last[StepEvent] = self._last_step(gone.total)

    def _last_step(self, total: int) -> StepEvent:
        """The last step that is left, as its event said."""
        measured = {name: None if np.isnan(values[-1]) else values[-1] for name, values in self._values.items()}
        loss = self._odd_losses.get(self._steps[-1], measured["loss"])
        spent = {"step": self._steps[-1], "tokens": self._tokens[-1], "seconds": self._seconds[-1]}
        return StepEvent(total=total, **(measured | spent | {"loss": loss}))

    @property
    def steps(self) -> int:
        return len(self._steps)

    def progress(self) -> Progress:
        with self._lock:
            return self._progress()

    def _progress(self) -> Progress:
        others = [event for kind, event in self._last.items() if kind is not EvalEvent]
        return progress([*others, *self._evals[:1], *self._evals[-1:]])

    def values(self, measure: str) -> tuple[np.ndarray, np.ndarray]:
        """(steps,) and (values,) of a measure, gaps left out."""
        with self._lock:
            if measure == HELD_OUT:
                steps = np.array([event.step for event in self._evals], dtype=np.int64)
                values = np.array([_number(event.loss) for event in self._evals], dtype=float)
            else:
                steps = np.array(self._steps, dtype=np.int64)
                values = np.array(self._values[measure], dtype=float)
        there = np.isfinite(values)
        return steps[there], values[there]

    def not_numbers(self, measure: str = "loss") -> list[int]:
        """The steps at which a measure was NaN or infinite."""
        with self._lock:
            values = np.array(self._values[measure], dtype=float)
            return np.array(self._steps, dtype=np.int64)[~np.isfinite(values)].tolist()

    def curve(
        self, measure: str, low: int | None = None, high: int | None = None, most: int = DRAWN
    ) -> list[tuple[int, int, float, float]]:
        """(step, tokens, seconds, value) of at most `most` points between two steps; extremes are among them."""
        with self._lock:
            steps, values = self.values(measure)
            at, tokens, seconds = (np.array(column) for column in (self._steps, self._tokens, self._seconds))
        if low is not None and high is not None:
            inside = (steps >= low) & (steps <= high)
            steps, values = steps[inside], values[inside]
        kept = thinned(values, most)
        steps, values = steps[kept], values[kept]
        if not len(at):
            return [(int(step), 0, 0.0, float(value)) for step, value in zip(steps, values, strict=True)]
        # what was spent by a step: of the last step at or before it
        place = np.searchsorted(at, steps, side="right") - 1
        spent = np.maximum(place, 0)
        return [
            (int(s), int(t) if p >= 0 else 0, round(float(c), 2) if p >= 0 else 0.0, float(f"{v:.6g}"))
            for s, t, c, v, p in zip(steps, tokens[spent], seconds[spent], values, place, strict=True)
        ]


def thinned(values: np.ndarray, most: int) -> np.ndarray:
    """Indices of at most `most` values that look like all of them: the least and the greatest of every stretch.

    Keeping both extremes of equal stretches is the M4 idea (Jugel et al. 2014, doi:10.14778/2732951.2732953) without
    its first and last points, which only the ends of the whole need.
    """
    count = len(values)
    if count <= most:
        return np.arange(count)
    buckets = max(1, (most - 2) // 2)
    edges = np.linspace(0, count, buckets + 1).astype(int)
    kept = {0, count - 1}
    for begin, end in itertools.pairwise(edges):
        part = values[begin:end]
        kept.add(begin + int(part.argmin()))
        kept.add(begin + int(part.argmax()))
    return np.array(sorted(kept))


def _number(value: Any) -> float:
    """NaN stands for what is missing or no number."""
    try:
        return float(value) if value is not None else float("nan")
    except (TypeError, ValueError):
        return float("nan")


class Timelines:
    """The timelines that pages watch, shared by all of them; the least lately used is forgotten."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Path, Timeline] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, events_file: Path) -> Timeline:
        """The timeline of a run, read on to the end of its file."""
        with self._lock:
            found = self._kept.pop(events_file, None) or Timeline(events_file)
            found.update()
            self._kept[events_file] = found
            while len(self._kept) > _KEPT_RUNS:
                self._kept.popitem(last=False)
            return found
