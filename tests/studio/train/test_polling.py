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
        **known, sent=(last or {}).get("sent", {}), run_id=run_id, with_archived=False, metric="learning rate",
        zoom=None, pinned=None, with_form=False, with_previous=False, comparison=ComparisonState(),
        comparison_metric="loss", comparison_visible=comparison_visible,
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


def test_poll_sends_only_what_differs_from_what_the_page_has(do, a_run):
    run = a_run(EVENTS[:4], status="running", ended=None)
    first = poll(do, run.id)
    write(run, [EVENTS[3] | {"step": 2, "loss": 3.0}])
    second = poll(do, run.id, first)
    assert {"status", "tiles", "loss_chart"} <= set(second)
    assert not {"notes", "label", "samples", "made", "charts", "stop", "more"} & set(second), "they are the same"
    write(run, [EVENTS[6]])
    third = poll(do, run.id, first | second)
    assert "samples" in third
    assert "loss_chart" not in third
    # An event that filled the same outputs makes the next poll send all of them.
    assert {"notes", "loss_chart"} <= set(poll(do, run.id, {"runs_fingerprint": first["runs_fingerprint"]}))


def test_question_of_force_stop_goes_when_the_run_has_ended(do, a_run, monkeypatch):
    run = a_run(EVENTS[:4], status="running", ended=None)
    status = {"status": "running"}
    monkeypatch.setattr(type(run), "state", lambda self: self.saved_state().model_copy(update=status))
    page = poll(do, run.id)
    status["status"] = "stopping"
    page |= poll(do, run.id, page)
    # The page shows the question now; a poll that was on its way keeps what it knows of the page.
    status["status"] = "stopped"
    assert poll(do, run.id, page)["kill_row"]["visible"] is False


def test_poll_new_name_updates_the_list_and_the_view(do, a_run):
    run = a_run(EVENTS)
    first = poll(do, run.id)
    run.save_label(Label(name="first"))
    updates = poll(do, run.id, first)
    assert updates["run_fingerprint"] != first["run_fingerprint"]
    assert updates["runs_fingerprint"] != first["runs_fingerprint"]
    assert updates["run"]["choices"][0][0].startswith("first")


def test_poll_deleted_run_selects_another(do, a_run, toasts):
    other = a_run(EVENTS)
    last = {"run_fingerprint": "something", "runs_fingerprint": "something"}
    updates = poll(do, "20200101-000000-gone", last)
    assert updates["run"]["value"] == other.id
    assert updates["run_fingerprint"] == do.view.fingerprint(other.id)
    assert "No run yet" not in updates["status"], "that would be false"
    do.controls.delete(other.id, other.id, False)
    assert "No run yet" in poll(do, other.id, last)["status"]


def test_open_page_shows_the_newest_run_at_once_or_says_that_there_is_none(do, a_run):
    assert "No run yet" in do.open_page(None, False, "learning rate")["status"]
    run = a_run(EVENTS)
    run.save_label(Label(name="first"))
    shown = do.open_page(None, False, "learning rate")
    assert (shown["run"]["value"], shown["opened"], shown["name"]) == (run.id, run.id, "first")
    assert "2 / 10" in shown["tiles"]
    assert poll(do, run.id, shown) == {}, "it has all that a poll would send"


def test_select_run_does_nothing_for_the_run_that_is_shown_or_before_there_is_a_list(do, a_run):
    run = a_run(EVENTS)
    assert do.select_run(run.id, "learning rate", False, False, run.id) == {}
    assert do.select_run(None, "learning rate", False, False, "") == {}, "No run yet would be false"


def test_select_run_returns_its_view_and_label_without_a_zoom(do, a_run):
    run = a_run(EVENTS)
    run.save_label(Label(name="first"))
    updates = do.select_run(run.id, "learning rate", False, False, "")
    assert (updates["name"], updates["zoom"]) == ("first", None)
    assert updates["run_fingerprint"] == do.view.fingerprint(run.id)
    assert "2 / 10" in updates["tiles"]


@pytest.mark.parametrize("with_run", [True, False])
def test_select_run_clears_the_rows_and_the_log_of_the_run_before(do, a_run, with_run):
    """Otherwise a row of one run could be excluded from the subset of another."""
    updates = do.select_run(a_run(EVENTS).id if with_run else None, "learning rate", False, False, "other")
    assert (updates["row"]["value"], updates["row"]["choices"], updates["row"]["visible"]) == (None, [], False)
    assert (updates["row_view"], updates["log"]) == ("", "")
    assert "Click a point" in updates["step"]


def test_poll_of_a_run_sends_all_of_it_after_a_late_poll_of_another_run(do, a_run):
    before, after = a_run(EVENTS), a_run(EVENTS)
    # A poll that began while the first run was selected ends after the page shows the second one.
    late = poll(do, before.id)
    opened = do.select_run(after.id, "learning rate", False, False, before.id)
    updates = poll(do, after.id, opened | {"sent": late["sent"], "run_fingerprint": late["run_fingerprint"]})
    assert {"stop", "chat", "evaluate", "status", "samples"} <= set(updates)
