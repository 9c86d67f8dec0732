"""Repetition of some steps of a run from one of its checkpoints, or from its beginning.

The run is prepared as its worker did, with a folder of its own that is removed afterwards, and resumed from the
checkpoint. Nothing is evaluated and no sample is answered: neither affects the steps.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.errors import StudioError
from core.hardware import gpu
from core.models import catalogue
from core.models.download import fetch
from core.runs import checkpoints, classifier
from core.runs.config import QLoRAConfig
from core.runs.events import ResumedEvent, StepEvent
from core.runs.receipt import steps_of
from core.runs.store import Run
from core.settings import Settings
from core.system.jobs import Progress
from core.train.dry_run import StageProgress
from core.train.failure_messages import describe_failure
from core.train.verification import TOLERANCE, Check, ReplayedStep

if TYPE_CHECKING:
    from core.train.trainer import StudioTrainer

_WEIGHTS = "adapter_model.safetensors"
_PREPARED = 0.4


@dataclass
class Replay:
    """Steps that were repeated.

    Attributes:
        start: The step that they began from.
        steps: The steps.
        kernels: What the preparation chose, each with its reason.
        weights: Comparison of the adapter after the last of them; None if none of that step was saved.
    """

    start: int
    steps: list[ReplayedStep] = field(default_factory=list)
    kernels: list[str] = field(default_factory=list)
    weights: Check | None = None


class _Recorder(TrainerCallback):
    """Callback that compares each step with the recorded one, and ends the training after the last of them."""

    def __init__(self, trainer: Any, recorded: dict[int, StepEvent], last: int, progress: Progress):
        self._trainer, self._recorded, self._last, self._progress = trainer, recorded, last, progress
        self._rows: list[int] = []
        self.steps: list[ReplayedStep] = []

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Apply the intervals as the run's own callback does."""
        state.compute_steps(args, state.max_steps)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Take the rows of the step, and end after the last one; nothing is saved."""
        self._rows = self._trainer.take_rows()
        control.should_training_stop = control.should_training_stop or state.global_step >= self._last
        control.should_save = False

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs=None, **_: Any
    ) -> None:
        """Compare the loss of the step."""
        if not logs or "loss" not in logs:
            return
        # A step that was removed from the events has no loss to compare with.
        step = state.global_step
        event = self._recorded.get(step, StepEvent(step=step))
        # The order within a step depends on how several GPUs have shared it.
        same_rows = sorted(event.rows) == sorted(self._rows)
        self.steps.append(ReplayedStep(step=step, recorded=event.loss, repeated=logs["loss"], same_rows=same_rows))
        self._progress(1.0, f"Step {step:,}, the last is {self._last:,}")


def choose_start(run: Run, steps: int, wanted: int | None = None) -> int:
    """Return the step from which steps of a run can be repeated: a complete checkpoint, or 0.

    Args:
        run: The run.
        steps: Steps to repeat.
        wanted: The step that is asked for; None: the last one after which as many steps follow.

    Raises:
        StudioError: The run has no step, or cannot be repeated from the wanted one.
    """
    events = run.events()
    last = max((event.step for event in steps_of(events)), default=0)
    # Before a resume that changed settings, the run had others than those that it has now.
    since = max((e.step for e in events if isinstance(e, ResumedEvent) and e.previous), default=0)
    saved = [c.step for c in checkpoints.complete(run.checkpoints_dir) if _has_state(run, c.step)]
    possible = [step for step in [0, *saved] if since <= step < last]
    if not possible:
        raise StudioError(
            f"No step of {run.title} can be repeated: no checkpoint with the optimizer's state is left from step "
            f"{since:,} on. Only the hashes can be compared: set Steps to 0."
        )
    if wanted is not None and wanted not in possible:
        raise StudioError(
            f"{run.title} cannot be repeated from step {wanted:,}. Choose one of: {', '.join(map(str, possible))}."
        )
    long_enough = [step for step in possible if step + steps <= last]
    return max(long_enough or possible[:1]) if wanted is None else wanted


def _has_state(run: Run, step: int) -> bool:
    return (checkpoints.folder_of(run.checkpoints_dir, step) / "trainer_state.json").is_file()


def replay(settings: Settings, run: Run, start: int, steps: int, adapter_step: int, progress: Progress) -> Replay:
    """Repeat steps of a run.

    Args:
        settings: The studio's settings.
        run: The run.
        start: The step of a checkpoint, or 0.
        steps: Number of steps; fewer if the run ends before.
        adapter_step: Step whose weights the finished adapter has.
        progress: Called with a share from 0 to 1 and a text.

    Raises:
        StudioError: The run cannot be prepared, or a step fails.
    """
    import torch

    os.environ.update(gpu.only(0))
    from core.train.determinism import fixed_cublas_workspace

    config = run.config().model_copy(update={"report_to": "none", "gpus": 1})
    # The folder lies among the runs, on the same disk; its name begins with a dot, so no list shows it.
    folder = tempfile.TemporaryDirectory(dir=settings.runs_dir, prefix=".verify-")
    with folder as scratch, fixed_cublas_workspace(config):
        copy = Run(Path(scratch))
        if (run.folder / classifier.FILE).is_file():
            shutil.copy(run.folder / classifier.FILE, copy.folder)
        try:
            return _replay(settings, run, copy, config, start, steps, adapter_step, progress)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            raise StudioError(describe_failure(error)) from error


def _replay(
    settings: Settings, run: Run, copy: Run, config: QLoRAConfig, start: int, steps: int, adapter_step: int,
    progress: Progress,
) -> Replay:  # fmt: skip
    from transformers import set_seed

    from core.train.preparation import prepare

    fetch(catalogue.locate(settings, config.model, config.revision), lambda text: progress(0.05, text))
    set_seed(config.seed)
    # The chat gives way to runs only, so waiting for its memory would be in vain.
    prepared = prepare(settings, config, copy, StageProgress(progress), waits_for_chat=False)
    trainer = prepared.trainer
    # This callback prints each step, which is meant for a worker's log.
    trainer.remove_callback(PrinterCallback)
    recorded = {event.step: event for event in steps_of(run.events())}
    last = min(start + steps, max(recorded))

    def advance(share: float, stage: str) -> None:
        done = len(recorder.steps) / (last - start)
        progress(_PREPARED + (1 - _PREPARED) * done, stage)

    recorder = _Recorder(trainer, recorded, last, advance)
    trainer.add_callback(recorder)
    begin = str(checkpoints.folder_of(run.checkpoints_dir, start)) if start else None
    trainer.train(resume_from_checkpoint=begin)
    saved = run.adapter if last == adapter_step else checkpoints.folder_of(run.checkpoints_dir, last)
    # A PiSSA adapter in a checkpoint is not converted for the original base, and the one that is saved here is.
    is_comparable = (saved / _WEIGHTS).is_file() and (last == adapter_step or config.lora_init != "pissa")
    weights = _compare_weights(trainer, saved, copy.folder / "repeated") if is_comparable else None
    return Replay(start, recorder.steps, prepared.summary["choices"], weights)


def _compare_weights(trainer: "StudioTrainer", saved: Path, scratch: Path) -> Check:
    """Compare the adapter after the repeated steps with the one that the run has saved."""
    from safetensors.torch import load_file

    trainer.save_model(str(scratch))
    old, new = load_file(saved / _WEIGHTS), load_file(scratch / _WEIGHTS)
    where = "the adapter" if saved.name == "adapter" else f"the adapter in {saved.name}"
    if old.keys() != new.keys() or any(old[name].shape != new[name].shape for name in old):
        return Check(name="weights", outcome="different", text=f"{where} has other tensors than the repeated one")
    size = sum(float(tensor.double().square().sum()) for tensor in old.values()) ** 0.5
    distance = sum(float((old[name].double() - new[name].double()).square().sum()) for name in old) ** 0.5
    if not distance:
        return Check(name="weights", outcome="equal", text=f"{where} is the repeated one bit by bit")
    share = distance / size if size else float("inf")
    outcome = "within tolerance" if share <= TOLERANCE else "different"
    return Check(name="weights", outcome=outcome, text=f"{where} differs from the repeated one by {share:.2%} of it")
