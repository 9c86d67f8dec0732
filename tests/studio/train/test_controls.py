"""Start, stop, resume, label and delete of runs."""

import psutil
import pytest

from core.errors import StudioError
from core.runs.config import QLoRAConfig
from core.runs.store import Label
from studio.train.controls import RunControls


@pytest.fixture
def do(runs, toasts):
    return RunControls(runs)


@pytest.fixture
def live(a_run):
    """A run whose process is this one."""
    run = a_run(status="running", ended=None)
    run.save_state(run.saved_state().with_process(psutil.Process().pid))
    return run


def test_queue_of_two_runs_can_be_reordered_and_emptied(do, live, toasts):
    first, second = (do.runs.create(QLoRAConfig()).id for _ in range(2))
    assert do.move(second, -1)["queue"]["visible"]
    assert [run.id for run in do.runs.queue()] == [second, first]
    do.move(second, 99)
    assert [run.id for run in do.runs.queue()] == [first, second]
    do.stop(first)
    assert [run.id for run in do.runs.queue()] == [second]
    assert do.runs.run(first).state().cause == "Removed from the queue."
    with pytest.raises(StudioError, match="not queued"):
        do.move(live.id, 1)
    do.stop(second)
    assert not do.render_queue()["queue"]["visible"]


def test_stop_live_run_writes_a_request_and_ended_run_raises(do, live, a_run):
    do.stop(live.id)
    assert live.stop_request.exists()
    assert live.state().status == "stopping"
    with pytest.raises(StudioError, match="is finished: there is nothing to stop"):
        do.stop(a_run().id)
    for refuse in (do.stop, do.kill):
        with pytest.raises(StudioError, match="No run is selected"):
            refuse(None)


def enabled_buttons(do, run_id):
    return {name for name, update in do.update_buttons(run_id).items() if update["interactive"]}


@pytest.mark.parametrize(
    ("status", "enabled"),
    [
        ("queued", {"stop", "earlier", "later"}),
        ("finished", {"resume"}),
        ("interrupted", {"resume"}),
        ("unreadable", set()),
    ],
)
def test_update_buttons_enables_what_applies_to_the_status(do, a_run, status, enabled):
    run = a_run(status=status)
    assert enabled_buttons(do, run.id) == enabled
    assert enabled_buttons(do, None) == set()


def test_update_buttons_live_run_can_be_stopped_and_killed(do, live):
    assert enabled_buttons(do, live.id) == {"stop", "kill"}


def test_save_label_shows_it_in_the_list_and_hides_archived_runs(do, a_run):
    run, other = a_run(created=1), a_run(created=2)
    do.save_label(run.id, " My <b>run</b> ", "#a, b,, a", "note", False, False)
    assert run.label() == Label(name="My <b>run</b>", tags=["a", "b"], note="note")
    label = {"name": "My <b>run</b>", "tags": "a, b", "note": "note", "archived": False}
    assert do.read_label(run.id) == label
    assert ("My <b>run</b> · finished #a #b", run.id) in do.choices()
    shown = do.save_label(run.id, "", "", "", True, False)
    assert shown["run"]["value"] == other.id
    assert run.id not in [value for _, value in do.choices()]
    assert run.id in [value for _, value in do.choices(with_archived=True)]
    with pytest.raises(StudioError, match="Name"):
        do.save_label(run.id, "x" * 200, "", "", False, False)
    assert do.read_label(None) == {"name": "", "tags": "", "note": "", "archived": False}


def test_delete_requires_an_ended_run_and_its_typed_id(do, live, a_run):
    run = a_run()
    with pytest.raises(StudioError, match="type its id"):
        do.delete(run.id, "no", False)
    with pytest.raises(StudioError, match="Stop it before you delete it"):
        do.delete(live.id, live.id, False)
    do.delete(run.id, f" {run.id} ", False)
    assert [r.id for r in do.runs.runs()] == [live.id]
    assert not list(do.runs.settings.runs_dir.glob(".deleted-*"))


def test_refresh_list_selects_the_newest_and_keeps_a_selection(do, a_run):
    assert do.refresh_list(None, False)["run"]["value"] is None
    old, new = a_run(created=1.0), a_run(created=2.0)
    assert [run_id for _, run_id in do.refresh_list(None, False)["run"]["choices"]] == [new.id, old.id]
    assert do.refresh_list(None, False)["run"]["value"] == new.id
    assert do.refresh_list(old.id, False)["run"]["value"] == old.id


def test_resume_running_or_finished_run_raises(do, live, a_run):
    with pytest.raises(StudioError, match=r"is running\. It has not ended"):
        do.resume(live.id, False)
    with pytest.raises(StudioError, match="There is nothing left to do; give it more steps"):
        do.resume(a_run().id, False)
    with pytest.raises(StudioError, match="Rank cannot change when a run is resumed"):
        do.resume(a_run().id, True, **QLoRAConfig(lora_rank=5).model_dump())
