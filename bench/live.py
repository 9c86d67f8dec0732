"""Updates of the Train tab for a long run: time on the server, and bytes sent to the page.

    python bench/live.py [--steps 20000]

A loop appends one event per step, as the worker does. After every tenth of the run it calls everything that one tick
of the page's timer calls: change detection, status, metrics, warnings, both charts, sample answers, buttons, and the
table with the curves of ten runs. For comparison it also reads the whole file and sends every point.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

RUNS = 10
# Steps that are appended one by one and timed, at the end of each tenth of the run.
_TIMED_STEPS = 5
_PARTS = 10


def step_event(step: int, total: int, rng: random.Random) -> dict:
    """Return the event of a step as the worker writes it."""
    loss = 1 + 3 / (1 + step / 500) + rng.gauss(0, 0.15)
    return {"event": "step", "time": 1e9 + step, "step": step, "total": total, "loss": loss, "learning_rate": 2e-4,
            "grad_norm": abs(rng.gauss(0.5, 0.2)), "epoch": step / total, "tokens": step * 4000,
            "tokens_per_second": 900 + rng.random(), "seconds": step * 0.5, "rows": [rng.randrange(9999)] * 16,
            "memory_gib": 7.5, "use": 96}  # fmt: skip


def append_steps(path: Path, first: int, last: int, total: int, rng: random.Random) -> None:
    """Append the events of the steps `first` to `last`; every hundredth is evaluated and has a sample answer."""
    with path.open("a") as stream:
        for step in range(first, last + 1):
            stream.write(json.dumps(step_event(step, total, rng)) + "\n")
            if step % 100 == 0:
                stream.write(json.dumps({"event": "eval", "step": step, "loss": 2.0 + 1 / step, "rows": 100}) + "\n")
                sample = {"event": "sample", "step": step, "prompts": ["Why?"], "answers": ["Because. " * 20]}
                stream.write(json.dumps(sample) + "\n")


def make_runs(home: Path) -> tuple[Any, list]:
    """Create a home folder with runs, and return its store and the runs.

    The runs have no events yet. All are finished but the last, whose worker is this process.
    """
    from core.data import subset
    from core.runs.config import QLoRAConfig
    from core.runs.store import RunState, RunStore
    from core.settings import Settings

    settings = Settings(home=home).prepare()
    subset.ensure_bundled(settings)
    model = settings.models_dir / "any"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    store = RunStore(settings)
    runs = [store.create(QLoRAConfig(model="any", seed=seed)) for seed in range(RUNS)]
    for run in runs:
        run.save_state(RunState(status="finished", created=time.time(), ended=time.time()))
    runs[-1].save_state(RunState(status="running", created=time.time()).with_process(os.getpid()))
    return store, runs


class Updates:
    """The calls of one tick of the page's timer, over all runs of a store."""

    def __init__(self, store: Any, runs: list):
        from core.runs.metrics_series import Timelines
        from studio.train.compare import ComparisonState, RunComparison
        from studio.train.controls import RunControls
        from studio.train.run_view import RunView

        timelines = Timelines()
        self.store, self.live = store, runs[-1]
        self.view, self.controls = RunView(store, timelines), RunControls(store)
        self.comparison = RunComparison(store, timelines)
        self.compared = ComparisonState(picked=tuple(run.id for run in runs))
        # The finished runs are read once, before anything is timed.
        self.comparison.render(self.compared, "loss", None, False)

    def update_run(self) -> list:
        """Return everything that the view of the watched run sends."""
        live = self.live.id
        return [
            self.view.fingerprint(live), self.store.fingerprint(), self.view.render(live, "learning rate", None),
            self.view.render_samples(live), self.controls.update_buttons(live),
        ]  # fmt: skip

    def update_table(self) -> Any:
        """Return the table of ten runs with their held-out losses."""
        from core.runs.metrics_series import HELD_OUT_LOSS

        return self.comparison.render(self.compared, HELD_OUT_LOSS, self.live.id, False)

    def read_everything(self) -> list:
        """Return every point of the run, read from the whole file."""
        from core.runs import events

        found = events.read(self.live.events_file)
        return [[event.step, event.loss] for event in found if event.event in ("step", "eval")]


def time_call(call: Callable[[], Any]) -> tuple[float, int]:
    """Return the seconds that a call takes, and the bytes of its result as JSON."""
    began = time.perf_counter()
    value = call()
    return time.perf_counter() - began, len(json.dumps(value, default=str))


def time_part(updates: Updates, first: int, last: int, total: int, rng: random.Random) -> str:
    """Append the steps `first` to `last`, time the updates after each of the last ones, and return the table cells."""
    path = updates.live.events_file
    append_steps(path, first, last - _TIMED_STEPS, total, rng)
    # The page has shown all earlier steps before the timed ones arrive.
    updates.update_run()
    calls = (updates.update_run, updates.update_table, updates.read_everything)
    found: list[list[tuple[float, int]]] = [[] for _ in calls]
    for step in range(last - _TIMED_STEPS + 1, last + 1):
        append_steps(path, step, step, total, rng)
        for results, call in zip(found, calls, strict=True):
            results.append(time_call(call))
    return " | ".join(
        f"{median(seconds for seconds, _ in results) * 1000:.1f} "
        f"(most {max(seconds for seconds, _ in results) * 1000:.1f}) "
        f"| {max(size for _, size in results) / 1024:.0f}"
        for results in found
    )


def main() -> None:
    """Append the run in ten parts, and print the times after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000, help="steps of the run (default: %(default)s)")
    total = parser.parse_args().steps
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as home:
        store, runs = make_runs(Path(home))
        for run in runs[:-1]:
            append_steps(run.events_file, 1, total, total, rng)
        updates = Updates(store, runs)
        heads = ("steps", "this run: ms", "KiB", "ten runs: ms", "KiB", "reading it all: ms", "KiB")
        print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        part_steps = total // _PARTS
        for part in range(_PARTS):
            last = (part + 1) * part_steps
            print(f"| {last:,} | {time_part(updates, part * part_steps + 1, last, total, rng)} |", flush=True)


if __name__ == "__main__":
    main()
