"""Worker process of one evaluation.

It loads the base and the adapters, generates the missing answers, computes the missing losses of the references, and
scores all of it. Every answer and loss is written as soon as it is complete, so a crash loses only unfinished ones. The
worker alone writes state.json while it runs. SIGTERM is a stop request.
"""

import os
import signal
import time
import traceback
from pathlib import Path

from core.chat import arbiter
from core.chat.types import ResolvedLanes
from core.errors import StudioError
from core.evaluate import process, scoring
from core.evaluate.batch_generate import BatchGenerator
from core.evaluate.classification.choice import LabelPrompts, choice_labels
from core.evaluate.config import parse_lane
from core.evaluate.lens import AnswerLosses, LensReader
from core.evaluate.likelihood import ReferenceLosses
from core.evaluate.line_file import Line, LineReader, LineWriter
from core.evaluate.store import Evaluation, EvaluationStore
from core.evaluate.task import find_task
from core.hub.download import DownloadCancelled
from core.models import catalogue
from core.models.download import fetch
from core.models.loading import load_base
from core.settings import Settings
from core.system.fast_imports import disable_compiler, pause_gc
from core.system.process_limits import is_memory_error

# Interval of the checks for a training run that needs the GPU. They read files, so they are not made at every step.
_RUN_CHECK_SECONDS = 2.0
_REPORT_SECONDS = 0.5
_STOPPED = "stopped", "Stopped on request. Resume it to continue."
_MEMORY_RAN_OUT = (
    "The memory ran out; what was written until then is kept. Free memory, for example that of a chat, and resume the "
    "evaluation, or start another one with a smaller batch size or length."
)


