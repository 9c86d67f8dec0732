"""Starting a run's worker: a process of its own, in a session of its own, that outlives the page and its server."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
from filelock import FileLock

from core.errors import StudioError
from core.models import catalogue
from core.runs.config import QLoRAConfig
from core.runs.store import Run, RunStore

PROJECT = Path(__file__).resolve().parents[2]


def lock(store: RunStore) -> FileLock:
    """Held while a run is started, by whichever page, server or command line starts it."""
    return FileLock(store.settings.runs_dir / ".lock")


def start(store: RunStore, config: QLoRAConfig) -> Run:
    """Make a run directory for `config` and start its worker.

    Raises StudioError when a run is active already, or when the subset or the model does not exist.
    """
    catalogue.check_access(catalogue.find(store.settings, config.model))
    with lock(store):
        if active := store.active():
            raise StudioError(
                f"The run {active.id} is {active.state().status}. One run trains at a time: stop it or wait for its "
                "end, then start again."
            )
        run = store.create(config)
        _launch(store, run, config)
    return run


def _launch(store: RunStore, run: Run, config: QLoRAConfig) -> None:
    environment = os.environ | {"STUDIO_HOME": str(store.settings.home.resolve())}
    environment["STUDIO_MODELS"] = str(store.settings.models_dir.resolve())
    environment["PYTHONPATH"] = os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
    if catalogue.find(store.settings, config.model).local:
        environment["HF_HUB_OFFLINE"] = "1"  # a local model must not wait for a hub that may be out of reach
    with run.log.open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "core.train", str(run.folder.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            close_fds=True,
        )
    # The worker waits for the lock that we hold before it writes its own first state.
    run.save_state(run.saved_state().with_process(psutil.Process(worker.pid)))
