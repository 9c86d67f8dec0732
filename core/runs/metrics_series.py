"""Metrics of a run as arrays that grow with its events, and curves of a bounded number of points for charts.

`Timeline` follows events.jsonl and keeps numbers, not events, so that a run of a million steps takes tens of MiB.
`Timelines` shares one per run among all pages. A resumed run drops the metrics after its checkpoint.
"""

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
from core.runs.progress import Activity, RunProgress, progress

# Titles of the metrics other than the loss, on pages and in reports, by their fields in the events.
METRIC_TITLES = {
    "learning_rate": "learning rate", "grad_norm": "gradient norm", "tokens_per_second": "tokens/s",
    "memory_gib": "memory (GiB)", "utilization": "utilization (%)",
}  # fmt: skip
METRICS = ("loss", *METRIC_TITLES)
HELD_OUT_LOSS = "held-out loss"
# Metrics of the evaluation passes of a classifier, by their titles on pages and in reports; all are shares.
CLASSIFIER_METRICS = {"held-out accuracy": "accuracy", "held-out macro-F1": "macro_f1"}
_EVAL_FIELDS = {HELD_OUT_LOSS: "loss", **CLASSIFIER_METRICS}
# Colors of the curves in charts and plots.
LOSS_COLOR, HELD_OUT_COLOR, METRIC_COLOR = "#0f9488", "#e07b28", "#5b7fd6"
CLASSIFIER_COLORS = dict(zip(CLASSIFIER_METRICS, ("#7f5fc4", "#56b4e9"), strict=True))
# Maximum number of points of a curve on a page; a chart is narrower than that in pixels.
MAX_CURVE_POINTS = 600
_MAX_CACHED_RUNS = 12


class Timeline(EventReader):
    """Metrics, sample answers and checkpoints of one run.

    Attributes:
        samples: Answers to the sample prompts, one event per evaluation pass.
        checkpoints: Steps of the checkpoints.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        # The requests of several pages share a timeline: one may read while another updates.
        self._lock = threading.RLock()
        self.reset()

    def update(self) -> bool:
        """Read the new events, and return whether there were any."""
        with self._lock:
            return super().update()

    def reset(self) -> None:
        """Forget everything, because the file starts anew."""
        self._steps, self._tokens, self._seconds = array("q"), array("q"), array("d")
        self._values = {name: array("d") for name in METRICS}
        # Losses that are not finite, by step and as written. The arrays hold NaN for them.
        self._odd_losses: dict[int, Any] = {}
        self._evals: list[EvalEvent] = []
        self._last: dict[type[RunEvent], RunEvent] = {}
        self._activity = Activity()
        self.samples: list[SampleEvent] = []
        self.checkpoints: list[int] = []

    def take(self, event: RunEvent) -> None:
        """Add one event."""
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
        self._activity = self._activity.after(event)

    def _back_to(self, step: int) -> None:
        """Drop what came after a checkpoint, because the resumed run reports it again."""
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
        """Return the event of the last step that is left."""
        measured = {name: None if np.isnan(values[-1]) else values[-1] for name, values in self._values.items()}
        loss = self._odd_losses.get(self._steps[-1], measured["loss"])
        spent = {"step": self._steps[-1], "tokens": self._tokens[-1], "seconds": self._seconds[-1]}
        return StepEvent(total=total, **(measured | spent | {"loss": loss}))

    @property
    def steps(self) -> int:
        """Return the number of steps."""
        return len(self._steps)

    def progress(self) -> RunProgress:
        """Return the run's progress."""
        with self._lock:
            return self._progress()

    def _progress(self) -> RunProgress:
        # RunProgress needs the first evaluation pass (the base's) and the last, and the last event of every other kind.
        others = [event for kind, event in self._last.items() if kind is not EvalEvent]
        return progress([*others, *self._evals[:1], *self._evals[-1:]], self._activity)

    def values(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the steps (n,) and values (n,) of a metric, without steps where it is missing or not finite."""
        with self._lock:
            if field := _EVAL_FIELDS.get(metric):
                steps = np.array([event.step for event in self._evals], dtype=np.int64)
                values = np.array([_number(getattr(event, field)) for event in self._evals], dtype=float)
            else:
                steps = np.array(self._steps, dtype=np.int64)
                values = np.array(self._values[metric], dtype=float)
        there = np.isfinite(values)
        return steps[there], values[there]

    def not_numbers(self) -> list[int]:
        """Return the steps at which the loss was NaN or infinite; a loss that is missing is not among them."""
        with self._lock:
            return [step for step, loss in self._odd_losses.items() if loss is not None]

    def curve(
        self, metric: str, low: int | None = None, high: int | None = None, max_points: int = MAX_CURVE_POINTS
    ) -> list[tuple[int, int, float, float]]:
        """Return points (step, tokens, seconds, value) of a metric, downsampled so that extremes remain.

        Args:
            metric: The metric.
            low: First step. If this or `high` is None, the points are those of the whole run.
            high: Last step.
            max_points: Maximum number of points.
        """
        with self._lock:
            steps, values = self.values(metric)
            at, tokens, seconds = (np.array(column) for column in (self._steps, self._tokens, self._seconds))
        if low is not None and high is not None:
            inside = (steps >= low) & (steps <= high)
            steps, values = steps[inside], values[inside]
        kept = downsample(values, max_points)
        steps, values = steps[kept], values[kept]
        if not len(at):
            return [(int(step), 0, 0.0, float(value)) for step, value in zip(steps, values, strict=True)]
        # An evaluation pass may be between two steps: it takes tokens and seconds of the last step at or before it.
        step_index = np.searchsorted(at, steps, side="right") - 1
        spent = np.maximum(step_index, 0)
        return [
            (int(s), int(t) if i >= 0 else 0, round(float(c), 2) if i >= 0 else 0.0, float(f"{v:.6g}"))
            for s, t, c, v, i in zip(steps, tokens[spent], seconds[spent], values, step_index, strict=True)
        ]


def downsample(values: np.ndarray, max_points: int) -> np.ndarray:
    """Return indices of at most `max_points` values whose curve looks like that of all values.

    The values are split into buckets of equal length, of which the minimum and the maximum are kept. This is M4 (Jugel
    et al. 2014, doi:10.14778/2732951.2732953) without each bucket's first and last value; those of the whole are kept.
    """
    count = len(values)
    if count <= max_points:
        return np.arange(count)
    buckets = max(1, (max_points - 2) // 2)
    edges = np.linspace(0, count, buckets + 1).astype(int)
    kept = {0, count - 1}
    for begin, end in itertools.pairwise(edges):
        part = values[begin:end]
        kept.add(begin + int(part.argmin()))
        kept.add(begin + int(part.argmax()))
    return np.array(sorted(kept))


def _number(value: Any) -> float:
    """Return a metric as a float; NaN if it is missing or not a number."""
    try:
        return float(value) if value is not None else float("nan")
    except (TypeError, ValueError):
        return float("nan")


class Timelines:
    """Cache of timelines, shared by all pages; the least recently used one is dropped."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Path, Timeline] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, events_file: Path) -> Timeline:
        """Return the timeline of a run, updated to the end of its file."""
        with self._lock:
            found = self._kept.pop(events_file, None) or Timeline(events_file)
            found.update()
            self._kept[events_file] = found
            while len(self._kept) > _MAX_CACHED_RUNS:
                self._kept.popitem(last=False)
            return found
