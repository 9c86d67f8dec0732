"""The Train tab's update while a run of many steps is watched: time on the server, and bytes that reach the page.

    python bench/live.py [--steps 20000]

A process appends an event a step, as the worker does; after every tenth of the run everything that one tick of the
page's clock asks for is asked: whether there is something new, status, figures, warnings, both charts, sample answers,
buttons, and the table with the curves of ten runs. Beside it, what a page does that reads the whole file and sends
every point.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

RUNS = 10


def step_event(step: int, total: int, rng: random.Random) -> dict:
    loss = 1 + 3 / (1 + step / 500) + rng.gauss(0, 0.15)
    return {"event": "step", "time": 1e9 + step, "step": step, "total": total, "loss": loss, "learning_rate": 2e-4,
            "grad_norm": abs(rng.gauss(0.5, 0.2)), "epoch": step / total, "tokens": step * 4000,
            "tokens_per_second": 900 + rng.random(), "seconds": step * 0.5, "rows": [rng.randrange(9999)] * 16,
            "memory_gib": 7.5, "use": 96}  # fmt: skip


def append(path: Path, first: int, last: int, total: int, rng: random.Random) -> None:
    with path.open("a") as stream:
        for step in range(first, last + 1):
            stream.write(json.dumps(step_event(step, total, rng)) + "\n")
            if step % 100 == 0:
                stream.write(json.dumps({"event": "eval", "step": step, "loss": 2.0 + 1 / step, "rows": 100}) + "\n")
                sample = {"event": "sample", "step": step, "prompts": ["Why?"], "answers": ["Because. " * 20]}
                stream.write(json.dumps(sample) + "\n")


def made_runs(home: Path):
    """A home with finished runs that are only files, and one that runs: this process is its worker."""
    import os

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
    runs = [store.create(QLoRAConfig(model="any", seed=n)) for n in range(RUNS)]
    for run in runs:
        run.save_state(RunState(status="finished", created=time.time(), ended=time.time()))
    runs[-1].save_state(RunState(status="running", created=time.time()).with_process(os.getpid()))
    return store, runs


def timed(call):
    began = time.perf_counter()
    value = call()
    return time.perf_counter() - began, len(json.dumps(value, default=str))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    total = parser.parse_args().steps
    from core.runs import events
    from core.runs.metrics_series import HELD_OUT, Timelines
    from studio.train.compare import Choice, Compare
    from studio.train.controls import Controls
    from studio.train.run_view import Watch

    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as home:
        store, runs = made_runs(Path(home))
        for run in runs[:-1]:
            append(run.events_file, 1, total, total, rng)
        live, timelines = runs[-1], Timelines()
        watch, controls, compare = Watch(store, timelines), Controls(store), Compare(store, timelines)
        compared = Choice(picked=tuple(run.id for run in runs))
        compare.shown(compared, "loss", None, False)  # ten finished runs are read once
        heads = ("steps", "this run: ms", "KiB", "ten runs: ms", "KiB", "reading it all: ms", "KiB")
        print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")

        def tick():
            return [
                watch.fingerprint(live.id), store.listed(), watch.shown(live.id, "learning rate", None),
                watch.samples(live.id), controls.able(live.id),
            ]  # fmt: skip

        def whole():
            found = events.read(live.events_file)
            return [[e.step, e.loss] for e in found if e.event in ("step", "eval")]

        tenth = total // 10
        for part in range(10):
            append(live.events_file, part * tenth + 1, (part + 1) * tenth - 5, total, rng)
            tick()  # a page was here before
            seen: dict[str, list] = {"tick": [], "all": [], "whole": []}
            for step in range((part + 1) * tenth - 4, (part + 1) * tenth + 1):
                append(live.events_file, step, step, total, rng)
                seen["tick"].append(timed(tick))
                seen["all"].append(timed(lambda: compare.shown(compared, HELD_OUT, live.id, False)))
                seen["whole"].append(timed(whole))
            cells = [
                f"{median(s for s, _ in found) * 1000:.1f} (most {max(s for s, _ in found) * 1000:.1f}) "
                f"| {max(size for _, size in found) / 1024:.0f}"
                for found in seen.values()
            ]
            print(f"| {(part + 1) * tenth:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
