"""Queue and workers of runs: submit, start, stop, kill and resume.

One run trains at a time. Its worker is a process in its own session, which outlives the page and the server, and starts
the next run when it ends. Every change of the queue, every start and every kill happens under one lock per STUDIO_HOME
(`RunStore.lock`), which all pages, servers and command lines share. A worker that trains writes its state without it,
and a stop of its run is only a request.
"""

import contextlib
import math
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
from core.errors import StudioError
from core.models import catalogue
from core.runs import checkpoints, checks
from core.runs.config import TITLES, QLoRAConfig, may_change
from core.runs.events import PreparedEvent, RunEvent, StepEvent
from core.runs.findings import require_accepted
from core.runs.store import ACTIVE, RESUMABLE, Parent, Run, RunState, RunStore
from core.system.jobs import ignore_stage
from core.system.launch import launch


def submit(
    store: RunStore,
    config: QLoRAConfig,
    accept_warnings: bool = True,
    on_stage: Callable[[str], None] = ignore_stage,
    parent: Parent | None = None,
) -> Run:
    """Check a run, create it and add it to the queue; it starts at once if no other run is active or queued.

    Args:
        store: The runs.
        config: The run's settings.
        accept_warnings: Whether it starts in spite of warnings, which are then stored with it (`RunState.warnings`).
        on_stage: Called with a description of each stage.
        parent: The run that it was duplicated from.

    Raises:
        FindingsError: The preflight checks find a problem, or a warning that is not accepted.
        StudioError: A quota would be exceeded.
    """

    def check_quota() -> None:
        quotas.check_run_quota(store.settings, Quotas(), len(store.runs()), len(store.queue()))

    # Checked before the work of the other checks, and again under the lock, under which it stays true.
    check_quota()
    warnings = require_accepted(checks.check(store.settings, config, on_stage), accept_warnings)
    on_stage("Adding the run to the queue")
    with store.lock():
        check_quota()
        run = store.create(config, warnings, parent)
    advance(store)
    return run


def advance(store: RunStore) -> Run | None:
    """Start the next queued run if none is active, and return the run that was started."""
    # Checked without the lock first, because this is called every two seconds.
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


def start_queue_watcher(
    store: RunStore, every_seconds: float = 2.0, also: Callable[[], None] = lambda: None
) -> threading.Thread:
    """Start a thread that starts queued runs, in case a worker crashed before it started the next run.

    Args:
        store: The runs.
        every_seconds: Time between two checks.
        also: Called after each check.
    """

    def watch() -> None:
        while True:
            try:
                advance(store)
                also()
            except (OSError, StudioError) as error:
                # Some errors pass, such as a full disk, so the thread continues.
                print(f"The queue of runs could not be checked: {error}", file=sys.stderr)
            time.sleep(every_seconds)

    thread = threading.Thread(target=watch, name="studio-queue", daemon=True)
    thread.start()
    return thread


def stop_overdue(store: RunStore, hours: float) -> None:
    """Ask the active run to stop if its worker started more than `hours` ago."""
    run = store.active()
    if run is None or (worker := _process(run.saved_state().pid or 0)) is None:
        return
    if time.time() - worker.create_time() > hours * 3600 and not run.stop_request.exists():
        run.request_stop()


def reorder(store: RunStore, run: Run, by: int) -> None:
    """Move a queued run back by a number of positions in the queue, or forward if the number is negative."""
    with store.lock():
        queue = store.queue()
        ids = [queued.id for queued in queue]
        if run.id not in ids:
            raise StudioError(
                f"The run {run.id} is {run.state().status}, not queued, so it has no position in the queue."
            )
        at = ids.index(run.id)
        queue.insert(min(max(0, at + by), len(queue) - 1), queue.pop(at))
        for position, queued in enumerate(queue, 1):
            queued.save_state(queued.saved_state().model_copy(update={"queue_position": float(position)}))


def stop(store: RunStore, run: Run) -> bool:
    """Stop a run after its current step, with a checkpoint, or remove a queued run from the queue.

    Returns:
        Whether the run was active; a run that was queued will not start.

    Raises:
        StudioError: The run has ended.
    """
    # Under the lock, no worker starts the run between the check and the end.
    with store.lock():
        if run.saved_state().status == "queued":
            _end(run, "stopped", "Removed from the queue.")
            return False
    run.request_stop()
    return True


