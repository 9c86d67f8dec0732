"""Lineage of the lanes of an evaluation: which of its runs was duplicated from which other one.

A run that was made by "Duplicate and change" or "Train this model again" stores its parent, and a verdict compares it
with that one, because the question is then whether the change has helped.
"""

from collections.abc import Iterator, Sequence

from core.errors import StudioError
from core.evaluate.config import parse_lane
from core.evaluate.verdict import choose_lanes
from core.runs.store import Run, RunStore


def parent_run(runs: RunStore, run_id: str) -> str:
    """Return the id of the run that a run was duplicated from; "" if there is none, or the run is gone."""
    if not run_id:
        return ""
    try:
        parent = runs.run(run_id).parent()
    except StudioError:
        # A lane may name a run that was deleted.
        return ""
    return parent.run if parent else ""


def runs_of(runs: RunStore, lanes: Sequence[str]) -> Iterator[Run]:
    """Yield the runs of some lanes, each once, without those that were deleted or cannot be read."""
    for run_id in dict.fromkeys(run for run, _ in map(parse_lane, lanes) if run):
        try:
            run = runs.run(run_id)
        except StudioError:
            # An evaluation outlives its runs.
            continue
        if not run.problem():
            yield run


def parent_lanes(lanes: Sequence[str], runs: RunStore) -> dict[int, int]:
    """Return the lane with a lane's parent, by that lane, both as numbers; lanes whose parent is not here have none."""
    numbers: dict[str, int] = {}
    for number, (run, adapter) in enumerate(map(parse_lane, lanes)):
        # A checkpoint stands for its run only if the final adapter is not among the lanes.
        if run and (run not in numbers or adapter == "final"):
            numbers[run] = number
    found = {}
    for number, (run, _) in enumerate(map(parse_lane, lanes)):
        parent = parent_run(runs, run)
        if parent in numbers and parent != run:
            found[number] = numbers[parent]
    return found


def usual_lanes(lanes: Sequence[str], runs: RunStore) -> tuple[int, int] | None:
    """Return the numbers of the reference and of the judged lane if nothing else is chosen; None for a single lane.

    Args:
        lanes: The lanes of an evaluation, as in its settings.
        runs: The runs, which know their parents.
    """
    return choose_lanes(list(lanes), parent_lanes(lanes, runs))
