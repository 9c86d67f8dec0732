"""Starts a worker that outlives whoever started it: a process in a session of its own, its output in a file."""

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
    """`python -m MODULE FOLDER`; its process id.

    Args:
        offline: whether the Hub is not to be asked: a local model must not wait for one that is out of reach.
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
            start_new_session=True,
            close_fds=True,
        )
    return worker.pid
