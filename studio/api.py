"""What programs ask for that a page reads elsewhere: lists of what is there, and a run's events."""

from typing import Any

import gradio as gr

from core.data import subset, table
from core.errors import StudioError
from core.runs.store import RunStore
from studio.handlers import event_handler

_MOST_EVENTS = 5000


class Service:
    """Each method is a call of the API; its types are those of the endpoint."""

    def __init__(self, runs: RunStore):
        self.runs, self.settings = runs, runs.settings

    def list_datasets(self) -> list[dict[str, Any]]:
        """Every data set that the caller may see: id, source, rows, splits."""
        return [
            {"id": d.id, "source": d.source.describe(), "rows": d.rows, "splits": d.splits}
            for d in table.opened_datasets(self.settings)
        ]

    def list_subsets(self) -> list[dict[str, Any]]:
        """Every subset that the caller may see: name, dataset, rows, held_out, sha256."""
        return [
            {"name": s.name, "dataset": s.recipe.dataset, "rows": s.rows, "held_out": s.held_out, "sha256": s.sha256}
            for s in subset.subsets(self.settings)
        ]

    def list_runs(self) -> list[dict[str, Any]]:
        """Every run that the caller may see, the newest first: id, title, status, cause, adapters."""
        found = [(run, run.state()) for run in self.runs.runs()]
        return [
            {"id": run.id, "title": run.title, "status": state.status, "cause": state.cause,
             "adapters": list(run.adapters())}
            for run, state in found
        ]  # fmt: skip

    def run_events(self, run_id: str, after: int) -> list[dict[str, Any]]:
        """A run's events from a place on, at most 5,000: steps, evaluations, samples, checkpoints, its end."""
        if not isinstance(after, int) or after < 0:
            raise StudioError(f"after is how many events are known already, 0 or more (given: {after!r}).")
        return [event.to_json() for event in self.runs.run(run_id).events()[after : after + _MOST_EVENTS]]


def build_service(runs: RunStore) -> None:
    do = Service(runs)
    for call in (do.list_datasets, do.list_subsets, do.list_runs, do.run_events):
        gr.api(event_handler(call, visitor=True), api_name=call.__name__, concurrency_limit=None)
