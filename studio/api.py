"""API calls without a control on the page: lists of datasets, subsets and runs, and the events of a run."""

from typing import Any

import gradio as gr

from core.data import subset, table
from core.errors import StudioError
from core.runs.event_index import EventIndexes
from core.runs.store import RunStore
from studio.handlers import event_handler
from studio.wiring import HEAVY

_MAX_EVENTS = 5000


class ApiCalls:
    """API calls; the annotations of each method are the types of its endpoint."""

    def __init__(self, runs: RunStore):
        self.runs, self.settings, self.events = runs, runs.settings, EventIndexes()

    def list_datasets(self) -> list[dict[str, Any]]:
        """List the datasets that the caller may see: id, source, rows, splits."""
        return [
            {"id": d.id, "source": d.source.describe(), "rows": d.rows, "splits": d.splits}
            for d in table.opened_datasets(self.settings)
        ]

    def list_subsets(self) -> list[dict[str, Any]]:
        """List the subsets that the caller may see: name, dataset, rows, held_out, sha256."""
        return [
            {"name": s.name, "dataset": s.recipe.dataset, "rows": s.rows, "held_out": s.held_out, "sha256": s.sha256}
            for s in subset.subsets(self.settings)
        ]

    def list_runs(self) -> list[dict[str, Any]]:
        """List the runs that the caller may see, the newest first: id, title, status, cause, adapters."""
        found = [(run, run.state()) for run in self.runs.runs()]
        return [
            {"id": run.id, "title": run.title, "status": state.status, "cause": state.cause,
             "adapters": list(run.adapters())}
            for run, state in found
        ]  # fmt: skip

    def run_events(self, run_id: str, after: int) -> list[dict[str, Any]]:
        """Return up to 5,000 events of a run: stage, prepared, resumed, step, eval, sample, checkpoint, done, failed.

        Nothing is left out when a run is resumed: after a "resumed" event, earlier events of later steps do not count.

        Args:
            run_id: As `list_runs` returns it.
            after: Number of events that are known already; those after them are returned.
        """
        if not isinstance(after, int) or after < 0:
            raise StudioError(
                f"after is not valid (given: {after!r}). Send the number of events that are known already, 0 or more."
            )
        events = self.events.of(self.runs.run(run_id).events_file).read(after, _MAX_EVENTS)
        return [event.to_json() for event in events]


def build_api(runs: RunStore) -> None:
    """Add the calls to the page that is being built."""
    do = ApiCalls(runs)
    for call in (do.list_datasets, do.list_subsets, do.list_runs):
        gr.api(event_handler(call, visitor=True), api_name=call.__name__, concurrency_limit=None)
    gr.api(event_handler(do.run_events, visitor=True), api_name="run_events", **HEAVY)
