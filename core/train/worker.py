"""Trains one run: reads its config and rows, writes events, checkpoints, the adapter and the final state, and then
starts the next run of the queue. On several GPUs it starts a rank for each, which do the training
(core/train/rank_launcher.py).

The worker owns state.json from its first breath to its last. A stop request or SIGTERM ends it after the present
step, with a checkpoint and an adapter of what was learned so far.
"""

import math
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data import subset as subsets
from core.data.sources import HELD_OUT, TRAIN
from core.errors import StudioError
from core.hardware import gpu
from core.models import catalogue
from core.runs import checkpoints, checks, fit, process, report, targets
from core.runs.checkpoints import Checkpoint
from core.runs.config import QLoRAConfig
from core.runs.events import EndEvent, EventWriter, NoEvents, PreparedEvent, ResumedEvent, StageEvent
from core.runs.holdout import hold_out
from core.runs.store import Run, RunState, RunStore
from core.settings import Settings
from core.system.fast_imports import uncollected, uncompiled
from core.train import determinism
from core.train.distributed import ALONE, Ranks
from core.train.failure_messages import cause_of
from core.train.provenance import lineage
from core.train.rank_launcher import lead

if TYPE_CHECKING:
    from core.train.trainer import StudioTrainer

_ROOM_SECONDS = 90  # an answer that is being written ends first


def main(arguments: list[str]) -> int:
    uncompiled()
    # batches of many sizes would leave gaps that nothing fits into
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    folder = Path(arguments[0])
    settings = Settings(home=folder.parent.parent)
    run, store = Run(folder), RunStore(settings)
    with store.lock():  # the launcher writes our process before it lets go
        run.save_state(run.saved_state().with_process(os.getpid()))
    status, cause = _outcome(settings, run)
    # The last event before the last state: whoever sees the state finds every event in the file.
    kind = "failed" if status == "failed" else "done"
    EventWriter(run.events_file).write(EndEvent(event=kind, status=status, cause=cause))
    ended = {"status": status, "cause": cause, "ended": time.time(), "resumes": False}
    state = run.saved_state().model_copy(update=ended)
    _report(run, state)
    run.save_state(state)
    process.advance(store)
    return 1 if status == "failed" else 0


def _report(run: Run, state: RunState) -> None:
    """What is trained is trained, whether or not a page about it can be written; the log says why not."""
    try:
        report.write(run, state)
    except Exception:
        traceback.print_exc()


def _outcome(settings: Settings, run: Run) -> tuple[str, str]:
    try:
        config = run.config()
        if config.gpus == 1:
            with gpu.seeing_only(0):
                return train(settings, run)
        _await_room(settings, config, EventWriter(run.events_file))
        return lead(settings, run, config)
    except Exception as error:
        if not isinstance(error, StudioError):
            traceback.print_exc()
        return "failed", cause_of(error)


def train(settings: Settings, run: Run, ranks: Ranks = ALONE, meeting: Path | None = None) -> tuple[str, str]:
    """Train the run; its last status, and why it ended so.

    Args:
        ranks: which of the processes that train it together this is; the first reports and saves.
        meeting: where they meet, if there are several.
    """
    with determinism.fixed_workspace(run.config()):
        return _train(settings, run, ranks, meeting)


def _train(settings: Settings, run: Run, ranks: Ranks, meeting: Path | None) -> tuple[str, str]:
    with uncollected():
        from transformers import set_seed

        import core.train.trainer  # noqa: F401 - the most of it, which `prepare` takes
        from core.train.callback import Reporter

    began = time.monotonic()
    config, since = run.config(), _since(run, ranks)
    set_seed(config.seed)
    events = EventWriter(run.events_file) if ranks.first else NoEvents()
    trainer, held_out, about = prepare(settings, config, run, events, ranks)
    if not ranks.alone:
        ranks.join(meeting)
        ranks.as_first(trainer.trained)
    events.write(PreparedEvent(**about, seconds=round(time.monotonic() - began, 2)))
    if (state := run.saved_state()).resumes:
        events.write(ResumedEvent(step=since.step if since else 0, previous=state.previous))
    if ranks.first:
        # The event holds the old values of the settings from here on.
        run.save_state(run.saved_state().model_copy(update={"status": "running", "previous": {}}))
    reporter = Reporter(run, events, trainer, held_out, config, since)
    if ranks.alone:
        signal.signal(signal.SIGTERM, lambda *_: reporter.stop())
    trainer.add_callback(reporter)
    trainer.train(resume_from_checkpoint=str(checkpoints.folder_of(run.checkpoints_dir, since.step)) if since else None)
    if ranks.first:
        _keep_adapter(run, config, trainer)
    if reporter.stopped_early:
        return "stopped", "Stopped on request."
    return "finished", reporter.ended_because


def _since(run: Run, ranks: Ranks) -> Checkpoint | None:
    """The checkpoint that a resumed run goes on from; half of another is removed first."""
    if ranks.first:
        checkpoints.remove_half(run.checkpoints_dir)
    there = checkpoints.whole(run.checkpoints_dir)
    return there[-1] if there and run.saved_state().resumes else None


def _keep_adapter(run: Run, config: QLoRAConfig, trainer: "StudioTrainer") -> None:
    """Write the finished adapter: the last one, or the best, where the run was told to take that."""
    best = checkpoints.best(run.checkpoints_dir) if config.keep_best else None
    if best is None or best.step == trainer.state.global_step:
        trainer.save_model(str(run.adapter))
        return
    folder = checkpoints.folder_of(run.checkpoints_dir, best.step)
    run.adapter.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name.startswith(("adapter_", "tokenizer", "chat_template", "special_tokens")):
            shutil.copy(path, run.adapter / path.name)


