"""Runs on their way: queued, started, stopped, killed, resumed. The worker is a process of its own, in a session of its
own, that outlives the page and its server.

Whoever changes what runs holds one lock for all pages, servers and command lines on a STUDIO_HOME.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from core.access import quotas
from core.access.quotas import Quotas
from core.data import subset
from core.errors import StudioError
from core.models import catalogue
from core.runs import checkpoints, preflight_model
from core.runs.config import TITLES, QLoRAConfig, may_change
from core.runs.launch import launch
from core.runs.store import ACTIVE, RESUMABLE, Run, RunState, RunStore


def submit(store: RunStore, config: QLoRAConfig) -> Run:
    """Make a run directory for `config` and put it behind those that wait; with none before it, it starts at once.

    Raises StudioError when the subset or the model does not exist, or preflight refuses the model or its adapter.
    """
    model = catalogue.find(store.settings, config.model, config.revision)
    catalogue.check_access(model)
    subset.find(store.settings, config.subset)
    preflight_model.require(model, config)
    with store.lock():
        quotas.room_for_run(store.settings, Quotas(), len(store.runs()), len(store.queue()))
        run = store.create(config)
    advance(store)
    return run


def advance(store: RunStore) -> Run | None:
    """Start the run that is next, if none is active; the one that was started."""
    if not store.queue():
        return None
    with store.lock():
        if store.active():
            return None
        for run in store.queue():
            try:
                _launch(store, run)
            except StudioError as error:
                _end(run, "failed", str(error))
            else:
                return run
    return None


def keep_going(
    store: RunStore, every_seconds: float = 2.0, also: Callable[[], None] = lambda: None
) -> threading.Thread:
    """Start waiting runs for as long as this process lives, should a worker have died without starting the next.

    Args:
        also: what else is to be looked after as often.
    """

    def watch() -> None:
        while True:
            try:
                advance(store)
                also()
            except (OSError, StudioError) as error:  # a disk that is full now may not be so in two seconds
                print(f"The runs could not be looked after: {error}", file=sys.stderr)
            time.sleep(every_seconds)

    thread = threading.Thread(target=watch, name="studio-queue", daemon=True)
    thread.start()
    return thread


def end_overdue(store: RunStore, hours: float) -> None:
    """Ask a run to stop, with a checkpoint, that has trained for longer than it may."""
    run = store.active()
    if run is None or (worker := _process(run.saved_state().pid or 0)) is None:
        return
    if time.time() - worker.create_time() > hours * 3600 and not run.stop_request.exists():
        run.request_stop()


def reorder(store: RunStore, run: Run, by: int) -> None:
    """Move a waiting run `by` places back in the queue (forward, when negative)."""
    with store.lock():
        queue = store.queue()
        ids = [queued.id for queued in queue]
        if run.id not in ids:
            raise StudioError(f"The run {run.id} is {run.state().status}, not queued: it has no place to change.")
        at = ids.index(run.id)
        queue.insert(min(max(0, at + by), len(queue) - 1), queue.pop(at))
        for place, queued in enumerate(queue, 1):
            queued.save_state(queued.saved_state().model_copy(update={"place": float(place)}))


def cancel(store: RunStore, run: Run) -> None:
    """Take a waiting run out of the queue."""
    with store.lock():
        if run.saved_state().status != "queued":
            raise StudioError(f"The run {run.id} is {run.state().status}, not queued. Stop it instead.")
        _end(run, "stopped", "Taken out of the queue.")


def kill(store: RunStore, run: Run) -> None:
    """End a run's worker now, with all that it started; what it did since its last checkpoint is lost."""
    with store.lock():
        state = run.state()
        if state.status not in ACTIVE or state.pid is None:
            raise StudioError(f"The run {run.id} is {state.status}: there is nothing to kill.")
        with contextlib.suppress(ProcessLookupError):  # it may have ended between the look and the blow
            os.killpg(state.pid, signal.SIGKILL)
        psutil.wait_procs([p for p in [_process(state.pid)] if p], timeout=30)
        if run.saved_state().status in ACTIVE:
            _end(run, "stopped", "Killed on request, without a last checkpoint.")
    advance(store)


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def resume(store: RunStore, run: Run, **changes: Any) -> dict[str, tuple[Any, Any]]:
    """Let an ended run go on from its last whole checkpoint, or from its beginning when it has none.

    Args:
        changes: settings with new values.

    Returns the settings that changed, with their old and new values. Raises StudioError when the run has not ended or
    was finished, or names the settings that cannot change.
    """
    with store.lock():
        state, config = run.state(), run.config()
        changed = {name: value for name, value in changes.items() if getattr(config, name) != value}
        if fixed := [TITLES[name] for name in changed if not may_change(name)]:
            raise StudioError(
                f"{', '.join(fixed)} cannot change while a run goes on: it would be another run. Start a new one."
            )
        fresh = QLoRAConfig.model_validate(config.model_dump() | changed)
        _check_length(fresh, changed, last_step(run))
        longer = (fresh.max_steps, fresh.epochs) != (config.max_steps, config.epochs)
        if state.status not in RESUMABLE or (state.status == "finished" and not longer):
            why = "There is nothing left to do; give it more steps" if state.status == "finished" else "It goes on"
            raise StudioError(f"The run {run.id} is {state.status}. {why}.")
        run.stop_request.unlink(missing_ok=True)
        if changed:
            run.save_config(fresh)
        # The worker writes the old values into the "resumed" event. If it never came that far, the oldest ones count.
        previous = {name: getattr(config, name) for name in changed} | state.previous
        update = {"status": "queued", "cause": "", "ended": None, "pid": None, "process": None, "resumes": True,
                  "previous": previous}  # fmt: skip
        run.save_state(state.model_copy(update=update))
    advance(store)
    return {name: (getattr(config, name), value) for name, value in changed.items()}


def _check_length(fresh: QLoRAConfig, changed: dict[str, Any], done: int) -> None:
    """Refuse a length that would not be read, or that is behind the run already.

    Args:
        fresh: The settings after the resume.
        changed: The settings that the resume changes.
        done: The step that the run goes on from.
    """
    if "epochs" in changed and fresh.max_steps:
        raise StudioError(
            f"Epochs {fresh.epochs:g} would not be read, because Steps is {fresh.max_steps}. Set Steps to 0, or change "
            "Steps alone."
        )
    if "max_steps" in changed and 0 < fresh.max_steps < done:
        raise StudioError(f"Steps {fresh.max_steps} is less than the {done} that are done. Set Steps above {done}.")


def last_step(run: Run) -> int:
    """The step that a resumed run goes on from."""
    there = checkpoints.whole(run.checkpoints_dir)
    return there[-1].step if there else 0


def _end(run: Run, status: str, cause: str) -> None:
    update = {"status": status, "cause": cause, "ended": time.time()}
    run.save_state(RunState.model_validate(run.saved_state().model_dump() | update))


def _launch(store: RunStore, run: Run) -> None:
    config = run.config()
    model = catalogue.find(store.settings, config.model, config.revision)
    pid = launch(store.settings, "core.train", run.folder, run.log, offline=model.local)
    # The worker waits for the lock that we hold before it writes its own first state.
    run.save_state(run.saved_state().model_copy(update={"status": "preparing"}).with_process(pid))
