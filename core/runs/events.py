"""Typed events of a run, and the append-only events.jsonl that the worker writes while pages read it.

Each kind of line is a pydantic model, declared here only. The worker writes models, and every reader gets models back.
A line that an earlier or later version wrote still opens: missing fields take their defaults, unknown fields are kept,
and an unknown kind, or a line that does not fit its kind, is read as a plain `RunEvent`.
"""

import json
import math
import os
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from core.system.files import ends_with_newline, file_size

FILE = "events.jsonl"


def _to_json_number(value: float | str | None) -> float | str | None:
    """Return NaN and infinity as text, because JSON has neither."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _replace_surrogates(value: Any) -> Any:
    """Replace lone surrogates, which UTF-8 cannot hold (they come from file names in error messages)."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


# A metric, which may be missing. NaN is read back as the text "nan", so that no chart shows it as 0.
Number = Annotated[float | str | None, PlainSerializer(_to_json_number)]
Text = Annotated[str, BeforeValidator(_replace_surrogates)]


class RunEvent(BaseModel):
    """One line of events.jsonl: its kind, and the seconds since the epoch at which it was written."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    event: str
    time: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the line as it is in the file: the fields that were set, and unknown ones."""
        # Fields that were not set are left out, so that a line that is read and written again stays the same.
        fields = self.model_dump(exclude_unset=True, by_alias=True, exclude={"event", "time"})
        return {"event": self.event, "time": self.time, **fields}


class StageEvent(RunEvent):
    """A stage of the preparation or of a long evaluation pass, described for the user."""

    event: Literal["stage"] = "stage"
    text: Text = ""


class Provenance(BaseModel):
    """Provenance of a run, which stored runs have under the name "lineage": its versions and hardware.

    Attributes:
        base_commit: Commit of the base model on the Hub; None for a local folder.
        code: Commit of the studio, with "-dirty" if files were changed.
    """

    model_config = ConfigDict(extra="allow")

    base_commit: str | None = None
    code: str = ""
    packages: dict[str, str] = Field(default_factory=dict)
    python: str = ""
    hardware: str = ""


class PreparedEvent(RunEvent):
    """Model and rows are ready; training begins.

    Attributes:
        total_steps: Optimizer updates of the whole run.
        rows: Rows that are trained on.
        held_out_rows: Rows that the evaluation passes use.
        left_out: Rows that cannot be trained on, counted by reason.
        truncated: Rows that exceed the maximum length.
        tokens: Tokens of one epoch.
        answer_tokens: Tokens of one epoch that carry loss; 0 for a classifier.
        choices: Decisions that were made for the user, each with its reason.
    """

    event: Literal["prepared"] = "prepared"
    total_steps: int = 0
    rows: int = 0
    held_out_rows: int = 0
    left_out: dict[str, int] = Field(default_factory=dict)
    truncated: int = 0
    tokens: int = 0
    answer_tokens: int = 0
    trainable: int = 0
    template: str = ""
    choices: list[str] = Field(default_factory=list)
    lineage: Provenance | None = None
    seconds: float = 0.0


class ResumedEvent(RunEvent):
    """The run continues from a checkpoint; later events of the earlier attempt no longer count.

    Attributes:
        step: Step of the checkpoint; 0 if the run starts over.
        previous: Old values of the settings that the resume changed.
    """

    event: Literal["resumed"] = "resumed"
    step: int = 0
    previous: dict[str, Any] = Field(default_factory=dict)


class StepEvent(RunEvent):
    """Metrics of one optimizer update.

    Attributes:
        total: Optimizer updates of the whole run.
        grad_norm: Norm of the gradient before it is clipped.
        tokens: Tokens trained on so far.
        seconds: Time spent on training so far, including the time before a resume.
        rows: Numbers of the rows of this update.
        memory_gib: Peak of the allocated memory of the fullest GPU so far; without a GPU, what the process holds now.
        utilization: Utilization of the GPUs or the processor in percent, averaged over the GPUs.
    """

    event: Literal["step"] = "step"
    step: int
    total: int = 0
    loss: Number = None
    learning_rate: Number = None
    grad_norm: Number = None
    epoch: float = 0.0
    tokens: int | None = 0
    tokens_per_second: Number = None
    seconds: float | None = 0.0
    rows: list[int] = Field(default_factory=list)
    memory_gib: Number = None
    utilization: Number = Field(None, alias="use")


