"""Polling of the selected run and of the list."""

import pytest

from core.runs.metrics_series import Timelines
from core.runs.store import Label
from studio.train.compare import ComparisonState, RunComparison
from studio.train.controls import RunControls
from studio.train.polling import Polling
from studio.train.run_view import RunView
from tests.helpers.run_events import EVENTS, write


@pytest.fixture
def do(runs):
    timelines = Timelines()
    return Polling(RunControls(runs), RunView(runs, timelines), RunComparison(runs, timelines))


def poll(do, run_id, last=None, comparison_visible=False):
    """Poll as a page that has received `last`."""
    known = {name: (last or {}).get(name, "") for name in ("run_fingerprint", "runs_fingerprint")}
    return do.poll(
        **known, run_id=run_id, with_archived=False, metric="learning rate", zoom=None, pinned=None,
        comparison=ComparisonState(), comparison_metric="loss", comparison_visible=comparison_visible,
    )  # fmt: skip


def test_poll_without_changes_updates_nothing(do, a_run):
    run = a_run(EVENTS)
    first = poll(do, run.id, comparison_visible=True)
    assert {"run", "queue", "status", "samples", "stop", "table"} <= set(first)
    assert poll(do, run.id, first, comparison_visible=True) == {}


def test_poll_new_step_updates_the_run_and_not_the_list(do, a_run):
    run = a_run(EVENTS)
    first = poll(do, run.id)
    write(run, [EVENTS[3] | {"step": 3}])
    updates = poll(do, run.id, first)
    assert updates["run_fingerprint"] != first["run_fingerprint"]
    assert "3 / 10" in updates["tiles"]
    assert not {"run", "runs_fingerprint", "queue"} & set(updates)
    assert "table" not in updates, "the table is not on the screen"
    assert {"table", "curves", "differences"} <= set(poll(do, run.id, first, comparison_visible=True))


def test_poll_new_name_updates_the_list_and_the_view(do, a_run):
    run = a_run(EVENTS)
    first = poll(do, run.id)
    run.save_label(Label(name="first"))
    updates = poll(do, run.id, first)
    assert updates["run_fingerprint"] != first["run_fingerprint"]
    assert updates["runs_fingerprint"] != first["runs_fingerprint"]
    assert updates["run"]["choices"][0][0].startswith("first")


def test_poll_deleted_run_selects_another(do, a_run):
    other = a_run(EVENTS)
    last = {"run_fingerprint": "something", "runs_fingerprint": "something"}
    updates = poll(do, "20200101-000000-gone", last)
    assert updates["run_fingerprint"] == ""
    assert updates["run"]["value"] == other.id
    assert "No run yet" in updates["status"]


def test_select_run_returns_its_view_and_label_without_a_zoom(do, a_run):
    run = a_run(EVENTS)
    run.save_label(Label(name="first"))
    updates = do.select_run(run.id, "learning rate")
    assert (updates["name"], updates["zoom"]) == ("first", None)
    assert updates["run_fingerprint"] == do.view.fingerprint(run.id)
    assert "2 / 10" in updates["tiles"]


@pytest.mark.parametrize("with_run", [True, False])
def test_select_run_clears_the_rows_and_the_log_of_the_run_before(do, a_run, with_run):
    """Otherwise a row of one run could be excluded from the subset of another."""
    updates = do.select_run(a_run(EVENTS).id if with_run else None, "learning rate")
    assert (updates["row"]["value"], updates["row"]["choices"], updates["row"]["visible"]) == (None, [], False)
    assert (updates["row_view"], updates["log"]) == ("", "")
    assert "Click a point" in updates["step"]
