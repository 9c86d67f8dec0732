"""Updates of the Train tab on every tick of its timer.

One event per tick updates the whole tab. A browser spends more on receiving an event than on rendering its content, and
on a small machine it takes that time from the run; an event for each part of the tab would multiply it.
"""

from hashlib import blake2b
from typing import Any

import gradio as gr

from core.errors import StudioError
from studio.train.compare import ComparisonState, RunComparison
from studio.train.controls import RunControls
from studio.train.run_view import Pinned, RunView, Zoom

# Key of the run in `sent`, beside the names of the outputs.
_RUN = "run_id"


def leave_out_known(updates: dict[str, Any], sent: dict[str, str], run_id: str | None) -> dict[str, Any]:
    """Return the updates that differ from the last ones of the same outputs, and as `sent` what the page has then.

    Args:
        updates: By output.
        sent: Digests of the values that the page has, by output. Every other event that fills these outputs has to
            return an empty dictionary for it, so that the next poll sends all of them.
        run_id: The run that the updates show. Digests of another run are not used: a poll that began before the user
            selected this run may have stored them since.
    """
    if sent.get(_RUN) != str(run_id):
        sent = {_RUN: str(run_id)}
    digests = {name: blake2b(repr(value).encode(), digest_size=16).hexdigest() for name, value in updates.items()}
    changed = {name: value for name, value in updates.items() if sent.get(name) != digests[name]}
    return {**changed, "sent": sent | digests}


class Polling:
    """Event handlers that return what changed in the runs' files since a page last saw them."""

    def __init__(self, controls: RunControls, view: RunView, comparison: RunComparison):
        self.controls, self.view, self.comparison = controls, view, comparison

    def poll(
        self, run_fingerprint: str, runs_fingerprint: str, sent: dict[str, str], run_id: str | None,
        with_archived: bool, metric: str, zoom: Zoom, pinned: Pinned, with_form: bool, with_previous: bool,
        comparison: ComparisonState, comparison_metric: str, comparison_visible: bool,
    ) -> dict[str, Any]:  # fmt: skip
        """Return updates of the parts that changed.

        Args:
            run_fingerprint: Fingerprint of the selected run when the page last rendered it.
            runs_fingerprint: Fingerprint of all runs when the page last listed them.
            sent: Digests of the values that the page has, by output.
            run_id: The selected run.
            with_archived: Whether archived runs are listed.
            metric: The metric of the second chart.
            zoom: The steps that the charts show.
            pinned: The evaluation pass whose sample answers stay shown.
            with_form: Whether Resume applies the form's values.
            with_previous: Whether the loss chart also shows the previous run on the same subset.
            comparison: The state of the table of all runs.
            comparison_metric: The metric of the curves below that table.
            comparison_visible: Whether the table is on the screen; it is not rendered otherwise.
        """
        try:
            run_now = self.view.fingerprint(run_id)
        except StudioError:
            # The run was deleted on another page, so the list selects another one.
            run_id = self.controls.refresh_list(None, with_archived)["run"]["value"]
            run_now = self.view.fingerprint(run_id)
        runs_now = self.controls.runs.fingerprint()
        updates: dict[str, Any] = {}
        rendered: dict[str, Any] = {}
        if runs_now != runs_fingerprint:
            updates |= {"runs_fingerprint": runs_now, **self.controls.refresh_list(run_id, with_archived)}
            updates |= self.controls.render_queue()
        if run_now != run_fingerprint:
            rendered |= self._render_run(run_id, metric, zoom, pinned, with_form, with_previous)
            updates["run_fingerprint"] = run_now
        if updates and comparison_visible:
            rendered |= self.comparison.render(comparison, comparison_metric, run_id, with_archived)
        return {**updates, **leave_out_known(rendered, sent, run_id)} if updates else {}

    def open_page(self, run_id: str | None, with_archived: bool, metric: str) -> dict[str, Any]:
        """Return the list of runs and the view of the selected one, so that a page that opens needs no second event.

        Args:
            run_id: The run that the browser still shows after a reload.
            with_archived: Whether archived runs are listed.
            metric: The metric of the second chart.
        """
        listed = self.controls.refresh_list(run_id, with_archived)
        opened = self.select_run(listed["run"]["value"], metric, False, False, "")
        known = {"runs_fingerprint": self.controls.runs.fingerprint()}
        return {**known, **listed, **self.controls.render_queue(), **opened}

    def select_run(
        self, run_id: str | None, metric: str, with_form: bool, with_previous: bool, opened: str | None
    ) -> dict[str, Any]:
        """Return the view of another run, without a zoom, and its label; nothing if that run is shown already.

        Args:
            run_id: The run.
            metric: The metric of the second chart.
            with_form: Whether Resume applies the form's values.
            with_previous: Whether the loss chart also shows the previous run on the same subset.
            opened: The run that the page shows; empty before it shows any.
        """
        # A page that opens selects no run before it has the list.
        if opened == run_id or (not run_id and self.controls.runs.runs()):
            return {}
        return {
            "opened": run_id,
            "run_fingerprint": self.view.fingerprint(run_id),
            "zoom": None,
            **leave_out_known(self._render_run(run_id, metric, None, None, with_form, with_previous), {}, run_id),
            **self.view.clear_details(),
            **self.controls.read_label(run_id),
            "rename_row": gr.update(visible=False),
            "typed": gr.update(value="", placeholder=run_id or ""),
        }

    def _render_run(
        self, run_id: str | None, metric: str, zoom: Zoom, pinned: Pinned, with_form: bool, with_previous: bool
    ) -> dict[str, Any]:
        return {
            **self.view.render(run_id, metric, zoom, with_previous),
            **self.view.render_samples(run_id, pinned),
            **self.controls.update_buttons(run_id, with_form),
        }
