"""QLoRA training steps on a GPU: TRL as it comes, TRL with Liger, Unsloth where it is installed, and the studio.

    python bench/train.py --tokenizer FOLDER --data guanaco-llama2-1k-train.parquet [--unsloth-site FOLDER]

A random model of Llama-2-7B's shape in NF4 with double quantization, bf16, LoRA rank 16 on all linear layers, fused
AdamW, the same rows in the same order. Every variant in a process of its own, in random order, repeated; the next two
import their packages while one is measured. A rate is the median of the repeats; the first steps of each (compilation,
allocation) are left out. Real tokens leave padding out.
The floor is the matrix work alone, 4 FLOPs a weight and token, at the rate this card multiplies 8,192² matrices.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from bench.train_variants import CASES, make_model, peer_trainer, rows_of, studio_trainer  # noqa: E402

WEIGHTS = 6.61e9  # of all products, the head's included
SKIPPED = 3  # steps that warm up
_AHEAD = 2  # processes that import while another is measured
VARIANTS = {
    "TRL": "SFTTrainer as it comes",
    "TRL + Liger": "use_liger_kernel",
    "Unsloth": "FastLanguageModel, its own checkpointing",
    "Unsloth, off": "the same, checkpointing off",
    "Unsloth, packed": "the same as Unsloth, rows packed by TRL",
    "studio": "as it comes: auto",
    "studio, 10.6 GiB": "auto within what the prototype took",
    "studio, on": "gradient checkpointing on",
    "studio, on, dropout": "the same, LoRA's dropout at 0.1",
    "studio, offload": "gradient checkpointing offload",
    "studio, no kernels": "kernels off, gradient checkpointing on",
}


def measure(variant: str, case: str, folder: str, data: str, steps: int, profile: bool) -> None:
    """Run one variant in this process and print one JSON line."""
    if variant.startswith("Unsloth"):
        import unsloth  # noqa: F401  before the rest, which it patches
    import torch
    import trl  # noqa: F401  the longest import
    from transformers import TrainerCallback

    if variant.startswith("studio"):
        import core.train.trainer  # noqa: F401
    ids = rows_of(case, data, folder, steps)
    sys.stdin.readline()  # until it is this one's turn
    with tempfile.TemporaryDirectory() as out:
        make = studio_trainer if variant.startswith("studio") else peer_trainer
        trainer, loaded = make(variant, case, folder, ids, out, steps)
        began, seconds = time.monotonic(), []

        class Clock(TrainerCallback):
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                torch.cuda.synchronize()
                self.start = time.monotonic()

            def on_step_end(self, *_: Any, **__: Any) -> None:
                torch.cuda.synchronize()
                seconds.append(time.monotonic() - self.start)
                if len(seconds) == 1:
                    self.first = time.monotonic() - began

        clock = Clock()
        trainer.add_callback(clock)
        packed = variant.endswith("packed")  # a step then takes more rows than the batch says
        learnt = counted(trainer) if packed else []
        torch.cuda.reset_peak_memory_stats()
        if profile:
            _profiled(trainer)
            return
        trainer.train()
    batch = CASES[case][0]
    timed = ids[SKIPPED * batch :]
    padded = sum(batch * max(map(len, timed[i : i + batch])) for i in range(0, len(timed), batch))
    spent = sum(seconds[SKIPPED:])
    found = {
        "rate": (sum(learnt[SKIPPED:]) if packed else sum(map(len, timed))) / spent,
        "padded": padded / spent,
        "step": spent / (steps - SKIPPED),
        "peak": torch.cuda.max_memory_allocated() / 2**30,
        "reserved": torch.cuda.max_memory_reserved() / 2**30,
        "loaded": loaded,
        "first": clock.first,
        "losses": [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry],
    }
    print("RESULT " + json.dumps(found))


def counted(trainer: Any) -> list[int]:
    """How many tokens each step learns from, as the steps are made."""
    step, found = trainer.training_step, []

    def counting(model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
        found.append(int((inputs["labels"] != -100).sum()))
        return step(model, inputs, *more, **named)

    trainer.training_step = counting
    return found


def _profiled(trainer: Any) -> None:
    """The operators of two steps in the middle, by the GPU's time."""
    from torch.profiler import ProfilerActivity, schedule
    from torch.profiler import profile as profiler
    from transformers import TrainerCallback

    with profiler(
        activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], schedule=schedule(wait=4, warmup=1, active=2)
    ) as seen:

        class Tick(TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                seen.step()

        trainer.add_callback(Tick())
        trainer.train()
    print(seen.key_averages().table(sort_by="self_cuda_time_total", row_limit=40, max_name_column_width=70))


def matrix_rate() -> None:
    import torch

    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(20):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        a @ b
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    print("RESULT " + json.dumps({"rate": 2 * 8192**3 / median(times)}))


class Child:
    """One measurement in a process of its own; it waits for its turn when it has imported what it needs."""

    def __init__(self, options: argparse.Namespace, variant: str, case: str):
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        if variant.startswith("studio"):  # as the worker does
            environment["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
        if variant.startswith("Unsloth") and options.unsloth_site:
            environment["PYTHONPATH"] = options.unsloth_site
        command = [sys.executable, __file__, "--variant", variant, "--case", case, "--model", options.model,
                   "--data", options.data or "", "--steps", str(options.steps)]  # fmt: skip
        self.variant, self.case = variant, case
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed when its text is read
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=self._said, stderr=subprocess.STDOUT, text=True
        )

    def result(self) -> dict[str, Any] | None:
        self._process.communicate("go\n")
        self._said.seek(0)
        told, _, found = self._said.read().partition("RESULT ")
        self._said.close()
        if not found:
            print(f"{self.variant}, {self.case}: failed\n{told[-3000:]}", flush=True)
            return None
        chosen = [line for line in told.splitlines() if line.startswith(("Kernels", "Gradient")) or "padding" in line]
        found = found.splitlines()[0]
        print(f"{self.variant}, {self.case}: {found} {' '.join(chosen)}", flush=True)
        return json.loads(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", help="a folder with Llama 2's tokenizer")
    parser.add_argument("--data", help="a parquet file with a text column")
    parser.add_argument("--unsloth-site", help="a folder with Unsloth and what it needs")
    parser.add_argument("--model", help="where the random model is, or is to be written (27 GB)")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help="print where the time of a variant's step goes")
    options = parser.parse_args()
    if options.variant == "matrix rate":
        matrix_rate()
    elif options.variant == "make":
        make_model(Path(options.model), options.tokenizer)
    elif options.variant:
        measure(options.variant, options.case, f"{options.model}-4bit", options.data, options.steps, options.profile)
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    scratch = None
    if options.model is None:
        scratch = tempfile.TemporaryDirectory()
        options.model = f"{scratch.name}/llama7b"
    if not Path(f"{options.model}-4bit").is_dir():
        command = [sys.executable, __file__, "--variant", "make", "--model", options.model]
        subprocess.run([*command, "--tokenizer", options.tokenizer], check=True, stdout=subprocess.DEVNULL)
    rate = Child(options, "matrix rate", "fixed").result()["rate"]
    runs = []
    for case in options.cases:
        of_case = [(variant, case) for variant in options.only for _ in range(options.repeats)]
        random.shuffle(of_case)
        runs += of_case
    found: dict[str, dict[str, list[dict]]] = {case: {v: [] for v in options.only} for case in options.cases}
    waiting = deque(Child(options, *run) for run in runs[:_AHEAD])
    for following in [*runs[_AHEAD:], *[None] * _AHEAD][: len(runs)]:
        now = waiting.popleft()
        if following:
            waiting.append(Child(options, *following))
        if result := now.result():
            found[now.case][now.variant].append(result)
    for case in options.cases:
        _print_table(case, found[case], rate)


def _print_table(case: str, found: dict[str, list[dict]], rate: float) -> None:
    batch, length = CASES[case]
    floor = rate / (4 * WEIGHTS)
    print(f"\n{case}: {batch} × {length}; {rate / 1e12:.0f} TFLOP/s, so a floor of {floor:,.0f} tokens/s")
    head = ("variant", "real tok/s", "× TRL", "× Unsloth", "spread", "padded tok/s", "step ms", "peak GiB", "of floor",
            "load s", "first step s", "first losses")  # fmt: skip
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    middle = {variant: median(r["rate"] for r in runs) for variant, runs in found.items() if runs}
    for variant, runs in found.items():
        if not runs:
            print(f"| {variant} | not run |" + " |" * (len(head) - 2))
            continue
        rates, peer = [r["rate"] for r in runs], {name: middle.get(name) for name in ("TRL", "Unsloth")}
        ratios = [f"{middle[variant] / value:.2f}" if value else "" for value in peer.values()]
        packs = variant.startswith("studio")
        cells = (
            variant, f"{middle[variant]:,.0f}", *ratios, f"{min(rates):,.0f} to {max(rates):,.0f}",
            "" if packs else f"{median(r['padded'] for r in runs):,.0f}",
            f"{1000 * median(r['step'] for r in runs):.0f}", f"{max(r['peak'] for r in runs):.2f}",
            f"{middle[variant] / floor:.0%}", f"{median(r['loaded'] for r in runs):.1f}",
            f"{median(r['first'] for r in runs):.1f}", ", ".join(f"{loss:.3f}" for loss in runs[0]["losses"][:4]),
        )  # fmt: skip
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