def prepare(
    settings: Settings, config: QLoRAConfig, run: Run, events: EventWriter | NoEvents, ranks: Ranks = ALONE
) -> tuple["StudioTrainer", list[dict[str, Any]], dict[str, Any]]:
    """The trainer, the held-out rows, and what there is to say of both."""
    from core.data.tokens import Renderer
    from core.models.loading import Precision, load_base
    from core.train.batches import tokenize
    from core.train.trainer import StudioTrainer
    from core.train.trl_config import sft_config

    if problem := checks.machine_problem(config):
        raise StudioError(problem)
    rows = subsets.load(settings, config.subset)
    events.write(StageEvent(text=f"Loading {config.model}"))
    if ranks.alone:  # several have been waited for before the first of them took any
        _await_room(settings, config, events)
    precision = Precision(config.quantization, config.double_quantization, config.compute_dtype)
    model = catalogue.find(settings, config.model, config.revision)
    base = load_base(model, precision, config.attention)
    _check(config, base)
    base.choices += [*hold_out(config, rows), *_report_elsewhere(config, run)]

    renderer = Renderer(base.tokenizer, config.chat_template, base.model.get_input_embeddings().weight.shape[0])
    base.tokenizer.chat_template = renderer.template  # saved with the adapter, for whoever loads it elsewhere
    events.write(StageEvent(text=f"Reading {len(rows[TRAIN]):,} rows as tokens"))
    prepared = tokenize(renderer, rows[TRAIN], config.max_length, config.answers_only)
    held_out = tokenize(renderer, rows[HELD_OUT][: config.eval_rows], config.max_length, config.answers_only).rows
    if not prepared.rows:
        reasons = "; ".join(f"{count} × {reason}" for reason, count in prepared.left_out.items())
        raise StudioError(f"No row of {config.subset!r} can be trained on ({reasons}). Cut another subset.")
    base.choices += [renderer.ends.note, *(f"In {count:,} rows, {note}." for note, count in prepared.notes.items())]
    total_steps = steps_of(config, len(prepared.rows))
    arguments = sft_config(config, str(run.checkpoints_dir), total_steps)
    if not ranks.first:
        arguments.report_to = []
    trainer = StudioTrainer(config, base, prepared.rows, args=arguments, renderer=renderer, ranks=ranks)
    repeats = determinism.settle(config, trainer.model.device.type == "cuda", lambda: trainer.try_step(prepared.rows))
    return trainer, held_out, {
        "total_steps": total_steps,
        "rows": len(prepared.rows),
        "held_out_rows": len(held_out),
        "left_out": prepared.left_out,
        "truncated": prepared.truncated,
        "tokens": prepared.tokens,
        "answer_tokens": prepared.answer_tokens,
        "trainable": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "template": renderer.template_name,
        "choices": [*base.choices, *trainer.choices, repeats],
        "lineage": lineage(base.model),
    }  # fmt: skip


def _await_room(settings: Settings, config: QLoRAConfig, events: EventWriter) -> None:
    """Give a chat the time to leave the GPU. Who stays after that is another program: the run goes on and may fit."""
    deadline = time.monotonic() + _ROOM_SECONDS
    said = False
    while (room := fit.fit(settings, config)) and room.would_fit_alone and not room.fits:
        if time.monotonic() > deadline:
            return
        if not said:
            needs, free = room.needed / 2**30, room.free / 2**30
            text = f"Waiting for the GPU's memory: {needs:.1f} GiB are needed, {free:.1f} are free"
            events.write(StageEvent(text=text))
            said = True
        time.sleep(0.5)


def _report_elsewhere(config: QLoRAConfig, run: Run) -> list[str]:
    """Tell the tracker where to write; what is said about it. Before the trainer is made, which opens it."""
    from core.train.trl_config import TRACKED_AS

    if config.report_to == "tensorboard":
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(run.folder / "tensorboard")
        return [f"Also reported to TensorBoard. In STUDIO_HOME: tensorboard --logdir runs/{run.id}/tensorboard"]
    if config.report_to == "wandb":
        project = os.environ.setdefault("WANDB_PROJECT", TRACKED_AS)
        return [f"Also reported to Weights & Biases, project {project}, as {run.id}."]
    if config.report_to == "trackio":
        return [f"Also reported to Trackio as {run.id}. See it with: trackio show --project {TRACKED_AS}"]
    return []


def steps_of(config: QLoRAConfig, rows: int) -> int:
    """How many updates the run makes: `max_steps`, or epochs over batches, a last short one included."""
    if config.max_steps:
        return config.max_steps
    batches = math.ceil(rows / config.batch_size)
    return max(1, math.ceil(config.epochs * max(1, math.ceil(batches / config.gradient_accumulation))))


def _check(config: QLoRAConfig, base) -> None:
    """What can only be told once the model is there."""
    context = getattr(base.model.config.get_text_config(), "max_position_embeddings", None)
    if context and config.max_length > context:
        raise StudioError(
            f"Maximum length {config.max_length} is more than {config.model} can read ({context} tokens). "
            f"Set it to {context} or less."
        )
    base.choices += targets.require(base.model, config).notes


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
