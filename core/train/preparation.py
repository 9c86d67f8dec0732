"""Preparation of a run for training: checks, rows, base model, tokens, trainer; the long stages are events.

The order matters. Checks that need no model come first; GPU memory is awaited before anything takes some; the tracker
is configured before the trainer opens it; PyTorch's deterministic mode is tried on the finished trainer. The event
"prepared" follows in core/train/worker.py, when the ranks have joined; its values are `PreparedRun.summary`.
"""

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.data import subset as subsets
from core.data.table import TRAIN
from core.errors import StudioError
from core.models import catalogue
from core.models.download import fetch
from core.runs import checks, fit, start_adapter, targets
from core.runs.config import QLoRAConfig
from core.runs.events import EventWriter, NoEvents, StageEvent
from core.runs.holdout import hold_out
from core.runs.store import Run
from core.settings import Settings
from core.system.counting import counted
from core.train import determinism
from core.train.distributed import SINGLE, RankGroup
from core.train.provenance import collect_provenance
from core.train.tasks import GenerationTask, LabelTask, Task

if TYPE_CHECKING:
    from core.models.loading import LoadedBase
    from core.train.batches import TokenizedRows
    from core.train.trainer import StudioTrainer

# How long a run waits for the chat to free its GPU memory: an answer in progress is finished first.
_GPU_WAIT_SECONDS = 90


@dataclass(frozen=True)
class PreparedRun:
    """A run that is ready to train.

    Attributes:
        trainer: The trainer, with the model and the training rows in it.
        held_out: Tokenized rows that are never trained on.
        summary: Fields of the "prepared" event.
    """

    trainer: "StudioTrainer"
    held_out: list[dict[str, Any]]
    summary: dict[str, Any]


def prepare(
    settings: Settings, config: QLoRAConfig, run: Run, events: EventWriter | NoEvents, ranks: RankGroup = SINGLE,
    waits_for_chat: bool = True,
) -> PreparedRun:  # fmt: skip
    """Load the model and the rows of a run and build its trainer.

    Args:
        settings: The studio's settings.
        config: The run's settings.
        run: The run's folder.
        events: Where stages of the work are reported.
        ranks: The processes that train the run together.
        waits_for_chat: Whether to give the chat time to free its GPU memory, which it does for a run only.

    Raises:
        StudioError: The machine, the model or the rows do not allow the run.
    """
    if problem := checks.machine_problem(config):
        raise StudioError(problem)
    rows = subsets.load(settings, config.subset)
    notes = hold_out(config, rows)
    task = LabelTask(settings, config, rows, run, ranks) if config.classifies else GenerationTask(config, rows)
    events.write(StageEvent(text=f"Loading {config.model}"))
    if waits_for_chat and ranks.is_single:
        # With several ranks, the worker waited before it started the first of them.
        wait_for_gpu_memory(settings, config, events)
    base = _load_base(settings, config, task)
    base.notes += [*notes, *configure_tracker(config, run)]
    events.write(StageEvent(text=f"Tokenizing {counted(len(rows[TRAIN]), 'row')}"))
    tokenized, held_out = task.tokenize(base)
    if not tokenized.rows:
        reasons = "; ".join(f"{count} × {reason}" for reason, count in tokenized.left_out.items())
        raise StudioError(f"No row of {config.subset!r} can be trained on ({reasons}). Create another subset.")
    trainer = _build_trainer(config, base, task, tokenized, run, ranks)
    _start_from_adapter(settings, config, run, trainer)
    on_gpu = trainer.model.device.type == "cuda"
    deterministic_note = determinism.set_mode(config, on_gpu, lambda: trainer.try_step(tokenized.rows))
    all_notes = [*base.notes, *trainer.notes, deterministic_note]
    summary = _summarize(config, base, task.template, tokenized, trainer, held_out, all_notes)
    return PreparedRun(trainer, held_out, summary)


def fetch_model(settings: Settings, config: QLoRAConfig, run: Run, events: EventWriter) -> None:
    """Download the base model if it is one of the Hub and not here; the progress is an event per second.

    It comes before any wait for GPU memory, so that the chat keeps its model meanwhile, and before the ranks start.

    Args:
        settings: The studio's settings.
        config: The run's settings.
        run: The run, whose stop request ends the download.
        events: Where the progress is reported.

    Raises:
        DownloadCancelled: A stop of the run was requested.
        StudioError: The model cannot be downloaded.
    """
    model = catalogue.locate(settings, config.model, config.revision)
    fetch(model, lambda text: events.write(StageEvent(text=text)), run.stop_request.exists)


