import psutil
import pytest

from core.errors import StudioError
from core.runs.config import QLoRAConfig
from core.runs.store import Label
from studio.train.controls import Controls


@pytest.fixture
def do(runs, toasts):
    return Controls(runs)


@pytest.fixture
def live(a_run):
    """A run whose process is this one."""
    run = a_run(status="running", ended=None)
    run.save_state(run.saved_state().with_process(psutil.Process().pid))
    return run


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"subset": "none-such"}, "no subset 'none-such'"),
        ({"subset": "../keeper"}, "cannot be used as a subset name"),
        ({"model": "none-such"}, "no model 'none-such'"),
        ({"model": "../models"}, "no model '../models'"),
        ({"revision": "abc"}, "has no revision 'abc'"),
    ],
)
def test_a_run_that_cannot_be_is_refused_and_leaves_no_folder(do, values, words):
    before = psutil.Process().children()
    with pytest.raises(StudioError, match=words):
        do.start(False, **(QLoRAConfig().model_dump() | values))
    assert do.runs.runs() == []
    assert [path for path in do.runs.settings.runs_dir.iterdir() if path.is_dir()] == []
    assert psutil.Process().children() == before


def test_behind_a_run_the_next_one_waits_and_can_be_moved_and_taken_out(do, live, toasts):
    first = do.start(False, **QLoRAConfig().model_dump())["value"]
    second = do.start(False, **QLoRAConfig().model_dump())["value"]
    assert "Queued" in toasts[0]
    assert [run.id for run in do.runs.queue()] == [first, second]
    assert do.move(second, -1)["visible"]
    assert [run.id for run in do.runs.queue()] == [second, first]
    do.move(second, 99)
    assert [run.id for run in do.runs.queue()] == [first, second]
    do.stop(first)
    assert [run.id for run in do.runs.queue()] == [second]
    assert do.runs.run(first).state().cause == "Removed from the queue."
    with pytest.raises(StudioError, match="not queued"):
        do.move(live.id, 1)
    do.stop(second)
    assert not do.queue_words()["visible"]


def test_stop_asks_a_live_run_and_refuses_an_ended_one(do, live, a_run):
    do.stop(live.id)
    assert live.stop_request.exists()
    assert live.state().status == "stopping"
    with pytest.raises(StudioError, match="is finished: there is nothing to stop"):
        do.stop(a_run().id)
    for refuse in (do.stop, do.kill):
        with pytest.raises(StudioError, match="No run is chosen"):
            refuse(None)


@pytest.mark.parametrize(
    ("status", "able"),
    [
        ("queued", [True, False, False, True, True]),
        ("finished", [False, False, True, False, False]),
        ("interrupted", [False, False, True, False, False]),
        ("unreadable", [False, False, False, False, False]),
    ],
)
def test_only_what_can_be_done_can_be_pressed(do, a_run, status, able):
    run = a_run(status=status)
    assert [update["interactive"] for update in do.able(run.id)] == able
    assert not any(update["interactive"] for update in do.able(None))


def test_a_live_run_can_be_stopped_and_killed(do, live):
    assert [update["interactive"] for update in do.able(live.id)] == [True, True, False, False, False]


def test_a_label_is_kept_shown_in_the_list_and_hides_an_archived_run(do, a_run):
    run, other = a_run(created=1), a_run(created=2)
    do.save_label(run.id, " My <b>run</b> ", "#a, b,, a", "note", False, False)
    assert run.label() == Label(name="My <b>run</b>", tags=["a", "b"], note="note")
    assert do.label(run.id) == ("My <b>run</b>", "a, b", "note", False)
    assert ("My <b>run</b> · finished #a #b", run.id) in do.choices()
    shown = do.save_label(run.id, "", "", "", True, False)
    assert shown["value"] == other.id
    assert run.id not in [value for _, value in do.choices()]
    assert run.id in [value for _, value in do.choices(archived=True)]
    with pytest.raises(StudioError, match="Name"):
        do.save_label(run.id, "x" * 200, "", "", False, False)
    assert do.label(None) == ("", "", "", False)


def test_a_run_is_deleted_only_when_it_has_ended_and_its_id_was_typed(do, live, a_run):
    run = a_run()
    with pytest.raises(StudioError, match="type its id"):
        do.delete(run.id, "no", False)
    with pytest.raises(StudioError, match="Stop it before it is deleted"):
        do.delete(live.id, live.id, False)
    do.delete(run.id, f" {run.id} ", False)
    assert [r.id for r in do.runs.runs()] == [live.id]
    assert not list(do.runs.settings.runs_dir.glob(".deleted-*"))


def test_the_newest_run_is_chosen_and_a_choice_stays(do, a_run):
    assert do.listed(None, False)["value"] is None
    old, new = a_run(created=1.0), a_run(created=2.0)
    assert [run_id for _, run_id in do.listed(None, False)["choices"]] == [new.id, old.id]
    assert do.listed(None, False)["value"] == new.id
    assert do.listed(old.id, False)["value"] == old.id


def test_a_run_that_waits_or_goes_on_is_not_resumed(do, live, a_run):
    with pytest.raises(StudioError, match=r"is running\. It goes on"):
        do.resume(live.id, False)
    with pytest.raises(StudioError, match="There is nothing left to do; give it more steps"):
        do.resume(a_run().id, False)
    with pytest.raises(StudioError, match="Rank cannot change while a run goes on"):
        do.resume(a_run().id, True, **QLoRAConfig(lora_rank=5).model_dump())
