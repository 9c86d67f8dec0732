"""Cost of the worker per training step: events, metrics, system metrics, checkpoints.

    python bench/worker_overhead.py [--steps 24] [--repeats 3]

Bare TRL, our trainer bare, and our trainer as the worker runs it (one event per step flushed to disk, a checkpoint
every eight steps), each in a process of its own, in random order. Every step trains on the same four rows, so that all
steps cost the same. A rate is that of all steps but the first two, checkpoints included.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from bench.cpu_train import BATCH, WARMUP_STEPS, make_rows, record_step_ends, studio_trainer, trl_trainer  # noqa: E402

SAVE_STEPS = 8
VARIANTS = ("bare TRL", "our trainer, bare", "our trainer in the worker")


def measure(variant: str, model: str, steps: int) -> None:
    """Run one variant in this process, and print one line of JSON."""
    from transformers import AutoTokenizer

    rows = make_rows(AutoTokenizer.from_pretrained(model), 1)[:BATCH] * steps
    with tempfile.TemporaryDirectory() as home:
        if variant == "bare TRL":
            trainer = trl_trainer(rows, model, home, checkpointing=False)
        else:
            trainer = studio_trainer(rows, model, home, "studio")
            trainer.args.save_strategy = "no"
        if variant == "our trainer in the worker":
            _add_worker_callbacks(trainer, Path(home), steps)
        # After the worker's callbacks, so that their time at the end of a step counts.
        ends = record_step_ends(trainer)
        trainer.train()
        # The time in which the last step still wrote its checkpoint counts, too.
        ends.append(time.perf_counter())
    tokens = sum(len(row["input_ids"]) for row in rows[WARMUP_STEPS * BATCH :])
    seconds = ends[-1] - ends[WARMUP_STEPS - 1]
    print("RESULT " + json.dumps({"rate": tokens / seconds, "step": seconds / (steps - WARMUP_STEPS)}))


def _add_worker_callbacks(trainer, home: Path, steps: int) -> None:
    from core.runs.config import QLoRAConfig
    from core.runs.events import EventWriter
    from core.runs.store import Run
    from core.train.callback import Reporter

    run = Run(home / "run")
    run.checkpoints_dir.mkdir(parents=True)
    trainer.args.output_dir = str(run.checkpoints_dir)
    trainer.args.save_strategy, trainer.args.save_steps = "steps", SAVE_STEPS
    config = QLoRAConfig(max_steps=steps, save_steps=SAVE_STEPS, eval_steps=0)
    trainer.add_callback(Reporter(run, EventWriter(run.events_file), trainer, [], config))


def run_in_process(variant: str, model: str, steps: int) -> dict:
    """Return the result of `measure` in a new process."""
    command = [sys.executable, __file__, "--variant", variant, "--model", model, "--steps", str(steps)]
    done = subprocess.run(
        command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{variant} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.partition("RESULT ")[2])


def main() -> None:
    """Compare the variants, or run one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=24, help="training steps per process (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="processes per variant (default: %(default)s)")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        measure(options.variant, options.model, options.steps)
        return
    from core.models import embedded
    from core.settings import Settings

    model = str(embedded.prepare(Settings().prepare()))
    results: dict[str, list[dict]] = {variant: [] for variant in VARIANTS}
    for _ in range(options.repeats):
        for variant in random.sample(VARIANTS, len(VARIANTS)):
            results[variant].append(run_in_process(variant, model, options.steps))
    steps = {variant: median(r["step"] for r in found) for variant, found in results.items()}
    print("| variant | s per step | spread | tokens/s | time against bare TRL | against our trainer bare |")
    print("|---|---|---|---|---|---|")
    for variant, found in results.items():
        times = [r["step"] for r in found]
        print(
            f"| {variant} | {steps[variant]:.3f} | {min(times):.3f} to {max(times):.3f} "
            f"| {median(r['rate'] for r in found):.0f} | {steps[variant] / steps['bare TRL'] - 1:+.1%} "
            f"| {steps[variant] / steps['our trainer, bare'] - 1:+.1%} |"
        )


if __name__ == "__main__":
    main()
