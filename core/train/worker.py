"""Trains one run: reads its config and rows, writes events, checkpoints, the adapter and the final state.

The worker owns state.json from its first breath to its last. A stop request or SIGTERM ends it after the present
step, with a checkpoint and an adapter of what was learned so far.
"""

import math
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import psutil

from core.data import subset as subsets
from core.data.sources import HELD_OUT, TRAIN
from core.errors import StudioError
from core.models import catalogue
from core.runs import process
from core.runs.config import QLoRAConfig
from core.runs.events import EventWriter
from core.runs.store import Run, RunStore
from core.settings import Settings


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    settings = Settings(home=folder.parent.parent)
    run, store = Run(folder), RunStore(settings)
    with process.lock(store):  # the launcher writes our pid before it lets go
        state = run.saved_state().with_process(psutil.Process(os.getpid()))
        run.save_state(state.model_copy(update={"status": "running"}))
    events = EventWriter(run.events_file)
    status, cause = _outcome(settings, run, events)
    # The last event before the last state: whoever sees the state finds every event in the file.
    events.write("failed" if status == "failed" else "done", status=status, cause=cause)
    ended = {"status": status, "cause": cause, "ended": time.time()}
    run.save_state(run.saved_state().model_copy(update=ended))
    return 1 if status == "failed" else 0


def _outcome(settings: Settings, run: Run, events: EventWriter) -> tuple[str, str]:
    import torch

    try:
        stopped = train(settings, run, events)
        return ("stopped", "Stopped on request.") if stopped else ("finished", "")
    except StudioError as error:
        return "failed", str(error)
    except torch.OutOfMemoryError:
        traceback.print_exc()
        return (
            "failed",
            "The GPU's memory ran out. Lower the batch size or the maximum length, or set checkpointing to on.",
        )
    except MemoryError:
        traceback.print_exc()
        return "failed", "The machine's memory ran out. Lower the batch size or the maximum length."
    except OSError as error:
        traceback.print_exc()
        return (
            "failed",
            f"A file could not be read or written: {error}. Free disk space or check the folder, then start again.",
        )
    except Exception as error:
        traceback.print_exc()
        return "failed", f"{type(error).__name__}: {error}. The whole story is in worker.log of the run."


def train(settings: Settings, run: Run, events: EventWriter) -> bool:
    """Train the run; True when it was stopped before its end."""
    from transformers import set_seed

    from core.data.tokens import Renderer
    from core.models.loading import Precision, load_base
    from core.train.batches import tokenize
    from core.train.callback import Reporter
    from core.train.trainer import StudioTrainer, recompute, sft_config

    began = time.time()
    config = run.config()
    set_seed(config.seed)
    rows = subsets.load(settings, config.subset)
    events.write("stage", text=f"Loading {config.model}")
    precision = Precision(config.quantization, config.double_quantization, config.compute_dtype)
    model = catalogue.find(settings, config.model, config.revision)
    kind, why = _attention(config)
    base = load_base(model, precision, kind)
    base.choices.append(f"Attention is {kind} ({why}).")
    _check(config, base)

    renderer = Renderer(base.tokenizer, config.chat_template)
    base.tokenizer.chat_template = renderer.template  # saved with the adapter, for whoever loads it elsewhere
    prepared = tokenize(renderer, rows[TRAIN], config.max_length, config.answers_only)
    held_out = tokenize(renderer, rows[HELD_OUT][: config.eval_rows], config.max_length, config.answers_only).rows
    if not prepared.rows:
        reasons = "; ".join(f"{count} × {reason}" for reason, count in prepared.left_out.items())
        raise StudioError(f"No row of {config.subset!r} can be trained on ({reasons}). Cut another subset.")

    total_steps = steps_of(config, len(prepared.rows))
    arguments = sft_config(config, str(run.checkpoints_dir), total_steps)
    trainer = StudioTrainer(config, base, prepared.rows, args=arguments)
    trainable = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    on, why = recompute(config)
    events.write(
        "prepared",
        total_steps=total_steps,
        rows=len(prepared.rows),
        held_out_rows=len(held_out),
        left_out=prepared.left_out,
        truncated=prepared.truncated,
        tokens=prepared.tokens,
        answer_tokens=prepared.answer_tokens,
        trainable=trainable,
        template=renderer.template_name,
        choices=[*base.choices, f"Gradient checkpointing is {'on' if on else 'off'} ({why})."],
        seconds=round(time.time() - began, 2),
    )
    reporter = Reporter(run, events, trainer, held_out, config)
    signal.signal(signal.SIGTERM, lambda *_: reporter.stop())
    trainer.add_callback(reporter)
    trainer.train()
    trainer.save_model(str(run.adapter))
    return reporter.stopped_early


def _attention(config: QLoRAConfig) -> tuple[str, str]:
    """The attention that transformers is asked for, and why."""
    from core.train.attention import PACKED

    if config.attention != "auto":
        return config.attention, "as configured; rows are padded with it" if config.packing else "as configured"
    if config.packs:
        return PACKED, "auto: rows lie end to end, each seeing only itself"
    return "sdpa", "auto: rows are padded"


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
    if isinstance(config.target_modules, list):
        present = {name.rpartition(".")[2] for name, _ in base.model.named_modules()}
        if unknown := [name for name in config.target_modules if name not in present]:
            linear = sorted(
                {name.rpartition(".")[2] for name, m in base.model.named_modules() if "Linear" in type(m).__name__}
            )
            raise StudioError(
                f"Target modules {', '.join(unknown)} are not in {config.model}. It has: {', '.join(linear)}."
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