def wait_for_gpu_memory(settings: Settings, config: QLoRAConfig, events: EventWriter | NoEvents) -> None:
    """Give the chat time to free its GPU memory, if the run fits only without the chat.

    After `_GPU_WAIT_SECONDS` the memory is some other program's. The run then starts all the same, because the forecast
    has a margin and the run may fit.
    """
    deadline = time.monotonic() + _GPU_WAIT_SECONDS
    is_reported = False
    while (estimate := fit.fit(settings, config)) and estimate.would_fit_alone and not estimate.fits:
        if time.monotonic() > deadline:
            return
        if not is_reported:
            needs, free = estimate.needed / 2**30, estimate.free / 2**30
            text = f"Waiting for the GPU's memory: {needs:.1f} GiB are needed, {free:.1f} are free"
            events.write(StageEvent(text=text))
            is_reported = True
        time.sleep(0.5)


def configure_tracker(config: QLoRAConfig, run: Run) -> list[str]:
    """Set the environment variables of the run's tracker, and return notes on where to find the run there.

    Trackers read these variables when the trainer is built.
    """
    from core.train.trl_config import TRACKER_PROJECT

    if config.report_to == "tensorboard":
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(run.folder / "tensorboard")
        return [f"Also reported to TensorBoard. In STUDIO_HOME: tensorboard --logdir runs/{run.id}/tensorboard"]
    if config.report_to == "wandb":
        project = os.environ.setdefault("WANDB_PROJECT", TRACKER_PROJECT)
        return [f"Also reported to Weights & Biases, project {project}, as {run.id}."]
    if config.report_to == "trackio":
        return [f"Also reported to Trackio as {run.id}. See it with: trackio show --project {TRACKER_PROJECT}"]
    return []


def _load_base(settings: Settings, config: QLoRAConfig, task: Task) -> "LoadedBase":
    """Load the base model, and check what can be checked only on a loaded model."""
    from core.models.loading import Precision

    precision = Precision(config.quantization, config.double_quantization, config.compute_dtype)
    model = catalogue.find(settings, config.model, config.revision)
    base = task.load(model, precision, config.attention)
    if problem := checks.length_problem(config, base.model.config):
        raise StudioError(problem)
    base.notes += targets.require(base.model, config).notes
    return base


def _build_trainer(
    config: QLoRAConfig, base: "LoadedBase", task: Task, tokenized: "TokenizedRows", run: Run, ranks: RankGroup
) -> "StudioTrainer":
    from core.train.trl_config import make_sft_config

    arguments = make_sft_config(config, str(run.checkpoints_dir), config.count_steps(len(tokenized.rows)))
    if not ranks.is_main:
        # Only the main rank reports to trackers.
        arguments.report_to = []
    return task.build_trainer(base, tokenized.rows, arguments, ranks)


def _start_from_adapter(settings: Settings, config: QLoRAConfig, run: Run, trainer: "StudioTrainer") -> None:
    """Give the run's adapter the values of the one that it begins with, if it names one."""
    # A run that is resumed goes on from its own checkpoint.
    if not config.start_adapter.strip() or config.classifies or run.adapters():
        return
    from core.train.start_adapter import load_values

    if problems := [found.text for found in start_adapter.findings(settings, config) if found.level == "problem"]:
        raise StudioError(problems[0])
    folder = start_adapter.find_folder(settings, config)
    trainer.notes.append(load_values(trainer.model, folder, config.start_adapter))


def _summarize(
    config: QLoRAConfig, base: "LoadedBase", template: str, tokenized: "TokenizedRows", trainer: "StudioTrainer",
    held_out: list[dict[str, Any]], notes: list[str],
) -> dict[str, Any]:  # fmt: skip
    """Return the fields of the "prepared" event; their names are part of the run's format on disk."""
    return {
        "total_steps": config.count_steps(len(tokenized.rows)),
        "rows": len(tokenized.rows),
        "held_out_rows": len(held_out),
        "left_out": tokenized.left_out,
        "truncated": tokenized.truncated,
        "tokens": tokenized.tokens,
        "answer_tokens": tokenized.answer_tokens,
        "trainable": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "template": template,
        "choices": notes,
        "lineage": collect_provenance(base.model),
    }
