"""Callback that reports a run while it trains: steps, held-out losses, samples, checkpoints; ends it on request.

transformers calls it back at these points of the training loop:

    on_train_begin    held-out loss and samples of the base model, before the first update
    on_step_end       ranks exchange tokens, rows and stop requests, and agree on whether to end
    on_log            the "step" event; every `eval_steps` the held-out loss, samples, early stopping
    on_save           marks the checkpoint as complete and deletes old ones
"""

import math
import time
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.runs import checkpoints
from core.runs.checkpoints import Checkpoint
from core.runs.config import TITLES, QLoRAConfig
from core.runs.events import (
    CheckpointEvent,
    EvalEvent,
    EventWriter,
    NoEvents,
    ResumedEvent,
    SampleEvent,
    StageEvent,
    StepEvent,
)
from core.runs.progress import duration
from core.runs.store import Run
from core.system.counting import counted
from core.train.system_metrics import SystemMetrics

# The progress of an evaluation pass is written after this time, and again when the time has grown by this factor.
_FIRST_STAGE_SECONDS, _STAGE_INTERVAL_GROWTH = 2.0, 1.5


@dataclass(frozen=True)
class _RankStep:
    """Report of a rank to the others after a step: its tokens, its rows, its machine's metrics, a stop request."""

    tokens: int
    rows: list[int]
    metrics: dict[str, Any]
    stop_requested: bool


class PassProgress:
    """Stage events of an evaluation pass: the rows that are done, and the time that is left.

    One is written at the beginning, the next after two seconds, and each later one after half of the time so far, so
    that a pass of an hour writes about twenty.
    """

    def __init__(self, events: EventWriter | NoEvents, step: int, rows: int, limit: int = 0):
        """Begin the pass.

        Args:
            events: Where the stages are written.
            step: The step at which it takes place; 0 is the base model.
            rows: How many held-out rows are used.
            limit: The setting that limits them; the subset may hold out more.
        """
        self._events, self._rows = events, rows
        reason = f" (the setting “{TITLES['eval_rows']}” takes no more)" if rows == limit else ""
        self._done = f"of {counted(rows, 'row')} done{reason}"
        self._about = "the base model's held-out loss" if step == 0 else "the held-out loss"
        self._began, self._next = time.monotonic(), _FIRST_STAGE_SECONDS
        events.write(StageEvent(text=f"Computing {self._about}, 0 {self._done}"))

    def report(self, share: float) -> None:
        """Write how far the pass is, if that was not done shortly before.

        Args:
            share: Share of the pass that is done, 0 to 1. Rows are ordered by length, so the time left is
                underestimated at first.
        """
        seconds = time.monotonic() - self._began
        if seconds >= self._next and share < 1:
            self._next = seconds * _STAGE_INTERVAL_GROWTH
            rows = f"{round(share * self._rows):,} {self._done}"
            left = duration(seconds / share * (1 - share))
            self._events.write(StageEvent(text=f"Computing {self._about}, {rows}, about {left} left"))


