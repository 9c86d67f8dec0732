"""Reports a run while it trains: an event a step, held-out losses, checkpoints, and the wish to stop."""

import math
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.runs.config import QLoRAConfig
from core.runs.events import EventWriter
from core.runs.store import Run


class Reporter(TrainerCallback):
    """Turns the trainer's callbacks into events, and a stop request into a checkpoint and an end."""

    def __init__(self, run: Run, events: EventWriter, trainer: Any, held_out: list[dict], config: QLoRAConfig):
        self.run, self.events, self.trainer, self.held_out, self.config = run, events, trainer, held_out, config
        self.stopped_early = False
        self._stop_asked = False
        self._step_began = self._began = time.time()
        self._tokens_before = 0
        self._measured_at: int | None = None

    def stop(self) -> None:
        self._stop_asked = True

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._measure(state.global_step)  # before the first update the adapter adds nothing: this is the base model
        self._step_began = self._began = time.time()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._stop_asked or self.run.stop_request.exists():
            control.should_training_stop = True
            control.should_save = True
            self.stopped_early = state.global_step < state.max_steps

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs=None, **_: Any
    ) -> None:
        if not logs or "loss" not in logs:
            return
        now = time.time()
        tokens = self.trainer.tokens_seen - self._tokens_before
        seconds = now - self._step_began
        self.events.write(
            "step",
            step=state.global_step,
            total=state.max_steps,
            loss=_number(logs["loss"]),
            learning_rate=logs.get("learning_rate"),
            grad_norm=_number(logs.get("grad_norm")),
            epoch=round(state.epoch or 0, 4),
            tokens=self.trainer.tokens_seen,
            tokens_per_second=round(tokens / seconds, 1),
            seconds=round(now - self._began, 2),
        )
        self._step_began, self._tokens_before = now, self.trainer.tokens_seen
        last = state.global_step >= state.max_steps or control.should_training_stop
        if last or (self.config.eval_steps and state.global_step % self.config.eval_steps == 0):
            self._measure(state.global_step)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self.events.write("checkpoint", step=state.global_step, folder=folder.name)
        self._step_began = time.time()

    def _measure(self, step: int) -> None:
        if not self.held_out or self._measured_at == step:
            return
        self._measured_at = step
        began = time.time()
        loss = self.trainer.held_out_loss(self.held_out, self.config.batch_size)
        self.events.write(
            "eval", step=step, loss=_number(loss), rows=len(self.held_out), seconds=round(time.time() - began, 2)
        )
        self._step_began = time.time()


def _number(value: float | None) -> float | None:
    """A number as JSON can hold it: NaN and infinity become text, which a reader shows and never draws as 0."""
    if value is None or math.isfinite(value):
        return value
    return str(value)  # type: ignore[return-value]