def kill(store: RunStore, run: Run) -> None:
    """Kill a run's worker and its children; the work since the last checkpoint is lost."""
    with store.lock():
        state = run.state()
        if state.status not in ACTIVE or state.pid is None:
            raise StudioError(f"{run.title} is {state.status}, so there is nothing to stop.")
        # The process may exit between the check and the kill.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(state.pid, signal.SIGKILL)
        psutil.wait_procs([p for p in [_process(state.pid)] if p], timeout=30)
        if run.saved_state().status in ACTIVE:
            step = last_step(run)
            rest = f"Resume continues from step {step:,}" if step else "there is no checkpoint, so Resume starts again"
            _end(run, "stopped", f"Stopped at once on request, without saving; {rest}.")
    advance(store)


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def resume(store: RunStore, run: Run, **changes: Any) -> dict[str, tuple[Any, Any]]:
    """Queue an ended run again; it continues from its last complete checkpoint, or starts over if it has none.

    Args:
        store: The runs.
        run: The run.
        changes: New values of settings.

    Returns:
        The settings that changed, each with its old and new value.

    Raises:
        StudioError: The run has not ended, has nothing left to do, or a setting cannot change.
    """
    with store.lock():
        state, config = run.state(), run.config()
        changed = {name: value for name, value in changes.items() if getattr(config, name) != value}
        if fixed := [TITLES[name] for name in changed if not may_change(name)]:
            raise StudioError(f"{', '.join(fixed)} cannot change when a run is resumed. Start a new run.")
        fresh = QLoRAConfig.model_validate(config.model_dump() | changed)
        events = run.events()
        total = _total_steps(events, fresh)
        _check_length(fresh, changed, last_step(run), total)
        trained = max((event.step for event in events if isinstance(event, StepEvent)), default=0)
        # A finished run that ended before its last step (early stopping) is continued by any change, not only of Steps.
        if state.status not in RESUMABLE or (state.status == "finished" and not (changed and total > trained)):
            is_done = state.status == "finished"
            why = "There is nothing left to do; give it more steps." if is_done else "It has not ended."
            raise StudioError(f"The run {run.id} is {state.status}. {why}")
        _check_checkpoints(run)
        run.stop_request.unlink(missing_ok=True)
        if changed:
            run.save_config(fresh)
        # Old values that no "resumed" event has reported yet are in the state; they take precedence over newer ones.
        previous = {name: getattr(config, name) for name in changed} | state.previous
        update = {"status": "queued", "cause": "", "ended": None, "pid": None, "process": None, "resumes": True,
                  "previous": previous}  # fmt: skip
        run.save_state(state.model_copy(update=update))
    advance(store)
    return {name: (getattr(config, name), value) for name, value in changed.items()}


def _check_checkpoints(run: Run) -> None:
    """Refuse a run whose checkpoints the worker could not continue from."""
    if not checkpoints.can_resume(run.checkpoints_dir):
        raise StudioError(
            f"The checkpoints of {run.title} hold only its adapter, without the optimizer's state, so it cannot be "
            "resumed. Start a new run with its settings."
        )


def _total_steps(events: list[RunEvent], config: QLoRAConfig) -> float:
    """Return the last step of a run with new settings; infinite if its rows were never counted."""
    rows = next((event.rows for event in reversed(events) if isinstance(event, PreparedEvent)), 0)
    return config.count_steps(rows) if rows or config.max_steps else math.inf


def _check_length(fresh: QLoRAConfig, changed: dict[str, Any], done: int, total: float) -> None:
    """Refuse a number of epochs that would be ignored, and a length that the run has passed already.

    Args:
        fresh: The settings after the resume.
        changed: The settings that the resume changes.
        done: The step that the run continues from.
        total: The last step with these settings.
    """
    if "epochs" in changed and fresh.max_steps:
        raise StudioError(
            f"Epochs {fresh.epochs:g} would be ignored, because Steps is {fresh.max_steps}. Set Steps to 0, or change "
            "Steps alone."
        )
    if changed.keys() & {"epochs", "max_steps"} and total < done:
        length = f"Steps {total} is" if fresh.max_steps else f"Epochs {fresh.epochs:g} are {total} steps, which is"
        more = "" if fresh.max_steps else ", or raise Epochs"
        raise StudioError(f"{length} less than the {done} that are done. Set Steps above {done}{more}.")


def last_step(run: Run) -> int:
    """Return the step that a resumed run continues from."""
    there = checkpoints.complete(run.checkpoints_dir)
    return there[-1].step if there else 0


def _end(run: Run, status: str, cause: str) -> None:
    update = {"status": status, "cause": cause, "ended": time.time()}
    run.save_state(RunState.model_validate(run.saved_state().model_dump() | update))


def _launch(store: RunStore, run: Run) -> None:
    config = run.config()
    model = catalogue.find(store.settings, config.model, config.revision)
    pid = launch(store.settings, "core.train", run.folder, run.log, offline=model.local)
    # The worker waits for the lock, which this process holds, before it writes its own first state.
    run.save_state(run.saved_state().model_copy(update={"status": "preparing"}).with_process(pid))
