"""Timing of bench/train.py: steps, rates, tokens, a profile, and the GPU's rate of matrix products."""

import json
import time
from statistics import median
from typing import Any

# The first steps compile kernels and allocate memory.
WARMUP_STEPS = 3


def train_with_clock(trainer: Any) -> Any:
    """Train, and return a clock with `seconds` of each step and `first`, the seconds to the end of the first step."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.began, self.first = time.monotonic(), 0.0
            self.seconds: list[float] = []

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            torch.cuda.synchronize()
            self.start = time.monotonic()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            torch.cuda.synchronize()
            now = time.monotonic()
            self.seconds.append(now - self.start)
            self.first = self.first or now - self.began

    clock = Clock()
    trainer.add_callback(clock)
    torch.cuda.reset_peak_memory_stats()
    trainer.train()
    return clock


def summarize(
    trainer: Any, clock: Any, ids: list[list[int]], batch: int, packed_tokens: list[int] | None
) -> dict[str, Any]:
    """Return the rates in tokens per second, times in seconds and memory in GiB of a finished training.

    Args:
        trainer: The trainer.
        clock: Times of the trainer's steps.
        ids: All rows.
        batch: Rows per step.
        packed_tokens: Tokens of each step, if the trainer packs rows.
    """
    import torch

    timed, spent = ids[WARMUP_STEPS * batch :], sum(clock.seconds[WARMUP_STEPS:])
    padded = sum(batch * max(map(len, timed[at : at + batch])) for at in range(0, len(timed), batch))
    tokens = sum(map(len, timed)) if packed_tokens is None else sum(packed_tokens[WARMUP_STEPS:])
    return {
        "rate": tokens / spent,
        "padded": padded / spent,
        "step": spent / (len(clock.seconds) - WARMUP_STEPS),
        "peak": torch.cuda.max_memory_allocated() / 2**30,
        "reserved": torch.cuda.max_memory_reserved() / 2**30,
        "first": clock.first,
        "losses": [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry],
    }


def count_loss_tokens(trainer: Any) -> list[int]:
    """Return a list to which each training step appends the number of its tokens with loss."""
    training_step, counts = trainer.training_step, []

    def count_and_train(model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
        counts.append(int((inputs["labels"] != -100).sum()))
        return training_step(model, inputs, *more, **named)

    trainer.training_step = count_and_train
    return counts


def print_profile(trainer: Any) -> None:
    """Train, and print the operators of two steps in the middle, sorted by their time on the GPU."""
    from torch.profiler import ProfilerActivity, schedule
    from torch.profiler import profile as profiler
    from transformers import TrainerCallback

    with profiler(
        activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], schedule=schedule(wait=4, warmup=1, active=2)
    ) as profile:

        class Tick(TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                profile.step()

        trainer.add_callback(Tick())
        trainer.train()
    print(profile.key_averages().table(sort_by="self_cuda_time_total", row_limit=40, max_name_column_width=70))


def print_matrix_rate() -> None:
    """Print the FLOPs per second of a product of 8,192² matrices in bf16, the median of 20."""
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
