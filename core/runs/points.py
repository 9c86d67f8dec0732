"""Points of a run's curves as a CSV file: one row per step with a metric or a held-out loss."""

import csv
from pathlib import Path

from core.runs.events import EvalEvent, StepEvent
from core.runs.metrics_series import CLASSIFIER_METRICS, METRIC_TITLES
from core.runs.store import Run


def write_points(run: Run, path: Path) -> None:
    """Write all curves of a run.

    Args:
        run: The run.
        path: The file.
    """
    events = run.events()
    steps = {event.step: event for event in events if isinstance(event, StepEvent)}
    fields = ["loss", *CLASSIFIER_METRICS.values()]
    # Step 0, the base model's loss, has no step event.
    held_out = {e.step: [getattr(e, field) for field in fields] for e in events if isinstance(e, EvalEvent)}
    names = ["tokens", "seconds", *METRIC_TITLES, "loss"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["step", *names, *(f"held_out_{field}" for field in fields)])
        for step in sorted(steps.keys() | held_out.keys()):
            metrics = (getattr(steps.get(step), name, None) for name in names)
            writer.writerow([step, *metrics, *held_out.get(step, [None] * len(fields))])