class EvalEvent(RunEvent):
    """Held-out loss at a step; `rows` were evaluated in `seconds`. Accuracy and macro-F1 are a classifier's."""

    event: Literal["eval"] = "eval"
    step: int
    loss: Number = None
    accuracy: Number = None
    macro_f1: Number = None
    rows: int = 0
    seconds: float = 0.0


class SampleEvent(RunEvent):
    """Answers to the sample prompts at a step, in the order of the prompts."""

    event: Literal["sample"] = "sample"
    step: int
    prompts: list[Text] = Field(default_factory=list)
    answers: list[Text] = Field(default_factory=list)


class CheckpointEvent(RunEvent):
    """A checkpoint is complete on disk."""

    event: Literal["checkpoint"] = "checkpoint"
    step: int


class EndEvent(RunEvent):
    """The last event of an attempt, with the run's last status and its cause."""

    event: Literal["done", "failed"]
    status: str = ""
    cause: Text = ""


_KINDS: dict[str, type[RunEvent]] = {
    "stage": StageEvent, "prepared": PreparedEvent, "resumed": ResumedEvent, "step": StepEvent, "eval": EvalEvent,
    "sample": SampleEvent, "checkpoint": CheckpointEvent, "done": EndEvent, "failed": EndEvent,
}  # fmt: skip


def parse_event(values: dict[str, Any]) -> RunEvent:
    """Return the model of one line.

    Args:
        values: The line's JSON object; "event" is text.
    """
    try:
        return _KINDS.get(values["event"], RunEvent).model_validate(values)
    except ValidationError:
        # One damaged line must not hide the others: it is shown as it is and takes part in no curve.
        written = values.get("time")
        return RunEvent.model_validate(values | {"time": written if isinstance(written, (int, float)) else 0.0})


class EventWriter:
    """Writer that appends events to a file. Each line is on disk before `write` returns."""

    def __init__(self, path: Path):
        self._stream = path.open("ab")
        # If a crash left half a line, end it, or it would swallow the next event.
        if path.stat().st_size and not ends_with_newline(path):
            self._stream.write(b"\n")

    def write(self, event: RunEvent) -> None:
        """Append one event, stamped with the current time."""
        line = json.dumps(event.to_json() | {"time": round(time.time(), 3)}, ensure_ascii=False, allow_nan=True)
        self._stream.write(line.encode("utf-8", "replace") + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())


class NoEvents:
    """Writer that drops its events, for the ranks that train beside the main rank."""

    def write(self, event: RunEvent) -> None:
        """Drop the event."""


class EventReader:
    """Base of readers that follow a growing file: each update reads only the new lines."""

    def __init__(self, path: Path):
        self.path = path
        # In bytes: where the next update begins, and where the line of the event that is taken begins.
        self._offset = self.line_start = 0

    def take(self, event: RunEvent) -> None:
        """Process the next event."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget all events, because the file starts anew."""
        raise NotImplementedError

    def update(self) -> bool:
        """Read the complete lines that are new, and return whether there were any; a shorter file is a new one."""
        end = file_size(self.path)
        if end < self._offset:
            self.reset()
            self._offset = 0
        if end == self._offset:
            return False
        with self.path.open("rb") as stream:
            stream.seek(self._offset)
            chunk = stream.read(end - self._offset)
        # The writer may be in the middle of the last line; it is left for the next update.
        complete = chunk.rfind(b"\n") + 1
        next_start, self._offset = self._offset, self._offset + complete
        for line in chunk[:complete].split(b"\n"):
            self.line_start, next_start = next_start, next_start + len(line) + 1
            if line.strip():
                try:
                    values = json.loads(line)
                except ValueError:
                    # A line cut short by a crash; the writer started a new one after it.
                    continue
                if isinstance(values, dict) and isinstance(values.get("event"), str):
                    self.take(parse_event(values))
        return complete > 0


class History(EventReader):
    """All events of a run, in order, each step once.

    A resumed run goes back to its checkpoint. The events after that step are reported again, and the earlier end does
    not count, so both are dropped.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        self.events: list[RunEvent] = []

    def reset(self) -> None:
        """Forget all events."""
        self.events = []

    def take(self, event: RunEvent) -> None:
        """Append the event; a resume first drops what it makes obsolete."""
        if isinstance(event, ResumedEvent):
            self.events = [
                e for e in self.events
                # In a damaged line the step may be anything.
                if not (isinstance(step := getattr(e, "step", 0), int) and step > event.step)
                and not isinstance(e, EndEvent)
            ]  # fmt: skip
        self.events.append(event)


def read(path: Path) -> list[RunEvent]:
    """Return all events of a run."""
    history = History(path)
    history.update()
    return history.events
