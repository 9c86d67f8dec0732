"""List of the adapters that an export can combine with the chosen one."""

from typing import Any

import gradio as gr

from core.export.card.facts import base_name
from core.runs.imported import all_tuned
from core.runs.store import RunStore

COMBINE = "Further adapters of this base model, with the weight 1. For another weight, type NAME=WEIGHT."


def list_others(runs: RunStore, run_id: str) -> dict[str, Any]:
    """Return the update of Combine with for a run: the other adapters, or why there are none."""
    found = other_adapters(runs, run_id)
    none = (
        f"There is no other adapter of {base_name(runs.run(run_id))}. Train another run on it, or import an adapter of "
        "it below; it is then listed here."
    )
    return gr.update(choices=found, value=[], info=COMBINE if found else none)


def other_adapters(runs: RunStore, run_id: str) -> list[tuple[str, str]]:
    """Return the runs and imported adapters of a run's base model that could be combined with it, for a list.

    Args:
        runs: All runs.
        run_id: The run.
    """
    base, titles = runs.run(run_id).config().model, runs.titles()
    return [
        (f"{titles.get(other.id, other.title)} × 1", other.id)
        for other in all_tuned(runs)
        if other.id != run_id and not other.problem() and other.adapters()
        and other.config().model == base and not other.config().classifies
    ]  # fmt: skip