class Worker:
    """The evaluation of this process."""

    def __init__(self, store: EvaluationStore, evaluation: Evaluation):
        self.store, self.evaluation = store, evaluation
        self.config = evaluation.config()
        # Why the evaluation frees the GPU for a training run; empty while it does not.
        self._yield_reason = ""
        self._last_run_check = 0.0
        self._last_report = 0.0

    def work(self) -> tuple[str, str]:
        """Generate the missing answers, compute the missing losses, and score; return the final status and its cause.

        Each step does only what is not on disk yet.
        """
        prompts = self.evaluation.prompts()
        resolved = process.resolve_evaluation_lanes(self.store.runs, self.config, prompts[0])
        self._stage(f"Loading {resolved.base.model}")
        generator = self._load(resolved)
        steps = self._answer, self._compute_losses, self._choose, self._read_answers
        ended = next((end for step in steps if (end := step(generator))), None)
        return ended or self._score()

    def _answer(self, generator: BatchGenerator) -> tuple[str, str] | None:
        """Generate the missing answers; return status and cause if the evaluation ends before they are complete."""
        count = len(generator.prompts)
        answered = self.evaluation.answers().offsets
        missing = generator.list_missing(
            answered,
            lambda index: self._stage(f"Prompts read: {index:,} of {count:,}") if index % 1000 == 0 else None,
        )
        writer = LineWriter(self.evaluation.answers_file)
        writer.write(generator.failures)
        if missing:
            budget = generator.plan_batch(missing[0].tokens)
            saved = self.evaluation.saved_state()
            weights = f"The base weights are kept as {saved.precision.replace(', ', ' and computed in ')}."
            notes = (weights, generator.lanes.decoding_note, budget.note)
            self._save(
                status="running", stage="", answering_since=time.time(),
                answered_at_start=len(answered) + len(generator.failures),
                choices=[*saved.choices, *(note for note in notes if note not in saved.choices)],
            )  # fmt: skip
            has_ended = False
            for lines in generator.generate(missing, budget, self._may_continue):
                writer.write(lines)
                has_ended = self._report_begun(generator, has_ended, lines)
                if self._is_stopped():
                    return _STOPPED
            self._save(answering_ended=time.time())
        writer.close()
        return None if len(self.evaluation.answers()) == count * len(self.config.lanes) else self._paused()

    def _report_begun(self, generator: BatchGenerator, has_ended: bool, lines: list[Line]) -> bool:
        """Report how many answers have begun until the first one ends, as reading the prompts takes minutes on a CPU.

        Args:
            generator: Counts the answers.
            has_ended: Whether an answer had ended before this step.
            lines: The answers that ended in this step.

        Returns:
            Whether an answer has ended.
        """
        if not has_ended and not lines:
            is_read = generator.begun == generator.joined
            reading = f"Reading the first prompts: {generator.begun:,} of {generator.joined:,}"
            self._report("Writing the first answers" if is_read else reading)
        elif not has_ended:
            self._stage("")
        return has_ended or bool(lines)

    def _compute_losses(self, generator: BatchGenerator) -> tuple[str, str] | None:
        """Compute the missing losses of references; return status and cause if the evaluation ends before the last."""
        losses = ReferenceLosses(generator.lanes, generator.requests, generator.prompts, self.config.loss_rows)
        return self._write_losses(
            losses, LineReader, self.evaluation.losses_file, "Measuring the loss on the references"
        )

    def _choose(self, generator: BatchGenerator) -> tuple[str, str] | None:
        """Compute the missing losses of labels, if the references are labels; return as `_compute_losses`."""
        labels, note = choice_labels(find_task(self.config.task, generator.prompts).labels)
        saved = self.evaluation.saved_state()
        if note and note not in saved.choices:
            self._save(choices=[*saved.choices, note])
        if labels is None:
            return None
        losses = ReferenceLosses(generator.lanes, generator.requests, LabelPrompts(generator.prompts, labels))
        return self._write_losses(
            losses, LineReader, self.evaluation.choices_file, "Measuring the likelihood of the labels"
        )

    def _read_answers(self, generator: BatchGenerator) -> tuple[str, str] | None:
        """Compute the missing likelihoods of answers, if they are asked for; return as `_compute_losses`."""
        if not self.config.lens:
            return None
        losses = AnswerLosses(generator.lanes, generator.requests, generator.prompts, self.evaluation.answers())
        stage = "Measuring the likelihood of the answers"
        return self._write_losses(losses, LensReader, self.evaluation.lens_file, stage)

    def _write_losses(
        self, losses: ReferenceLosses | AnswerLosses, reader: type[LineReader], path: Path, stage: str
    ) -> tuple[str, str] | None:
        """Compute the losses that a file lacks; return status and cause if the evaluation ends before the last.

        Args:
            losses: The computation.
            reader: The index of the file.
            path: The file.
            stage: Shown with the number of lines that are done.
        """
        offsets = reader(path, len(self.config.lanes)).update().offsets
        missing = losses.list_missing(offsets)
        if not missing:
            return None
        done, total = len(offsets), len(offsets) + len(missing)
        writer = LineWriter(path)
        self._save(status="running")
        for lines in losses.compute(missing, self._may_continue):
            writer.write(lines)
            done += len(lines)
            self._report(f"{stage}: {done:,} of {total:,}{losses.speed.describe_left()}")
            if self._is_stopped():
                return _STOPPED
        writer.close()
        return None if done == total else self._paused()

    def _score(self) -> tuple[str, str]:
        """Score all answers; return status and cause."""
        self._save(status="running", stage="Scoring")
        # The answers and losses are complete, so a pause or a stop has nothing left to interrupt.
        scoring.score(self.evaluation, lambda share, text: self._report(text))
        return "finished", ""

    def _paused(self) -> tuple[str, str]:
        return "paused", self._yield_reason or "Paused on request. Resume it to continue."

    def _is_stopped(self) -> bool:
        return self.evaluation.request("stop").exists()

    def _report(self, text: str) -> None:
        """Save the stage, at most once per interval."""
        if time.monotonic() - self._last_report > _REPORT_SECONDS:
            self._last_report = time.monotonic()
            self._stage(text)

    def _load(self, resolved: ResolvedLanes) -> BatchGenerator:
        """Load the base and the adapters, if the memory is free."""
        with pause_gc():
            from core.chat.lanes import Lanes

        arbiter.check_fits_for_evaluation(self.store.runs, resolved.base.config)
        model = catalogue.find(self.store.settings, resolved.base.model, resolved.base.revision, self._stage)
        fetch(model, self._stage, lambda: any(self.evaluation.request(name).exists() for name in ("stop", "pause")))
        self._stage(f"Loading {resolved.base.model}")
        base = load_base(model, resolved.base.precision, resolved.base.attention)
        lanes = Lanes(base, self.store.settings.fast_chat)
        self._save(precision=f"{resolved.base.quantization}, {str(lanes.model.dtype).removeprefix('torch.')}")
        for name, folder in resolved.adapter_folders.items():
            lanes.add_adapter(name, folder)
        return BatchGenerator(lanes, resolved.lanes, self.evaluation.prompts(), self.config.rows)

    def _may_continue(self) -> bool:
        """Return whether new answers may begin."""
        return not self.evaluation.request("pause").exists() and not self._must_yield()

    def _must_yield(self) -> bool:
        """Return whether a training run that is about to load its model needs the memory of this GPU."""
        if not self._yield_reason and time.monotonic() - self._last_run_check > _RUN_CHECK_SECONDS:
            self._last_run_check = time.monotonic()
            if run := arbiter.find_waiting_run(self.store.runs):
                self._yield_reason = (
                    f"The run {run.title} needs the memory of this GPU. Resume the evaluation after it."
                )
        return bool(self._yield_reason)

    def _stage(self, text: str) -> None:
        self._save(stage=text)

    def _save(self, **update: object) -> None:
        self.evaluation.save_state(self.evaluation.saved_state().model_copy(update=update))


