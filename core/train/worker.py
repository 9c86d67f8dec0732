"""Worker process, `python -m core.train RUN_DIR`: trains a run, then starts the next one.

The worker reads config.json and the rows, and writes events, checkpoints, the adapter and the final state. It owns
state.json from its start to its end. On several GPUs it starts a rank for each, which do the training
(core/train/rank_launcher.py). A stop request or SIGTERM ends it after the current step, with a checkpoint and the
adapter as trained so far.
"""

import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import StudioError
from core.hardware import gpu
from core.hub.download import DownloadCancelled
from core.runs import checkpoints, process, receipt, report
from core.runs.checkpoints import Checkpoint
from core.runs.config import QLoRAConfig
from core.runs.events import EndEvent, EventWriter, NoEvents, PreparedEvent, ResumedEvent, StageEvent
from core.runs.store import Run, RunState, RunStore
from core.settings import Settings
from core.system.fast_imports import disable_compiler, pause_gc
from core.train import determinism
from core.train.distributed import SINGLE, RankGroup
from core.train.failure_messages import describe_failure
from core.train.preparation import fetch_model, prepare, wait_for_gpu_memory
from core.train.rank_launcher import launch_ranks

if TYPE_CHECKING:
    from core.train.trainer import StudioTrainer


def main(arguments: list[str]) -> int:
    """Train the run whose folder is given, and return the exit code."""
    disable_compiler()
    # Batches of many sizes would otherwise leave gaps in GPU memory that no later batch fits into.
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    folder = Path(arguments[0])
    settings = Settings(home=folder.parent.parent)
    run, store = Run(folder), RunStore(settings)
    # The launcher holds the lock until it has written this process into the state: wait for it, then confirm.
    with store.lock():
        run.save_state(run.saved_state().with_process(os.getpid()))
    status, cause = _run_to_end(settings, run)
    # The last event is written before the last state, so a reader who sees the state finds every event in the file.
    kind = "failed" if status == "failed" else "done"
    EventWriter(run.events_file).write(EndEvent(event=kind, status=status, cause=cause))
    ended = {"status": status, "cause": cause, "ended": time.time(), "resumes": False}
    state = run.saved_state().model_copy(update=ended)
    _write_report(run, state)
    run.save_state(state)
    process.advance(store)
    return 1 if status == "failed" else 0


def _write_report(run: Run, state: RunState) -> None:
    """Write the run's report; if that fails, the run itself has not failed, and the log has the reason."""
    try:
        report.write(run, state)
    except Exception:
        traceback.print_exc()


def _run_to_end(settings: Settings, run: Run) -> tuple[str, str]:
    """Train the run, and return its last status and the cause, whatever is raised."""
    try:
        config, events = run.config(), EventWriter(run.events_file)
        fetch_model(settings, config, run, events)
        if config.gpus == 1:
            with gpu.seeing_only(0):
                return train(settings, run)
        wait_for_gpu_memory(settings, config, events)
        return launch_ranks(run, config)
    except DownloadCancelled:
        return "stopped", "Stopped on request, during the download of the model. Resume continues with the next file."
    except Exception as error:
        if not isinstance(error, StudioError):
            traceback.print_exc()
        return "failed", describe_failure(error)


def train(
    settings: Settings, run: Run, ranks: RankGroup = SINGLE, rendezvous: Path | None = None
) -> tuple[str, str]:  # fmt: skip
    """Train the run in this process.

    Args:
        settings: The studio's settings.
        run: The run's folder.
        ranks: The processes that train it together; the main rank reports and saves.
        rendezvous: The file at which several ranks connect.

    Returns:
        The run's last status, and its cause.
    """
    # cuBLAS reads its workspace setting at its first product, so it is set around everything.
    with determinism.fixed_cublas_workspace(run.config()):
        return _train(settings, run, ranks, rendezvous)


def _train(settings: Settings, run: Run, ranks: RankGroup, rendezvous: Path | None) -> tuple[str, str]:
    with pause_gc():
        from transformers import set_seed

        # Loads nearly all libraries that `prepare` needs.
        import core.train.trainer  # noqa: F401
        from core.train.callback import Reporter

    started = time.monotonic()
    config, resumed_from = run.config(), _find_resume_checkpoint(run, ranks)
    # The same seed on all ranks: adapters start from the same random numbers.
    set_seed(config.seed)
    events = EventWriter(run.events_file) if ranks.is_main else NoEvents()
    prepared = prepare(settings, config, run, events, ranks)
    trainer = prepared.trainer
    if not ranks.is_single:
        ranks.join(rendezvous)
        # Initial weights computed on different GPUs may differ in the last bits.
        ranks.broadcast(trainer.trained)
    events.write(PreparedEvent(**prepared.summary, seconds=round(time.monotonic() - started, 2)))
    if (state := run.saved_state()).resumes:
        events.write(ResumedEvent(step=resumed_from.step if resumed_from else 0, previous=state.previous))
    if ranks.is_main:
        # The event holds the old values of the settings from here on.
        run.save_state(run.saved_state().model_copy(update={"status": "running", "previous": {}}))
    reporter = Reporter(run, events, trainer, prepared.held_out, config, resumed_from)
    if ranks.is_single:
        signal.signal(signal.SIGTERM, lambda *_: reporter.request_stop())
    trainer.add_callback(reporter)
    folder = checkpoints.folder_of(run.checkpoints_dir, resumed_from.step) if resumed_from else None
    trainer.train(resume_from_checkpoint=str(folder) if folder else None)
    if ranks.is_main:
        events.write(StageEvent(text="Saving the adapter"))
        step = _save_final_adapter(run, config, trainer)
        events.write(StageEvent(text="Writing the receipt: hashes of base, rows and losses"))
        _write_receipt(settings, run, step)
    if reporter.stopped_early:
        return "stopped", "Stopped on request."
    return "finished", reporter.end_reason


def _find_resume_checkpoint(run: Run, ranks: RankGroup) -> Checkpoint | None:
    """Return the checkpoint that a resumed run continues from; the main rank removes incomplete ones first."""
    if ranks.is_main:
        checkpoints.remove_incomplete(run.checkpoints_dir)
    complete = checkpoints.complete(run.checkpoints_dir)
    return complete[-1] if complete and run.saved_state().resumes else None


def _write_receipt(settings: Settings, run: Run, step: int) -> None:
    """Write the receipt of the finished adapter; if that fails, the run has not failed, and the log has the reason."""
    try:
        receipt.write(settings, run, step)
    except Exception:
        traceback.print_exc()


def _save_final_adapter(run: Run, config: QLoRAConfig, trainer: "StudioTrainer") -> int:
    """Write the finished adapter: the last one, or the one with the lowest held-out loss if the run keeps the best.

    Returns:
        The step of its weights.
    """
    best = checkpoints.best(run.checkpoints_dir) if config.keep_best else None
    if best is None or best.step == trainer.state.global_step:
        trainer.save_model(str(run.adapter))
        return trainer.state.global_step
    folder = checkpoints.folder_of(run.checkpoints_dir, best.step)
    run.adapter.mkdir(exist_ok=True)
    # Optimizer and RNG states stay in the checkpoint.
    for path in folder.iterdir():
        if path.name.startswith(("adapter_", "tokenizer", "chat_template", "special_tokens", "classifier")):
            shutil.copy(path, run.adapter / path.name)
    return best.step


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
