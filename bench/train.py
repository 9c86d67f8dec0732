"""QLoRA training steps on a GPU: TRL, TRL with Liger, Unsloth if it is installed, and the studio.

    python bench/train.py --tokenizer FOLDER --data guanaco-llama2-1k-train.parquet [--unsloth-site FOLDER]

A random model of Llama-2-7B's shape in NF4 with double quantization, bf16, LoRA rank 16 on all linear layers, fused
AdamW, the same rows in the same order. Each variant runs in a process of its own, in random order, repeated; the next
two processes import their packages while one is measured. A rate is the median of the repeats without the first steps
(compilation, allocation); real tokens exclude padding. The ceiling is the rate of the matrix work alone: 4 FLOPs per
weight and token (2 forward, 2 backward, as the base weights are frozen), at this GPU's rate for 8,192² matrices.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from bench.train_clock import (  # noqa: E402
    count_loss_tokens,
    print_matrix_rate,
    print_profile,
    summarize,
    train_with_clock,
)
from bench.train_variants import CASES, make_model, peer_trainer, rows_of, studio_trainer  # noqa: E402

# Weights of all matrix products of the model, including the head.
WEIGHTS = 6.61e9
# Processes that import their packages while another is measured.
_WAITING_PROCESSES = 2
VARIANTS = {
    "TRL": "SFTTrainer with its defaults",
    "TRL + Liger": "use_liger_kernel",
    "Unsloth": "FastLanguageModel, its own checkpointing",
    "Unsloth, off": "the same, checkpointing off",
    "Unsloth, packed": "the same as Unsloth, rows packed by TRL",
    "studio": "the defaults: gradient checkpointing auto",
    "studio, 10.6 GiB": "auto, limited to 10.6 GiB",
    "studio, on": "gradient checkpointing on",
    "studio, on, dropout": "the same, LoRA's dropout at 0.1",
    "studio, offload": "gradient checkpointing offload",
    "studio, no kernels": "kernels off, gradient checkpointing on",
}


def measure(variant: str, case: str, folder: str, data: str, steps: int, profile: bool) -> None:
    """Run one variant in this process, and print one line of JSON.

    Args:
        variant: A key of `VARIANTS`.
        case: A key of `CASES`.
        folder: The model in NF4.
        data: Parquet file with a text column.
        steps: Training steps, warm-up included.
        profile: Whether to print the operators of two steps instead.
    """
    _import_packages(variant)
    ids = rows_of(case, data, folder, steps)
    # The parent writes a line when it is this process's turn to use the GPU.
    sys.stdin.readline()
    with tempfile.TemporaryDirectory() as out:
        make = studio_trainer if variant.startswith("studio") else peer_trainer
        trainer, load_seconds = make(variant, case, folder, ids, out, steps)
        if profile:
            print_profile(trainer)
            return
        # With packing, a step takes more rows than the batch size, so its tokens are counted.
        packed_tokens = count_loss_tokens(trainer) if variant.endswith("packed") else None
        clock = train_with_clock(trainer)
    result = summarize(trainer, clock, ids, CASES[case][0], packed_tokens)
    print("RESULT " + json.dumps(result | {"loaded": load_seconds}))


def _import_packages(variant: str) -> None:
    if variant.startswith("Unsloth"):
        # Before all others, because it patches them.
        import unsloth  # noqa: F401
    import trl  # noqa: F401

    if variant.startswith("studio"):
        import core.train.trainer  # noqa: F401


class Measurement:
    """One measurement in a process of its own, which imports its packages and then waits for its turn."""

    def __init__(self, options: argparse.Namespace, variant: str, case: str):
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        if variant.startswith("studio"):
            # The worker has the same setting.
            environment["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
        if variant.startswith("Unsloth") and options.unsloth_site:
            environment["PYTHONPATH"] = options.unsloth_site
        command = [sys.executable, __file__, "--variant", variant, "--case", case, "--model", options.model,
                   "--data", options.data or "", "--steps", str(options.steps)]  # fmt: skip
        self.variant, self.case = variant, case
        # A file instead of a pipe, which would block a process that prints while it waits.
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=self._output, stderr=subprocess.STDOUT, text=True
        )

    def result(self) -> dict[str, Any] | None:
        """Let the process measure, and return its result; None, with its output printed, if it failed."""
        self._process.communicate("go\n")
        self._output.seek(0)
        output, _, found = self._output.read().partition("RESULT ")
        self._output.close()
        if not found:
            print(f"{self.variant}, {self.case}: failed\n{output[-3000:]}", flush=True)
            return None
        lines = output.splitlines()
        choices = [line for line in lines if line.startswith(("Kernels", "Gradient")) or "padding" in line]
        found = found.splitlines()[0]
        print(f"{self.variant}, {self.case}: {found} {' '.join(choices)}", flush=True)
        return json.loads(found)


def main() -> None:
    """Compare the variants, or run one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", help="a folder with Llama 2's tokenizer")
    parser.add_argument("--data", help="a parquet file with a text column")
    parser.add_argument("--unsloth-site", help="a folder with Unsloth and what it needs")
    parser.add_argument("--model", help="folder of the random model; it is written if it is missing (27 GB)")
    parser.add_argument("--steps", type=int, default=12, help="training steps per process (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=2, help="processes per variant (default: %(default)s)")
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS), help="variants (default: all)")
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES), help="cases (default: all)")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help="print the operators of two steps of --variant")
    options = parser.parse_args()
    if options.variant == "matrix rate":
        print_matrix_rate()
    elif options.variant == "make":
        make_model(Path(options.model), options.tokenizer)
    elif options.variant:
        measure(options.variant, options.case, f"{options.model}-4bit", options.data, options.steps, options.profile)
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Measure all chosen variants and cases, and print a table per case."""
    if options.model is None:
        with tempfile.TemporaryDirectory() as scratch:
            options.model = f"{scratch}/llama7b"
            compare(options)
        return
    if not Path(f"{options.model}-4bit").is_dir():
        command = [sys.executable, __file__, "--variant", "make", "--model", options.model]
        subprocess.run([*command, "--tokenizer", options.tokenizer], check=True, stdout=subprocess.DEVNULL)
    rate = Measurement(options, "matrix rate", "fixed").result()["rate"]
    found = _measure_all(options)
    for case in options.cases:
        _print_table(case, found[case], rate)


def _measure_all(options: argparse.Namespace) -> dict[str, dict[str, list[dict]]]:
    """Return the results by case and variant."""
    runs = []
    for case in options.cases:
        runs_of_case = [(variant, case) for variant in options.only for _ in range(options.repeats)]
        random.shuffle(runs_of_case)
        runs += runs_of_case
    found: dict[str, dict[str, list[dict]]] = {case: {name: [] for name in options.only} for case in options.cases}
    waiting = deque(Measurement(options, *run) for run in runs[:_WAITING_PROCESSES])
    remaining = deque(runs[_WAITING_PROCESSES:])
    while waiting:
        measurement = waiting.popleft()
        if remaining:
            waiting.append(Measurement(options, *remaining.popleft()))
        if result := measurement.result():
            found[measurement.case][measurement.variant].append(result)
    return found


def _print_table(case: str, found: dict[str, list[dict]], matrix_rate: float) -> None:
    batch, length = CASES[case]
    ceiling = matrix_rate / (4 * WEIGHTS)
    print(f"\n{case}: {batch} × {length}; {matrix_rate / 1e12:.0f} TFLOP/s, so a ceiling of {ceiling:,.0f} tokens/s")
    heads = ("variant", "real tok/s", "× TRL", "× Unsloth", "spread", "padded tok/s", "step ms", "peak GiB",
             "of ceiling", "load s", "first step s", "first losses")  # fmt: skip
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    rates = {variant: median(run["rate"] for run in runs) for variant, runs in found.items() if runs}
    for variant, runs in found.items():
        if runs:
            print(f"| {' | '.join(_table_cells(variant, runs, rates, ceiling))} |")
        else:
            print(f"| {variant} | not run |" + " |" * (len(heads) - 2))


def _table_cells(variant: str, runs: list[dict], rates: dict[str, float], ceiling: float) -> tuple[str, ...]:
    rate, spread = rates[variant], [run["rate"] for run in runs]
    ratios = [f"{rate / rates[peer]:.2f}" if peer in rates else "" for peer in ("TRL", "Unsloth")]
    # The studio packs rows, so there is no padding to count.
    padded = "" if variant.startswith("studio") else f"{median(run['padded'] for run in runs):,.0f}"
    return (
        variant, f"{rate:,.0f}", *ratios, f"{min(spread):,.0f} to {max(spread):,.0f}", padded,
        f"{1000 * median(run['step'] for run in runs):.0f}", f"{max(run['peak'] for run in runs):.2f}",
        f"{rate / ceiling:.0%}", f"{median(run['loaded'] for run in runs):.1f}",
        f"{median(run['first'] for run in runs):.1f}", ", ".join(f"{loss:.3f}" for loss in runs[0]["losses"][:4]),
    )  # fmt: skip


if __name__ == "__main__":
    main()
