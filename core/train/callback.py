"""Reports a run while it trains: an event a step, held-out losses, sample answers, checkpoints, the wish to stop."""

import math
import time
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.runs import checkpoints
from core.runs.checkpoints import Checkpoint
from core.runs.config import QLoRAConfig
from core.runs.events import CheckpointEvent, EvalEvent, EventWriter, NoEvents, SampleEvent, StepEvent
from core.runs.store import Run
from core.train.system_metrics import Gauge


@dataclass(frozen=True)
class _Seen:
    """What a rank has to say after a step."""

    tokens: int
    rows: list[int]
    load: dict[str, Any]
    stop: bool


class Reporter(TrainerCallback):
    """Turns the trainer's callbacks into events, and a stop request into a checkpoint and an end."""

    def __init__(
        self,
        run: Run,
        events: EventWriter | NoEvents,
        trainer: Any,
        held_out: list[dict],
        config: QLoRAConfig,
        since: Checkpoint | None = None,
    ):
        """
        Args:
            since: the checkpoint that the run goes on from.
        """
        self.run, self.events, self.trainer, self.held_out, self.config = run, events, trainer, held_out, config
        self.stopped_early = False
        self.ended_because = ""  # why it ended before its last step, when nobody asked it to
        self._stop_asked = False
        self._since = since
        self._gauge = Gauge()
        self._ranks = trainer.ranks
        self._tokens, self._new_tokens = since.tokens if since else 0, 0
        self._seen: list[_Seen] = []
        self._losses: dict[int, float] = {
            c.step: c.loss for c in checkpoints.whole(run.checkpoints_dir) if c.loss is not None
        }
        self._began = self._step_began = time.monotonic()

    def stop(self) -> None:
        self._stop_asked = True

    @property
    def _seconds(self) -> float:
        """Time spent on the run, that before it was resumed included."""
        return time.monotonic() - self._began + (self._since.seconds if self._since else 0.0)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        # A checkpoint restores the intervals of the run so far over those that are set now.
        state.compute_steps(args, state.max_steps)
        self._ranks.own_noise(self.config.seed)
        if not state.global_step:  # before the first update the adapter adds nothing: this is the base model
            self._measure(state, control)
        self._began = self._step_began = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        mine = _Seen(
            self.trainer.take_tokens(), self.trainer.take_rows(), self._gauge.read(),
            stop=self._ranks.first and (self._stop_asked or self.run.stop_request.exists()),
        )  # fmt: skip
        self._seen = self._ranks.all_of(mine)  # all ranks stop at one step, or none
        self._new_tokens = sum(seen.tokens for seen in self._seen)
        self._tokens += self._new_tokens
        if any(seen.stop for seen in self._seen):
            control.should_training_stop = True
            control.should_save = True
            self.stopped_early = state.global_step < state.max_steps
        if state.global_step >= state.max_steps:
            control.should_save = True

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs=None, **_: Any
    ) -> None:
        if not logs or "loss" not in logs:
            return
        now = time.monotonic()
        self.events.write(
            StepEvent(
                step=state.global_step,
                total=state.max_steps,
                loss=logs["loss"],
                learning_rate=logs.get("learning_rate"),
                grad_norm=logs.get("grad_norm"),
                epoch=round(state.epoch or 0, 4),
                tokens=self._tokens,
                tokens_per_second=round(self._new_tokens / max(1e-6, now - self._step_began), 1),
                seconds=round(self._seconds, 2),
                rows=[row for seen in self._seen for row in seen.rows],
                # of several GPUs, the one that is fullest, and how busy they are on average
                **_joined([seen.load for seen in self._seen]),
            )
        )
        self._step_began = now
        last = state.global_step >= state.max_steps or control.should_training_stop
        if last or (self.config.eval_steps and state.global_step % self.config.eval_steps == 0):
            self._measure(state, control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        step = state.global_step
        self._ranks.all_of(step)  # every rank has written its part
        if not self._ranks.first:
            return
        found = Checkpoint(step=step, loss=self._losses.get(step), tokens=self._tokens, seconds=round(self._seconds, 2))
        checkpoints.mark_whole(self.run.checkpoints_dir, found)
        self.events.write(CheckpointEvent(step=step))
        checkpoints.prune(self.run.checkpoints_dir, self.config.keep_checkpoints)
        self._step_began = time.monotonic()

    def _measure(self, state: TrainerState, control: TrainerControl) -> None:
        step = state.global_step
        if self.held_out and step not in self._losses:
            began = time.monotonic()
            loss = self.trainer.held_out_loss(self.held_out, self.config.rows_per_gpu)
            seconds = round(time.monotonic() - began, 2)
            self.events.write(EvalEvent(step=step, loss=loss, rows=len(self.held_out), seconds=seconds))
            self._losses[step] = loss
            self._judge(step, control)
        questions = self.config.questions
        if questions and self._ranks.first:
            answers = self.trainer.answers(questions, self.config.sample_tokens)
            self.events.write(SampleEvent(step=step, prompts=questions, answers=answers))
        self._step_began = time.monotonic()

    def _judge(self, step: int, control: TrainerControl) -> None:
        """Whether this loss is worth a checkpoint, and whether the run is worth going on with."""
        measured = sorted((s, loss) for s, loss in self._losses.items() if math.isfinite(loss))
        if not measured or not step:
            return
        best, _ = min(measured, key=lambda item: (item[1], item[0]))
        if self.config.keep_best and best == step:
            control.should_save = True
        since_best = sum(s > best for s, _ in measured)
        if self.config.early_stopping and since_best >= self.config.early_stopping:
            control.should_training_stop = control.should_save = True
            self.ended_because = (
                f"Ended early: {since_best} evaluations in a row were no better than that at step {best}."
            )


def _joined(loads: list[dict[str, Any]]) -> dict[str, Any]:
    found = {"memory_gib": max(load["memory_gib"] for load in loads)}
    uses = [load["use"] for load in loads if "use" in load]
    return found | ({"use": sum(uses) / len(uses)} if uses else {})
