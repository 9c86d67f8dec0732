"""Cost of watching a run: values, bytes and CPU time of the server for each poll of the Train tab.

    python bench/poll.py [--polls 40] [--steps 600]

A run without a worker has several hundred steps; before each poll, one more step is written to it, as a worker does.
The client asks as the page does, and reads the answer. The bytes are those of the event's answer as JSON.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core.runs.presets import QUICK_DEMO  # noqa: E402
from core.runs.store import Run, RunState, RunStore  # noqa: E402
from tests.helpers.app_server import AppServer, PageClient, QueueClient  # noqa: E402
from tests.helpers.run_events import EVENTS, write  # noqa: E402


def step_event(step: int) -> dict[str, Any]:
    """Return the event of a step."""
    return EVENTS[3] | {
        "step": step,
        "total": 10_000,
        "loss": 3 + 1 / step,
        "seconds": 2.0 * step,
        "tokens": 900 * step,
    }


def is_sent(value: Any) -> bool:
    """Return whether an output of an answer changes something in the page; states stay on the server."""
    return value is not None and not (isinstance(value, dict) and value.keys() <= {"__type__", "props"})


def running_run(store: RunStore, steps: int) -> Run:
    """Return a run whose state names this process as its worker."""
    run = store.create(QUICK_DEMO.config())
    run.save_state(RunState(status="running", created=time.time()).with_process(psutil.Process().pid))
    write(run, [*EVENTS[:3], *map(step_event, range(1, steps + 1))])
    return run


def find_poll(page: QueueClient) -> dict[str, Any]:
    """Return the event by which the Train tab polls: a timer's, with the selected run as an input."""
    runs = {one["id"] for one in page.config["components"] if one["props"].get("elem_id") == "run"}
    (poll,) = [event for event in page.events
               if "tick" in {kind for _, kind in event["targets"]} and runs & set(event["inputs"])]  # fmt: skip
    return poll


def measure(app: AppServer, run: Run, steps: int, polls: int) -> tuple[list[int], list[int], float]:
    """Return the values and the bytes of each poll, and the CPU seconds of the server per poll."""
    page, server = PageClient(app.url), psutil.Process(app.process.pid)
    poll, components = find_poll(page), {one["id"]: one["props"] for one in page.config["components"]}
    inputs = [components[number] for number in poll["inputs"]]
    values = [run.id if one.get("elem_id") == "run" else one.get("value") for one in inputs]
    page.run(poll, values)
    counts, sizes, before = [], [], sum(server.cpu_times()[:2])
    for step in range(steps + 1, steps + polls + 1):
        write(run, [step_event(step)])
        message = page.run(poll, values)
        assert message["success"], message
        answer = message["output"]["data"]
        counts.append(sum(map(is_sent, answer)))
        sizes.append(len(json.dumps(answer)))
    return counts, sizes, (sum(server.cpu_times()[:2]) - before) / polls


def main() -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--polls", type=int, default=40, help="polls to measure (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=600, help="steps before the first poll (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        app = AppServer(Path(folder))
        try:
            run = running_run(RunStore(app.settings), options.steps)
            counts, sizes, seconds = measure(app, run, options.steps, options.polls)
        finally:
            app.process.kill()
            app.process.wait()
    print(
        f"{median(counts):.0f} values, {median(sizes):,.0f} bytes and {1000 * seconds:.1f} ms of CPU time per poll, "
        f"of {options.polls} polls"
    )


if __name__ == "__main__":
    main()
