"""Lanes that a run offers: its newest adapter, its checkpoints, and the lanes that show what it has learned."""

from core.chat.turns import BASE, LaneChoice
from core.runs.store import Run


def checkpoint_names(run_id: str, runs: list[Run]) -> list[str]:
    """Return the positions of a lane's checkpoint slider, from the base to the newest adapter; empty for the base.

    A classifier has no position for the base, which chooses no labels.
    """
    run = next((run for run in runs if run.id == run_id), None)
    if run is None:
        return []
    return [*([] if run.config().classifies else [BASE]), *reversed(run.adapters())]


def newest_adapter(run: Run) -> LaneChoice:
    """Return a lane that follows the newest adapter of a run."""
    return LaneChoice(run=run.id, adapter=next(iter(run.adapters())), newest=True)


def lanes_of(run: Run) -> list[LaneChoice]:
    """Return the lanes that show what a run has learned: a classifier alone, other runs beside their base."""
    return [*([] if run.config().classifies else [LaneChoice()]), newest_adapter(run)]
