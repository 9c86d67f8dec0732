"""Training on several GPUs compared with one, with a fixed number of rows per GPU.

    python bench/gpus.py --model FOLDER --data guanaco-llama2-1k-train.parquet [--gpus 1 2] [--rows 16]

The model is that of bench/train.py in NF4. Each run is a real one (`python -m core.train`) in a temporary STUDIO_HOME.
Its rate comes from its events: the tokens of the steps after the warm-up, divided by their time.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core.data import sources, subset  # noqa: E402
from core.data.recipe import Recipe  # noqa: E402
from core.runs.config import QLoRAConfig  # noqa: E402
from core.runs.store import RunStore  # noqa: E402
from core.settings import Settings  # noqa: E402

# The first steps compile kernels and allocate memory.
WARMUP_STEPS = 4


def measure(store: RunStore, config: QLoRAConfig) -> dict[str, Any]:
    """Train one run, and return its rate in tokens per second, times in seconds, memory, losses and choices."""
    run = store.create(config)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "STUDIO_MODELS": str(store.settings.models_dir)}
    with run.log.open("ab") as log:
        subprocess.run(
            [sys.executable, "-m", "core.train", str(run.folder)], cwd=PROJECT, env=environment, stdout=log,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    state = run.state()
    if state.status != "finished":
        raise SystemExit(f"{config.gpus} GPUs: {state.cause}\n{run.log_tail(40)}")
    events = run.events()
    prepared = next(event for event in events if event.event == "prepared")
    steps = [event for event in events if event.event == "step"]
    timed = steps[WARMUP_STEPS:]
    seconds = timed[-1].seconds - steps[WARMUP_STEPS - 1].seconds
    return {
        "rate": (timed[-1].tokens - steps[WARMUP_STEPS - 1].tokens) / seconds,
        "step": seconds / len(timed),
        "memory": max(step.memory_gib for step in steps),
        "prepared": prepared.seconds,
        "first": steps[0].seconds,
        "losses": [step.loss for step in steps[:3]],
        "choices": prepared.choices,
    }


def main() -> None:
    """Train with each number of GPUs, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a folder with a model in 4 bits")
    parser.add_argument("--data", type=Path, required=True, help="a file of conversations")
    parser.add_argument("--gpus", type=int, nargs="*", default=[1, 2], help="numbers of GPUs")
    parser.add_argument("--rows", type=int, default=16, help="rows per GPU and pass")
    parser.add_argument("--steps", type=int, default=24, help="training steps per run (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=1, help="runs per number of GPUs (default: %(default)s)")
    parser.add_argument("--checkpointing", default="auto", help="gradient checkpointing (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), models=options.model.resolve().parent).prepare()
        data = sources.open_file(settings, options.data)
        subset.create(settings, "rows", Recipe(dataset=data.id, held_out_share=0))
        store, found = RunStore(settings), {gpus: [] for gpus in options.gpus}
        for gpus in options.gpus * options.repeats:
            config = QLoRAConfig(
                model=options.model.name, subset="rows", gpus=gpus, batch_size=options.rows * gpus, max_length=1024,
                lora_alpha=16, max_steps=options.steps, answers_only=False, held_out_share=0, eval_rows=0,
                save_steps=0, gradient_checkpointing=options.checkpointing, seed=0,
            )  # fmt: skip
            found[gpus].append(measure(store, config))
            print(gpus, found[gpus][-1], flush=True)
    print_table(found)


def print_table(found: dict[int, list[dict[str, Any]]]) -> None:
    """Print a row per number of GPUs, from the medians of its runs."""
    heads = (
        "GPUs",
        "tok/s",
        "× fewest",
        "step ms",
        "memory GiB, fullest",
        "prepared s",
        "first step s",
        "first losses",
    )
    print(f"\n| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    rates = {gpus: median(run["rate"] for run in runs) for gpus, runs in found.items()}
    for gpus, runs in found.items():
        cells = (
            str(gpus), f"{rates[gpus]:,.0f}", f"{rates[gpus] / rates[min(rates)]:.2f}",
            f"{1000 * median(run['step'] for run in runs):.0f}", f"{max(run['memory'] for run in runs):.2f}",
            f"{median(run['prepared'] for run in runs):.1f}", f"{median(run['first'] for run in runs):.1f}",
            ", ".join(f"{loss:.3f}" for loss in runs[0]["losses"]),
        )  # fmt: skip
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