class Reporter(TrainerCallback):
    """Turns the trainer's callbacks into events, and a stop request into a checkpoint and an end.

    Attributes:
        stopped_early: Whether a stop request ended the run before its last step.
        end_reason: Why it ended before its last step without a request; empty if it did not.
    """

    def __init__(
        self,
        run: Run,
        events: EventWriter | NoEvents,
        trainer: Any,
        held_out: list[dict],
        config: QLoRAConfig,
        resumed_from: Checkpoint | None = None,
    ):
        """Collect what the callbacks need.

        Args:
            run: The run's folder.
            events: Where events are written; ranks other than the main one write none.
            trainer: The StudioTrainer.
            held_out: Tokenized held-out rows.
            config: The run's settings.
            resumed_from: The checkpoint that the run continues from.
        """
        self.run, self.events, self.trainer, self.held_out, self.config = run, events, trainer, held_out, config
        self.stopped_early = False
        self.end_reason = ""
        self._stop_requested = False
        self._resumed_from = resumed_from
        self._system_metrics = SystemMetrics()
        self._ranks = trainer.ranks
        self._tokens, self._step_tokens = resumed_from.tokens if resumed_from else 0, 0
        self._rank_steps: list[_RankStep] = []
        # Held-out losses by step.
        self._losses = _losses_so_far(run, resumed_from.step, config.eval_steps) if resumed_from else {}
        self._started = self._step_started = time.monotonic()

    def request_stop(self) -> None:
        """End the run after the current step."""
        self._stop_requested = True

    @property
    def _seconds(self) -> float:
        """Return the seconds spent on the run, those before a resume included."""
        return time.monotonic() - self._started + (self._resumed_from.seconds if self._resumed_from else 0.0)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Apply the current intervals, and evaluate before the first update."""
        # A checkpoint restores the intervals of the run so far over those that are set now.
        state.compute_steps(args, state.max_steps)
        self._ranks.seed_own_generator(self.config.seed)
        # Most initializations add nothing before the first update, so this is the base model's loss.
        if not state.global_step:
            self._evaluate(state, control)
        self._started = self._step_started = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Exchange what the ranks did, and end the run if one of them has a stop request."""
        # Only the main rank reads the request, and the exchange gives it to all: so all stop at the same step, or none.
        mine = _RankStep(
            self.trainer.take_tokens(), self.trainer.take_rows(), self._system_metrics.read(),
            stop_requested=self._ranks.is_main and (self._stop_requested or self.run.stop_request.exists()),
        )  # fmt: skip
        self._rank_steps = self._ranks.all_gather(mine)
        self._step_tokens = sum(step.tokens for step in self._rank_steps)
        self._tokens += self._step_tokens
        if any(step.stop_requested for step in self._rank_steps):
            control.should_training_stop = True
            control.should_save = True
            self.stopped_early = state.global_step < state.max_steps
        if state.global_step >= state.max_steps:
            control.should_save = True

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs=None, **_: Any
    ) -> None:
        """Write the step's event, and evaluate if it is time."""
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
                tokens_per_second=round(self._step_tokens / max(1e-6, now - self._step_started), 1),
                seconds=round(self._seconds, 2),
                rows=[row for step in self._rank_steps for row in step.rows],
                **_combine_metrics([step.metrics for step in self._rank_steps]),
            )
        )
        self._step_started = now
        is_last = state.global_step >= state.max_steps or control.should_training_stop
        if is_last or (self.config.eval_steps and state.global_step % self.config.eval_steps == 0):
            self._evaluate(state, control)
        if control.should_save:
            self.events.write(StageEvent(text="Saving a checkpoint"))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Mark the checkpoint as complete, and delete those that are no longer needed."""
        step = state.global_step
        # A barrier: after it, every rank has written its part of the checkpoint.
        self._ranks.all_gather(step)
        if not self._ranks.is_main:
            return
        saved = Checkpoint(step=step, loss=self._losses.get(step), tokens=self._tokens, seconds=round(self._seconds, 2))
        checkpoints.mark_complete(self.run.checkpoints_dir, saved)
        self.events.write(CheckpointEvent(step=step))
        checkpoints.prune(self.run.checkpoints_dir, self.config.keep_checkpoints)
        # Time spent on saving is not training speed.
        self._step_started = time.monotonic()

    def _evaluate(self, state: TrainerState, control: TrainerControl) -> None:
        """Compute the held-out loss, unless the step has one already, and generate the samples."""
        step = state.global_step
        if self.held_out and step not in self._losses:
            started = time.monotonic()
            stages = PassProgress(self.events, step, len(self.held_out), self.config.eval_rows)
            metrics = self.trainer.evaluate_held_out(self.held_out, self.config.rows_per_gpu, stages.report)
            seconds = round(time.monotonic() - started, 2)
            self.events.write(EvalEvent(step=step, **metrics, rows=len(self.held_out), seconds=seconds))
            self._losses[step] = metrics["loss"]
            self._check_best(state, control)
        questions = self.config.questions
        if questions and self._ranks.is_main:
            self.events.write(StageEvent(text="Answering the sample prompts"))
            answers = self.trainer.answer_samples(questions, self.config.sample_tokens)
            self.events.write(SampleEvent(step=step, prompts=questions, answers=answers))
        self._step_started = time.monotonic()

    def _check_best(self, state: TrainerState, control: TrainerControl) -> None:
        """Save a checkpoint of the lowest loss so far, and end a run whose loss has not improved for long."""
        step = state.global_step
        # At step 0 there is nothing to save.
        if not step:
            return
        # A loss that is not a number is no improvement: if no other was computed, the start is the best.
        finite = {at: loss for at, loss in self._losses.items() if math.isfinite(loss)}
        best = min(finite, key=lambda at: (finite[at], at), default=0)
        # If keep_best was switched on at a resume, an earlier step without a checkpoint may have had a lower loss.
        saved = {0, step, *(checkpoint.step for checkpoint in checkpoints.complete(self.run.checkpoints_dir))}
        if self.config.keep_best and min(finite.keys() & saved, key=lambda at: (finite[at], at), default=0) == step:
            control.should_save = True
        since_best = sum(at > best for at in self._losses)
        # After the last step there is nothing left to end early.
        if 0 < self.config.early_stopping <= since_best and step < state.max_steps:
            control.should_training_stop = control.should_save = True
            passes = f"{since_best} evaluation passes in a row were" if since_best > 1 else "the evaluation pass was"
            self.end_reason = f"Ended early: {passes} no better than that at step {best}."


def _losses_so_far(run: Run, last: int, every: int) -> dict[int, float]:
    """Return the held-out losses so far by step, without those that only the end of an attempt has caused.

    Args:
        run: The run.
        last: The step that it continues from.
        every: Steps between evaluation passes.
    """
    events = run.events()
    # The last step of an attempt has a pass, too, which must not bring early stopping nearer at each stop and resume.
    ends = {last, *(event.step for event in events if isinstance(event, ResumedEvent))}
    extra = {step for step in ends if step and (not every or step % every)}
    passes = [e for e in events if isinstance(e, EvalEvent) and e.step <= last and e.step not in extra]
    # A loss that is not finite is stored as text, such as "nan".
    return {event.step: float(event.loss) for event in passes if event.loss is not None}


def _combine_metrics(ranks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the memory of the GPU whose peak is highest, and the average utilization of all."""
    combined = {"memory_gib": max(metrics["memory_gib"] for metrics in ranks)}
    uses = [metrics["utilization"] for metrics in ranks if "utilization" in metrics]
    return combined | ({"utilization": sum(uses) / len(uses)} if uses else {})
