"""Progress of a run, computed from its events alone: step, time left, losses, and what was prepared."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from core.runs.events import EndEvent, EvalEvent, PreparedEvent, RunEvent, StageEvent, StepEvent


@dataclass(frozen=True)
class Progress:
    """Latest metrics and position of a run.

    Attributes:
        stage: What the worker does now; empty from the end of a stage on.
        base_loss: Held-out loss before the first update: the base model's, unless the initialization changes it.
        held_out_loss: Latest held-out loss.
        seconds_left: Estimate from the mean speed so far; None before the first step and after the last.
        prepared: What was trained on and decided; None before that is known.
    """

    stage: str = ""
    step: int = 0
    total: int = 0
    loss: float | str | None = None
    learning_rate: float | str | None = None
    tokens_per_second: float | str | None = None
    base_loss: float | str | None = None
    held_out_loss: float | str | None = None
    seconds: float = 0.0
    seconds_left: float | None = None
    prepared: PreparedEvent | None = None

    @property
    def share(self) -> float:
        """Return the fraction of the steps that are done, 0 to 1."""
        return self.step / self.total if self.total else 0.0


def progress(events: Iterable[RunEvent]) -> Progress:
    """Return the progress that the events of a run add up to."""
    last: dict[type[RunEvent], Any] = {}
    losses: list[float | str | None] = []
    stage = ""
    for event in events:
        last[type(event)] = event
        stage = event.text if isinstance(event, StageEvent) else ""
        if isinstance(event, EvalEvent):
            losses.append(event.loss)
    prepared: PreparedEvent | None = last.get(PreparedEvent)
    # Before the first step, only the preparation knows how many steps there will be.
    step: StepEvent = last.get(StepEvent) or StepEvent(step=0, total=prepared.total_steps if prepared else 0)
    seconds = step.seconds or 0.0
    is_training = step.step > 0 and EndEvent not in last
    return Progress(
        stage=stage,
        step=step.step,
        total=step.total,
        loss=step.loss,
        learning_rate=step.learning_rate,
        tokens_per_second=step.tokens_per_second,
        base_loss=losses[0] if losses else None,
        held_out_loss=losses[-1] if losses else None,
        seconds=seconds,
        seconds_left=seconds / step.step * (step.total - step.step) if is_training else None,
        prepared=prepared,
    )


def duration(seconds: float) -> str:
    """Return a duration in two units at most: "45 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
