"""Progress of a run, computed from its events alone: step, time left, losses, and what was prepared."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from core.runs.events import EndEvent, EvalEvent, PreparedEvent, ResumedEvent, RunEvent, StageEvent, StepEvent


@dataclass(frozen=True)
class Activity:
    """Present activity of a run's worker.

    Attributes:
        stage: Text of its stage; empty from the end of a stage on.
        since: When it began, in seconds since the epoch; 0 before the first event. For a stage that reports its
            progress repeatedly, the time of the first report.
    """

    stage: str = ""
    since: float = 0.0

    def after(self, event: RunEvent) -> "Activity":
        """Return what the worker does after an event."""
        stage = event.text if isinstance(event, StageEvent) else ""
        # The text before the first comma stays the same while a stage goes on.
        goes_on = bool(stage) and stage.partition(",")[0] == self.stage.partition(",")[0]
        return Activity(stage, self.since if goes_on else event.time)


@dataclass(frozen=True)
class RunProgress:
    """Latest metrics and position of a run.

    Attributes:
        activity: What the worker does now.
        stepped: When the last step ended, in seconds since the epoch; 0 if that was before the last resume.
        is_over: Whether the last attempt has reported its end.
        base_loss: Held-out loss before the first update: the base model's, unless the initialization changes it.
        held_out_loss: Latest held-out loss.
        accuracy: Latest held-out accuracy of a classifier; None for other runs.
        macro_f1: Latest held-out macro-F1 of a classifier.
        base_accuracy: Held-out accuracy before the first update.
        seconds: Time spent on training, including the time before a resume.
        seconds_left: Estimate from the mean speed so far; None before the first step and after the last.
        prepared: What was trained on and decided; None before that is known.
    """

    activity: Activity = Activity()
    stepped: float = 0.0
    is_over: bool = False
    step: int = 0
    total: int = 0
    loss: float | str | None = None
    learning_rate: float | str | None = None
    tokens_per_second: float | str | None = None
    base_loss: float | str | None = None
    held_out_loss: float | str | None = None
    accuracy: float | str | None = None
    macro_f1: float | str | None = None
    base_accuracy: float | str | None = None
    seconds: float = 0.0
    seconds_left: float | None = None
    prepared: PreparedEvent | None = None

    @property
    def share(self) -> float:
        """Return the fraction of the steps that are done, 0 to 1."""
        return self.step / self.total if self.total else 0.0


def progress(events: Iterable[RunEvent], activity: Activity | None = None) -> RunProgress:
    """Return the progress that the events of a run add up to.

    Args:
        events: All of them in order, or the last of each kind.
        activity: What the worker does now; None: computed from the events, which must then be complete and in order.
    """
    last: dict[type[RunEvent], Any] = {}
    evals: list[EvalEvent] = []
    now = Activity()
    for event in events:
        last[type(event)] = event
        now = now.after(event)
        if isinstance(event, EvalEvent):
            evals.append(event)
    prepared: PreparedEvent | None = last.get(PreparedEvent)
    # Before the first step, only the preparation knows how many steps there will be.
    step: StepEvent = last.get(StepEvent) or StepEvent(step=0, total=prepared.total_steps if prepared else 0)
    seconds = step.seconds or 0.0
    resumed: RunEvent = last.get(ResumedEvent) or ResumedEvent()
    is_over = EndEvent in last
    return RunProgress(
        activity=activity or now,
        stepped=step.time if step.time > resumed.time else 0.0,
        is_over=is_over,
        step=step.step,
        total=step.total,
        loss=step.loss,
        learning_rate=step.learning_rate,
        tokens_per_second=step.tokens_per_second,
        base_loss=evals[0].loss if evals else None,
        held_out_loss=evals[-1].loss if evals else None,
        accuracy=evals[-1].accuracy if evals else None,
        macro_f1=evals[-1].macro_f1 if evals else None,
        base_accuracy=evals[0].accuracy if evals else None,
        seconds=seconds,
        seconds_left=seconds / step.step * (step.total - step.step) if step.step and not is_over else None,
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
