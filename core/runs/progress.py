"""What a run's events say so far: how far it is, how long it will take, its losses, what it was told and decided."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Progress:
    """A run's state of affairs, computed from its events alone.

    Attributes:
        base_loss: held-out loss before the first update, which is the base model's.
        seconds_left: at the mean pace so far; None before the first step and after the last.
    """

    stage: str = ""
    step: int = 0
    total: int = 0
    loss: float | str | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    base_loss: float | str | None = None
    held_out_loss: float | str | None = None
    seconds: float = 0.0
    seconds_left: float | None = None
    prepared: dict[str, Any] = field(default_factory=dict)

    @property
    def share(self) -> float:
        return self.step / self.total if self.total else 0.0


def progress(events: list[dict[str, Any]]) -> Progress:
    last: dict[str, dict[str, Any]] = {}
    for event in events:
        last[event["event"]] = event
    evals = [event["loss"] for event in events if event["event"] == "eval"]
    prepared, step = last.get("prepared", {}), last.get("step", {})
    done, total = step.get("step", 0), step.get("total", prepared.get("total_steps", 0))
    seconds = step.get("seconds", 0.0)
    ended = "done" in last or "failed" in last
    return Progress(
        stage=last.get("stage", {}).get("text", ""),
        step=done,
        total=total,
        loss=step.get("loss"),
        learning_rate=step.get("learning_rate"),
        tokens_per_second=step.get("tokens_per_second"),
        base_loss=evals[0] if evals else None,
        held_out_loss=evals[-1] if evals else None,
        seconds=seconds,
        seconds_left=seconds / done * (total - done) if done and not ended else None,
        prepared=prepared,
    )


def curve(events: list[dict[str, Any]], event: str, value: str) -> list[tuple[int, Any]]:
    """(step, value) of every event of one kind."""
    return [(e["step"], e[value]) for e in events if e["event"] == event and e.get(value) is not None]


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
