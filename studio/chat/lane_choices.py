"""Lanes that a run offers: its newest adapter, its checkpoints, its exported files, and what shows what it learned."""

from collections.abc import Sequence

from core.chat.turns import BASE, LaneChoice
from core.runs.exported import ExportedModel, is_exported
from core.runs.store import Run


def checkpoint_names(choice: LaneChoice, runs: list[Run]) -> list[str]:
    """Return the positions of a lane's checkpoint slider, from the base to the newest adapter.

    There are none for the base and for an exported file. A classifier has no position for the base, which chooses no
    labels.
    """
    run = next((run for run in runs if run.id == choice.run), None)
    if run is None or is_exported(choice.adapter):
        return []
    return [*([] if run.config().classifies else [BASE]), *reversed(run.adapters())]


def model_value(choice: LaneChoice) -> str:
    """Return the value of a lane's list of models: "" for the base, "RUN", or "RUN/FILE" for an exported file."""
    return f"{choice.run}/{choice.adapter}" if is_exported(choice.adapter) else choice.run


def model_choices(titled: Sequence[tuple[str, Run]], files: Sequence[ExportedModel]) -> list[tuple[str, str]]:
    """Return the names and values of a lane's list of models: the base, the runs, and their exported files."""
    titles = {run.id: title for title, run in titled}
    runs = [(title, run.id) for title, run in titled]
    return [("Base model", ""), *runs, *((file.label(titles[file.run]), file.key) for file in files)]


def newest_adapter(run: Run) -> LaneChoice:
    """Return a lane that follows the newest adapter of a run."""
    return LaneChoice(run=run.id, adapter=next(iter(run.adapters())), newest=True)


def lanes_of(run: Run) -> list[LaneChoice]:
    """Return the lanes that show what a run has learned: a classifier alone, other runs beside their base."""
    return [*([] if run.config().classifies else [LaneChoice()]), newest_adapter(run)]
