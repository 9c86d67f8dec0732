"""Start, stop, resume, label and delete of runs."""

import gradio as gr
import psutil
import pytest

from core.errors import StudioError
from core.evaluate.config import EvaluationConfig
from core.evaluate.store import EvaluationStore
from core.runs import checkpoints
from core.runs.config import QLoRAConfig
from core.runs.store import Label
from studio.train.controls import RunControls
from tests.helpers.run_events import EVENTS, write


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


def shown_buttons(do, run_id, with_form=False):
    return {name for name, update in do.update_buttons(run_id, with_form).items() if update.get("visible")}


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("queued", {"stop", "earlier", "later"}),
        ("stopped", {"resume", "with_form"}),
        ("finished", {"with_form"}),
        ("interrupted", {"resume", "with_form"}),
        ("unreadable", set()),
    ],
)
def test_update_buttons_shows_what_applies_to_the_status(do, a_run, status, shown):
    run = a_run(status=status)
    always = {"rename", "more"} | ({"duplicate"} if status != "unreadable" else set())
    assert shown_buttons(do, run.id) == shown | always
    assert shown_buttons(do, None) == set()


def test_update_buttons_a_finished_run_resumes_with_the_form_only(do, a_run):
    run = a_run(EVENTS)
    assert "resume" in shown_buttons(do, run.id, with_form=True)
    updates = do.update_buttons(run.id)
    assert updates["resume"]["value"] == "Train further", "there is nothing to resume"
    assert "more steps" in updates["with_form"]["label"]


def test_update_buttons_live_run_is_force_stopped_only_after_stop(do, live):
    assert shown_buttons(do, live.id) == {"stop", "rename", "duplicate", "more"}
    do.stop(live.id)
    assert shown_buttons(do, live.id) == {"ask_kill", "rename", "duplicate", "more"}


def test_force_stop_asks_first_and_names_what_is_lost(do, live, runs, toasts):
    do.stop(live.id)
    asked = do.ask_kill(live.id)
    assert asked["kill_row"]["visible"]
    assert "No step is done yet" in asked["kill_text"]
    step = {"event": "step", "loss": 1.0, "learning_rate": 1e-3, "tokens": 9, "seconds": 1.0}
    write(live, [step | {"step": 4}])
    assert "no checkpoint yet: all progress is lost" in do.ask_kill(live.id)["kill_text"]
    checkpoints.mark_complete(live.checkpoints_dir, checkpoints.Checkpoint(step=4))
    assert "Nothing is lost: step 4" in do.ask_kill(live.id)["kill_text"]
    write(live, [step | {"step": 5}])
    assert "since step 4 is lost" in do.ask_kill(live.id)["kill_text"]
    assert do.update_buttons(live.id)["kill_row"] == gr.update(), "a poll leaves the question open"
    assert not do.keep_waiting()["kill_row"]["visible"]
    live.save_state(live.saved_state().model_copy(update={"status": "stopped"}))
    assert not do.update_buttons(live.id)["kill_row"]["visible"]


def test_next_steps_are_offered_for_a_run_that_was_stopped_with_an_adapter(do, a_run):
    run = a_run([{"event": "done"}], status="stopped")
    assert not {"chat", "evaluate", "export"} & shown_buttons(do, run.id)
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    assert {"chat", "evaluate", "export", "resume"} <= shown_buttons(do, run.id)
    assert do.update_buttons(run.id)["resume"]["value"] == "Resume"
    # A run that never left the queue has no events, and the example cannot be resumed.
    assert do.update_buttons(a_run(status="stopped").id)["resume"]["value"] == "Start"
    checkpoints.mark_complete(run.checkpoints_dir, checkpoints.Checkpoint(step=4))
    assert not {"resume", "with_form"} & shown_buttons(do, run.id)


def test_save_name_keeps_tags_and_note_and_hides_the_field(do, a_run):
    run = a_run()
    run.save_label(Label(name="old", tags=["a"], note="why"))
    shown = do.open_rename(run.id)
    assert (shown["rename_row"]["visible"], shown["name"]) == (True, "old")
    assert do.close_rename(run.id)["name"] == "old"
    shown = do.save_name(run.id, " new ", False)
    assert run.label() == Label(name="new", tags=["a"], note="why")
    assert not shown["rename_row"]["visible"]
    assert shown["run"]["choices"][0][0].startswith("new")
    with pytest.raises(StudioError, match="Name"):
        do.save_name(run.id, "x" * 200, False)


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


def test_delete_is_refused_while_an_evaluation_needs_the_run(do, a_run):
    run, other = a_run(), a_run()
    store = EvaluationStore(do.runs.settings)
    file = do.runs.settings.home / "p.txt"
    file.write_text("What is a tide?\n")
    evaluation = store.create(EvaluationConfig(file="p.txt", lanes=["base", f"{run.id}/step 2"]), file)
    state = evaluation.saved_state()
    running = state.model_copy(update={"status": "running"})
    evaluation.save_state(running.with_process(psutil.Process().pid))
    with pytest.raises(StudioError, match=f"The evaluation {evaluation.id} needs the run {run.id}"):
        do.delete(run.id, run.id, False)
    do.delete(other.id, other.id, False)
    evaluation.save_state(state)
    do.delete(run.id, run.id, False)


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
