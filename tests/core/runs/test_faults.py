"""Faults around a run, with real processes and signals: no step is lost, no state is wrong, nothing starts twice."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from core.runs import checkpoints, process
from core.runs.config import QLoRAConfig
from core.runs.store import RunStore
from core.system.launch import PROJECT
from tests.helpers.tiny_runs import (
    SETTINGS,
    STEPS,
    event_values,
    wait_for_checkpoint,
    wait_for_first_step,
    wait_until_ended,
)

pytestmark = pytest.mark.slow

LONG = SETTINGS | {"max_steps": 2000, "save_steps": 5, "eval_steps": 0, "gradient_accumulation": 1}
SHORT = SETTINGS | {"max_steps": 2, "save_steps": 0}

SERVER = """
import sys
from core.runs import process
from core.runs.store import RunStore
from core.settings import Settings
from tests.helpers.fork_server import launch_by
if sys.argv[1:]:
    launch_by(sys.argv[1])
store = RunStore(Settings())
sys.stdin.readline()
for _ in range(20):
    process.advance(store)
print("done", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def server(store, *address):
    """Start a process that starts queued runs like the app's server, as forks of a fork server if one is given."""
    made = subprocess.Popen(
        [sys.executable, "-c", SERVER, *address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=PROJECT, env=os.environ | {"STUDIO_HOME": str(store.settings.home)}, start_new_session=True,
    )  # fmt: skip
    try:
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(made.pid, signal.SIGKILL)
        made.wait()


def begin(made) -> None:
    made.stdin.write("\n")
    made.stdin.flush()


def test_two_servers_start_each_run_once_in_order(store, fork_server):
    runs = [store.create(QLoRAConfig(**SHORT)) for _ in range(3)]
    with server(store, fork_server.address) as one, server(store, fork_server.address) as other:
        for made in (one, other):
            begin(made)
        for made in (one, other):
            assert made.stdout.readline() == "done\n"
        assert sum(run.saved_state().status != "queued" for run in runs) == 1
        # Each worker starts the next.
        for run in runs:
            assert wait_until_ended(run).status == "finished", run.log_tail()
    for run in runs:
        stages = [event for event in run.events() if event.event == "prepared"]
        assert len(stages) == 1, "it was started once"
        assert [step for step, _ in event_values(run)] == [1, 2]
    begun = [run.events()[0].time for run in runs]
    over = [run.events()[-1].time for run in runs]
    assert all(a <= b for a, b in zip(over, begun[1:], strict=False)), "one after the other"


def test_killed_server_leaves_run_running_and_stop_saves_adapter(store):
    """The worker is started by the real launch: a session of its own keeps it alive."""
    run = store.create(QLoRAConfig(**LONG))
    with server(store) as made:
        begin(made)
        assert made.stdout.readline() == "done\n"
    wait_for_first_step(run)
    seen = len(event_values(run))
    deadline = time.monotonic() + 60
    while len(event_values(run)) <= seen + 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert run.state().status == "running"
    run.request_stop()
    assert wait_until_ended(run).status == "stopped"
    assert len(event_values(run)) < LONG["max_steps"]
    assert "final" in run.adapters()
    assert run.events()[-1].status == "stopped"


def test_killed_worker_is_interrupted_and_next_run_starts(store):
    first, second = (process.submit(store, QLoRAConfig(**values)) for values in (LONG, SHORT))
    wait_for_first_step(first)
    os.kill(first.saved_state().pid, signal.SIGKILL)
    assert wait_until_ended(first).status == "interrupted"
    assert "without reporting a result" in first.state().cause
    assert second.state().status == "queued"
    process.advance(store)
    assert wait_until_ended(second).status == "finished", second.log_tail()


def test_resume_ignores_partial_event_line_and_partial_checkpoint(store):
    run = process.submit(store, QLoRAConfig(**LONG))
    wait_for_checkpoint(run, 5)
    os.kill(run.saved_state().pid, signal.SIGKILL)
    wait_until_ended(run)
    done = checkpoints.complete(run.checkpoints_dir)[-1].step
    half = checkpoints.folder_of(run.checkpoints_dir, 1900)
    shutil.copytree(checkpoints.folder_of(run.checkpoints_dir, done), half)
    (half / "whole.json").unlink()
    (half / "optimizer.pt").write_bytes(b"half")
    with run.events_file.open("ab") as stream:
        stream.write(b'{"event": "step", "step": 19')
    assert f"step {done}" in run.adapters()
    assert "step 1900" not in run.adapters()
    process.resume(store, run, max_steps=done + 2)
    assert wait_until_ended(run).status == "finished", run.log_tail()
    assert [step for step, _ in event_values(run)] == list(range(1, done + 3))
    assert not half.exists()


def test_run_with_missing_model_fails_and_resumes_when_restored(store):
    run = process.submit(store, QLoRAConfig(**LONG))
    wait_for_checkpoint(run, 5)
    run.request_stop()
    assert wait_until_ended(run).status == "stopped"
    folder = store.settings.models_dir / "tiny"
    folder.rename(folder.with_name(".away"))
    process.resume(store, run, max_steps=process.last_step(run) + 8)
    state = wait_until_ended(run)
    assert state.status == "failed"
    assert "no model 'tiny'" in state.cause
    folder.with_name(".away").rename(folder)
    (folder / "model.safetensors").rename(folder / "gone")
    process.resume(store, run)
    state = wait_until_ended(run)
    assert state.status == "failed"
    assert "'tiny' could not be loaded" in state.cause
    (folder / "gone").rename(folder / "model.safetensors")
    process.resume(store, run, max_steps=checkpoints.complete(run.checkpoints_dir)[-1].step + 1)
    assert wait_until_ended(run).status == "finished", run.log_tail()


@pytest.fixture
def small_disk(store):
    """A disk of 400 KB where the checkpoints of one run are to be."""
    run = store.create(QLoRAConfig(**SETTINGS | {"save_steps": 2}))
    run.checkpoints_dir.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(run.checkpoints_dir)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk can be made by root only")
    yield run
    subprocess.run(["umount", "-l", str(run.checkpoints_dir)], check=False)


def test_full_disk_fails_run_with_cause_and_keeps_steps(store, small_disk):
    process.advance(store)
    state = wait_until_ended(small_disk)
    assert state.status == "failed"
    assert "The disk is full" in state.cause
    assert "resume the run" in state.cause
    assert [step for step, _ in event_values(small_disk)] == [1, 2]
    subprocess.run(["umount", str(small_disk.checkpoints_dir)], check=True)
    process.resume(store, small_disk)
    assert wait_until_ended(small_disk).status == "finished", small_disk.log_tail()
    assert [step for step, _ in event_values(small_disk)] == list(range(1, STEPS + 1))


def test_reused_pid_is_never_killed(store):
    run = store.create(QLoRAConfig(**LONG))
    worker, bystander = (subprocess.Popen(["sleep", "600"], start_new_session=True) for _ in range(2))
    run.save_state(run.saved_state().model_copy(update={"status": "running"}).with_process(worker.pid))
    assert run.state().status == "running"
    worker.kill()
    worker.wait()
    run.save_state(run.saved_state().model_copy(update={"pid": bystander.pid}))
    assert run.state().status == "interrupted"
    with pytest.raises(Exception, match="nothing to stop"):
        process.kill(store, run)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_state_read_during_replacement_is_complete(store):
    """Read in a loop what another process writes in a loop."""
    run = store.create(QLoRAConfig(**SHORT))
    writer = f"""
import sys
sys.path.insert(0, {str(PROJECT)!r})
from core.runs.store import Run
from pathlib import Path
run = Run(Path({str(run.folder)!r}))
for place in range(300):
    run.save_state(run.saved_state().model_copy(update={{"queue_position": float(place)}}))
"""
    with subprocess.Popen([sys.executable, "-c", writer]) as child:
        while child.poll() is None:
            assert RunStore(store.settings).run(run.id).saved_state().status == "queued"
    assert child.returncode == 0
