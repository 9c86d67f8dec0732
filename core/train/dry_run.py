"""Dry run: two real steps on the longest rows, to measure memory and time before a run starts.

It prepares the run as the worker does, with its folder in a temporary directory, so the numbers include what a forecast
cannot know. On several GPUs it measures the share of one.
"""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import StudioError
from core.hardware import gpu
from core.models import catalogue
from core.models.download import fetch
from core.runs import fit
from core.runs.config import QLoRAConfig
from core.runs.events import NoEvents, RunEvent, StageEvent
from core.runs.fit import Fit
from core.runs.time_estimate import Speed
from core.settings import Settings
from core.system.jobs import Progress

if TYPE_CHECKING:
    from core.train.trainer import StudioTrainer

# The first step also compiles kernels and allocates memory: the second one gives the time.
_STEPS = 2
# Held-out rows, samples and trackers add nothing to a step.
_WITHOUT_EXTRAS = {"report_to": "none", "eval_rows": 0, "sample_prompts": "", "keep_best": False}


class StageProgress(NoEvents):
    """Writer of events that shows the stages of a preparation as the progress of a job."""

    def __init__(self, progress: Progress):
        self._progress = progress

    def write(self, event: RunEvent) -> None:
        """Show a stage, and drop every other event."""
        if isinstance(event, StageEvent):
            self._progress(0.1, event.text)


@dataclass(frozen=True)
class DryRunResult:
    """Memory and time of a dry run.

    Attributes:
        peak_bytes: Peak of torch's allocator on a GPU, memory of the process without one.
        step_seconds: Time of one step on the longest rows.
        run_seconds: Upper bound of the run's time: as many steps as the run has, none of which takes longer.
        on_gpu: Whether it ran on a GPU.
        speed: What `core.runs.time_estimate` derives the time of a run from.
    """

    peak_bytes: int
    step_seconds: float
    run_seconds: float
    on_gpu: bool
    speed: Speed


def perform(settings: Settings, config: QLoRAConfig, progress: Progress) -> DryRunResult:
    """Train two steps on the longest rows, and keep no files.

    Call it in a process of its own (core.system.jobs): it starts CUDA, and its peak memory is the process's.

    Args:
        settings: The studio's settings.
        config: The run's settings.
        progress: Called with a share from 0 to 1 and a text.

    Raises:
        StudioError: The run cannot be prepared or its steps fail, for example for lack of memory.
    """
    os.environ.update(gpu.only(0))

    import torch

    from core.runs.store import Run
    from core.train.determinism import fixed_cublas_workspace
    from core.train.failure_messages import describe_failure
    from core.train.preparation import prepare

    # The folder lies among the runs, on the same disk; its name begins with a dot, so no list shows it.
    folder = tempfile.TemporaryDirectory(dir=settings.runs_dir, prefix=".dry-run-")
    with folder as scratch, fixed_cublas_workspace(config):
        run = Run(Path(scratch))
        try:
            fetch(catalogue.locate(settings, config.model, config.revision), lambda text: progress(0.05, text))
            progress(0.1, "Loading the model and the rows")
            estimate, started = fit.fit(settings, config), time.monotonic()
            plain = config.model_copy(update=_WITHOUT_EXTRAS)
            # The chat gives way to runs only, so waiting for its memory would be in vain.
            prepared = prepare(settings, plain, run, StageProgress(progress), waits_for_chat=False)
            preparation = time.monotonic() - started
            batches = _longest_batches(config, prepared.trainer)
            seconds = _time_steps(prepared.trainer, batches, progress)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            shared = _shared_memory_cause(estimate) if isinstance(error, torch.OutOfMemoryError) else ""
            raise StudioError(shared or describe_failure(error)) from error
        return _result(config, prepared.summary, batches, seconds[-1], preparation)


def _shared_memory_cause(estimate: Fit | None) -> str:
    """Return why the GPU's memory ran out for a run that would fit alone; "" if it would not."""
    if estimate is None or not estimate.would_fit_alone or estimate.fits:
        return ""
    return (
        f"The GPU's memory ran out: the run needs about {estimate.needed / 2**30:.1f} GiB, and "
        f"{estimate.free / 2**30:.1f} GiB were free. If a chat's model is loaded, unload it in the Chat tab, under "
        "Export, prompts, memory. For the run itself, the chat frees its memory without being asked."
    )


def _result(
    config: QLoRAConfig, summary: dict[str, Any], batches: list[list[dict[str, Any]]], seconds: float,
    preparation: float,
) -> DryRunResult:  # fmt: skip
    """Return memory and time of a step.

    Args:
        config: The run's settings.
        summary: Fields of the "prepared" event.
        batches: Batches of the step, on one GPU.
        seconds: Time of the step.
        preparation: Seconds before the first step.
    """
    import psutil
    import torch

    on_gpu = torch.cuda.is_available()
    peak = torch.cuda.max_memory_allocated() if on_gpu else psutil.Process().memory_info().rss
    tokens = sum(len(row["input_ids"]) for batch in batches for row in batch) * config.gpus
    speed = Speed(config, tokens / seconds, preparation, summary["tokens"] / summary["rows"])
    return DryRunResult(int(peak), seconds, seconds * config.count_steps(summary["rows"]), on_gpu, speed)


def _longest_batches(config: QLoRAConfig, trainer: "StudioTrainer") -> list[list[dict[str, Any]]]:
    """Return the batches of one update, made of the longest rows; of one GPU, as each would get them."""
    rows = sorted(trainer.train_dataset, key=lambda row: len(row["input_ids"]), reverse=True)
    size = config.rows_per_gpu
    batches = [rows[i * size : (i + 1) * size] for i in range(config.gradient_accumulation)]
    # A small subset may have too few rows for all passes: then the longest are used again.
    return [batch or rows[:size] for batch in batches]


def _time_steps(trainer: "StudioTrainer", batches: list[list[dict[str, Any]]], progress: Progress) -> list[float]:
    """Run `_STEPS` updates, and return the seconds that each took."""
    import torch

    trainer.create_optimizer()
    seconds = []
    for step in range(_STEPS):
        progress(0.5 + 0.25 * step, f"Step {step + 1} of {_STEPS}, on the longest rows")
        started = time.monotonic()
        for batch in batches:
            inputs = trainer._prepare_inputs(trainer.collate(batch))
            (trainer.compute_loss(trainer.model, inputs) / len(batches)).backward()
        trainer.optimizer.step()
        trainer.model.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            # Kernels run asynchronously: without waiting, only their launch would be timed.
            torch.cuda.synchronize()
        seconds.append(time.monotonic() - started)
    return seconds
