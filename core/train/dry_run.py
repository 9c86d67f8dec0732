"""Two real steps of a run on its longest rows: what memory it takes, and how long it will be."""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import StudioError
from core.hardware import gpu
from core.runs.config import QLoRAConfig
from core.settings import Settings

_STEPS = 2


@dataclass(frozen=True)
class Measured:
    """Attributes:
    peak: bytes; torch's allocator on a GPU, the process without one.
    seconds: a step on the longest rows, the first one left out.
    run_seconds: that many a step, for all steps: no step is longer.
    """

    peak: int
    seconds: float
    run_seconds: float
    on_gpu: bool


def measure(settings: Settings, config: QLoRAConfig, progress: Callable[[float, str], None]) -> Measured:
    """Runs in a process of its own (core.system.jobs); nothing of it is kept."""
    os.environ.update(gpu.only(0))

    import psutil
    import torch

    from core.runs.events import EventWriter
    from core.runs.store import Run
    from core.train.determinism import fixed_workspace
    from core.train.failure_messages import cause_of
    from core.train.worker import prepare, steps_of

    folder = tempfile.TemporaryDirectory(dir=settings.runs_dir, prefix=".measure-")
    with folder as scratch, fixed_workspace(config):
        run = Run(Path(scratch))
        quick = config.model_copy(
            update={"report_to": "none", "eval_rows": 0, "sample_prompts": "", "keep_best": False}
        )
        try:
            progress(0.1, "Loading the model and the rows")
            trainer, _, about = prepare(settings, quick, run, EventWriter(run.events_file))
            rows = sorted(trainer.train_dataset, key=lambda row: len(row["input_ids"]), reverse=True)
            passes, size = config.gradient_accumulation, config.rows_per_gpu  # on one GPU, what each would take
            batches = [rows[i * size : (i + 1) * size] for i in range(passes)]
            batches = [batch or rows[:size] for batch in batches]
            trainer.create_optimizer()
            seconds = []
            for step in range(_STEPS):
                progress(0.5 + 0.25 * step, f"Step {step + 1} of {_STEPS}, on the longest rows")
                began = time.monotonic()
                for batch in batches:
                    inputs = trainer._prepare_inputs(trainer.collate(batch))
                    (trainer.compute_loss(trainer.model, inputs) / passes).backward()
                trainer.optimizer.step()
                trainer.model.zero_grad(set_to_none=True)
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                seconds.append(time.monotonic() - began)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            raise StudioError(cause_of(error)) from error
        on_gpu = torch.cuda.is_available()
        peak = torch.cuda.max_memory_allocated() if on_gpu else psutil.Process().memory_info().rss
        steps = steps_of(config, about["rows"])
        return Measured(int(peak), seconds[-1], seconds[-1] * steps, on_gpu)
