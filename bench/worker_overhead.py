"""What the worker adds to a training step: events, measurements, sample of the machine, checkpoints.

    python bench/worker_overhead.py [--steps 24] [--repeats 3]

Bare TRL, our trainer bare, and our trainer as the worker runs it (an event a step flushed to disk, a checkpoint every
eight steps), each in a process of its own, in random order, on the same rows: every step trains on the same four, so
that all steps cost the same. A rate is that of all steps but the first two, checkpoints included.
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
sys.path.insert(0, str(PROJECT / "bench"))

BATCH, SAVE_EVERY = 4, 8
VARIANTS = ("bare TRL", "our trainer, bare", "our trainer in the worker")


def measure(variant: str, model: str, steps: int) -> None:
    """Run one variant in this process and print one JSON line."""
    from cpu_train import rows_for, studio_trainer, trl_trainer
    from transformers import AutoTokenizer, TrainerCallback

    rows = rows_for(AutoTokenizer.from_pretrained(model), 1)[:BATCH] * steps
    ends = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_, **__):
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as home:
        if variant == "bare TRL":
            trainer = trl_trainer(rows, model, home, checkpointing=False)
        else:
            trainer = studio_trainer(rows, model, home, "studio")
            trainer.args.save_strategy = "no"
        if variant == "our trainer in the worker":
            _as_in_the_worker(trainer, Path(home), steps)
        trainer.add_callback(Clock())
        trainer.train()
        ends.append(time.perf_counter())  # what the last step still wrote counts, too
    tokens = sum(len(row["input_ids"]) for row in rows[2 * BATCH :])
    print("RESULT " + json.dumps({"rate": tokens / (ends[-1] - ends[1]), "step": (ends[-1] - ends[1]) / (steps - 2)}))


def _as_in_the_worker(trainer, home: Path, steps: int) -> None:
    from core.runs.config import QLoRAConfig
    from core.runs.events import EventWriter
    from core.runs.store import Run
    from core.train.callback import Reporter

    run = Run(home / "run")
    run.checkpoints_dir.mkdir(parents=True)
    trainer.args.output_dir = str(run.checkpoints_dir)
    trainer.args.save_strategy, trainer.args.save_steps = "steps", SAVE_EVERY
    config = QLoRAConfig(max_steps=steps, save_steps=SAVE_EVERY, eval_steps=0)
    trainer.add_callback(Reporter(run, EventWriter(run.events_file), trainer, [], config))


def child(variant: str, model: str, steps: int) -> dict:
    command = [sys.executable, __file__, "--variant", variant, "--model", model, "--steps", str(steps)]
    done = subprocess.run(
        command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{variant} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.partition("RESULT ")[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
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
            results[variant].append(child(variant, model, options.steps))
    steps = {variant: median(r["step"] for r in found) for variant, found in results.items()}
    print("| variant | s a step | spread | tokens/s | time against bare TRL | against our trainer bare |")
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
