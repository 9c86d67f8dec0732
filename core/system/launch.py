"""Start of a worker process that outlives the server: it has its own session, and writes its output to a file."""

import os
import subprocess
import sys
from pathlib import Path

from core.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]


def python_path() -> str:
    """Return the PYTHONPATH of a child process: the project, then what this process was started with."""
    return os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])


def launch(settings: Settings, module: str, folder: Path, log: Path, offline: bool) -> int:
    """Start `python -m MODULE FOLDER` and return its process id.

    Args:
        settings: The settings, which the worker gets through its environment.
        module: Name of the worker's module.
        folder: The run or evaluation folder.
        log: File that the worker's output is appended to.
        offline: Whether to keep the worker from asking the Hub, so that a local model does not wait for a network that
            is down.
    """
    environment = os.environ | {"STUDIO_HOME": str(settings.home.resolve())}
    environment["STUDIO_MODELS"] = str(settings.models_dir.resolve())
    environment["PYTHONPATH"] = python_path()
    if offline:
        environment["HF_HUB_OFFLINE"] = "1"
    with log.open("ab") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", module, str(folder.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            # Without a session of its own, the worker would end with the server's terminal.
            start_new_session=True,
            close_fds=True,
        )
    return worker.pid
