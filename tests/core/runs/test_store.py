"""Run states from real files and real processes."""

import subprocess
import sys
import time

import psutil
import pytest

from core.data import subset
from core.errors import StudioError
from core.models import embedded
from core.runs import checkpoints
from core.runs.config import QLoRAConfig
from core.runs.store import Label, RunState, RunStore
from tests.helpers.datasets import copy_bundled


@pytest.fixture
def store(settings):
    copy_bundled(settings)
    # A config.json is enough for the catalogue to list a local model, and nothing is loaded here.
    model = embedded.folder(settings)
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    return RunStore(settings)


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def active(store, process=None, status="running"):
    run = store.create(QLoRAConfig())
    state = RunState(status=status, created=time.time())
    run.save_state(state.with_process(process.pid) if process else state)
    return run


def test_new_run_stores_its_config_and_subset(store):
    run = store.create(QLoRAConfig(lora_rank=3))
    assert run.config() == QLoRAConfig(lora_rank=3)
    assert run.subset() == subset.find(store.settings, "keeper")
    assert store.run(run.id).id == run.id


def test_state_with_live_process_is_running(store, sleeper):
    run = active(store, sleeper)
    assert run.state().status == "running"
    assert store.active().id == run.id


def test_state_with_dead_process_is_interrupted_with_cause(store, sleeper):
    run = active(store, sleeper)
    sleeper.kill()
    sleeper.wait()
    assert run.state().status == "interrupted"
    assert "without reporting a result" in run.state().cause
    assert store.active() is None


def test_state_with_reused_pid_is_interrupted(store, sleeper):
    run = active(store, sleeper)
    state = run.saved_state()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run.save_state(state.model_copy(update={"pid": other.pid}))
    assert run.state().status == "interrupted"
    other.kill()
    other.wait()


def test_state_with_zombie_process_is_interrupted(store):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    process = psutil.Process(child.pid)
    run = active(store, process)
    psutil.wait_procs([], timeout=0)
    deadline = time.monotonic() + 20
    # A process that ended is a zombie until its exit code is read.
    while process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
    assert run.state().status == "interrupted"
    child.wait()


def test_stop_request_shows_as_stopping(store, sleeper):
    run = active(store, sleeper)
    run.request_stop()
    assert run.state().status == "stopping"


def test_request_stop_of_ended_run_is_rejected(store):
    run = active(store, status="finished")
    with pytest.raises(StudioError, match="is finished: there is nothing to stop"):
        run.request_stop()


@pytest.mark.parametrize("name", ["../runs", "/etc", "", ".", "a/b", "a\0b", "-x", "no-such-run"])
def test_run_id_that_is_no_plain_name_is_rejected(store, name):
    with pytest.raises(StudioError, match=r"There is no run|cannot be used as a"):
        store.run(name)


def test_config_of_unknown_version_is_rejected_with_reason(store):
    run = store.create(QLoRAConfig())
    (run.folder / "config.json").write_text('{"schema_version": 99}')
    with pytest.raises(StudioError, match="version 99"):
        run.config()


def test_create_with_unknown_subset_or_model_leaves_no_folder(store):
    for config in (QLoRAConfig(subset="none-such"), QLoRAConfig(model="none-such")):
        with pytest.raises(StudioError, match="none-such"):
            store.create(config)
    assert store.runs() == []


def test_adapters_lists_final_first_and_complete_ones_only(store):
    run = store.create(QLoRAConfig())
    for step in (5, 10, 100):
        folder = run.checkpoints_dir / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text("{}")
        if step != 10:
            checkpoints.mark_complete(run.checkpoints_dir, checkpoints.Checkpoint(step=step))
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    assert list(run.adapters()) == ["final", "step 100", "step 5"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"status": "flying"}', "\xff"])
def test_damaged_state_is_reported_and_hides_no_other_run(store, text):
    fine, damaged = active(store, status="finished"), active(store, status="finished")
    (damaged.folder / "state.json").write_text(text, encoding="latin-1")
    assert {run.id for run in store.runs()} == {fine.id, damaged.id}
    assert damaged.state().status == "unreadable"
    assert "state.json of this run cannot be read" in damaged.problem()
    assert fine.problem() is None
    assert store.active() is None
    assert [line.split()[0] for line in store.fingerprint().splitlines()] == sorted([fine.id, damaged.id])


def test_damaged_config_and_subset_are_reported(store):
    run = active(store, status="finished")
    (run.folder / "subset.json").write_text("{")
    assert run.subset() is None
    (run.folder / "config.json").write_text("{")
    assert "no readable config.json" in run.problem()


def test_queue_is_sorted_by_queue_position(store):
    runs = [store.create(QLoRAConfig()) for _ in range(3)]
    assert [run.id for run in store.queue()] == [run.id for run in runs]
    first = runs[0].saved_state()
    runs[0].save_state(first.model_copy(update={"queue_position": 99.0}))
    assert [run.id for run in store.queue()] == [runs[1].id, runs[2].id, runs[0].id]
    runs[1].save_state(first.model_copy(update={"status": "stopped"}))
    assert [run.id for run in store.queue()] == [runs[2].id, runs[0].id]


def test_run_with_a_file_that_cannot_be_deleted_is_reported(store, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    run = store.create(QLoRAConfig())
    run.save_state(run.saved_state().model_copy(update={"status": "stopped"}))
    monkeypatch.setattr("core.system.work_folder.shutil.rmtree", refuse)
    with store.lock(), pytest.raises(StudioError, match=r"could be deleted \(Permission denied\)\. Delete the folder"):
        store.remove(run)
    assert store.runs() == []


def test_label_is_stored_and_damaged_label_is_empty(store):
    run = store.create(QLoRAConfig())
    assert run.title == "Defaults · keeper"
    run.save_label(Label(name="First try", tags=["a"], note="x"))
    assert run.title == "First try"
    (run.folder / "label.json").write_text("{")
    assert run.label() == Label()


def test_run_of_version_1_is_read(store):
    run = store.create(QLoRAConfig())
    (run.folder / "config.json").write_text('{"schema_version": 1, "lora_rank": 3}')
    assert run.config() == QLoRAConfig(lora_rank=3)