def main(arguments: list[str]) -> int:
    """Work on the evaluation of the given folder; return the exit code."""
    disable_compiler()
    folder = Path(arguments[0])
    store = EvaluationStore(Settings(home=folder.parent.parent))
    evaluation = Evaluation(folder)

    def stop(*_: object) -> None:
        evaluation.request("stop").parent.mkdir(exist_ok=True)
        evaluation.request("stop").touch()

    signal.signal(signal.SIGTERM, stop)
    # The launcher holds this lock until it has written its own state, which must not overwrite this one.
    with store.lock():
        evaluation.save_state(evaluation.saved_state().with_process(os.getpid()))
    status, cause = _run(store, evaluation)
    result = {"status": status, "cause": cause, "stage": "", "ended": time.time()}
    evaluation.save_state(evaluation.saved_state().model_copy(update=result))
    return 1 if status == "failed" else 0


def _run(store: EvaluationStore, evaluation: Evaluation) -> tuple[str, str]:
    """Run the worker; turn every exception into the status "failed" with its cause."""
    try:
        return Worker(store, evaluation).work()
    except DownloadCancelled:
        status = "stopped" if evaluation.request("stop").exists() else "paused"
        cause = "on request, during the download of the model. Resume continues with the next file."
        return status, f"{status.capitalize()} {cause}"
    except Exception as error:
        if not isinstance(error, StudioError):
            traceback.print_exc()
        return "failed", _cause(store, evaluation, error)


def _cause(store: EvaluationStore, evaluation: Evaluation, error: Exception) -> str:
    """Return why the worker failed, for the user."""
    kept = {run.id for run in store.runs.runs()}
    deleted = [run for run, _ in map(parse_lane, evaluation.config().lanes) if run and run not in kept]
    if deleted:
        return f"The run {deleted[0]} was deleted, so it cannot answer any more. Start an evaluation of other models."
    if isinstance(error, StudioError):
        return str(error)
    if is_memory_error(error):
        return _MEMORY_RAN_OUT
    return f"{type(error).__name__} in the studio itself: {error}. See worker.log for details."
