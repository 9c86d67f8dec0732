"""A process that has imported the training libraries and forks workers.

A worker needs about eight CPU seconds to import torch, transformers, peft and trl. A fork of this process needs none of
them. Tests that are not about how a process starts put `ForkServer.launch` in the place of `core.runs.launch.launch`.
The forked worker is the leader of a session of its own, with its own log, like the real one.

Protocol: one JSON object per line on standard input (module, folder, log, environment), one process id per line on
standard output. The server ends when its standard input does.
"""

import contextlib
import gc
import json
import os
import runpy
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

PROJECT = Path(__file__).resolve().parents[2]
# Everything that a worker imports for a Llama, so that a fork finds it there.
_PRELOADED = ("core.train.trainer", "core.train.callback", "core.train.worker", "core.evaluate.worker",
              "transformers.models.llama.modeling_llama", "peft", "trl")  # fmt: skip


class ForkServer:
    """The server and the pipe to it. It starts at the first launch."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None

    def launch(self, settings, module: str, folder: Path, log: Path, offline: bool) -> int:
        """Start `python -m MODULE FOLDER` as a fork; its process id. Same arguments as `core.runs.launch.launch`."""
        # The Hub's client reads HF_HUB_OFFLINE when it is imported, and here it was imported with 1.
        assert offline, "a fork is always offline; use the real launch for a model of the Hub"
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.helpers.fork_server"], cwd=PROJECT, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"HF_HUB_OFFLINE": "1"},
            )  # fmt: skip
        environment = os.environ | {"STUDIO_HOME": str(settings.home.resolve()), "HF_HUB_OFFLINE": "1"}
        environment |= {"STUDIO_MODELS": str(settings.models_dir.resolve()), "PYTHONPATH": str(PROJECT)}
        request = {"module": module, "folder": str(folder.resolve()), "log": str(log), "environment": environment}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the server; workers that still run are killed."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait(timeout=30)
            self._process.stdout.close()


def _work(request: dict) -> NoReturn:
    """Become the worker: its own session, log and environment, then the module's `__main__`."""
    os.setsid()
    null, log = os.open(os.devnull, os.O_RDONLY), os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.closerange(3, 256)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [request["module"], request["folder"]]
    code = 1
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not through the exit handlers, which belong to the server.
        os._exit(code)


def main() -> None:
    """Serve until standard input ends."""
    from importlib import import_module

    from core.system.fast_imports import uncollected, uncompiled

    uncompiled()
    with uncollected():
        for name in _PRELOADED:
            import_module(name)
    gc.freeze()
    children: set[int] = set()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(reading, selectors.EVENT_READ)
    buffer = b""
    while True:
        ready = {key.fd for key, _ in selector.select()}
        if reading in ready:
            os.read(reading, 4096)
            _reap(children)
        if 0 in ready:
            chunk = os.read(0, 1 << 20)
            if not chunk:
                break
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    _work(json.loads(line))
                children.add(pid)
                print(pid, flush=True)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _reap(children: set[int]) -> None:
    """Wait for the workers that ended: their CPU seconds count for the tests, and no zombie is left."""
    with contextlib.suppress(ChildProcessError):
        while children and (pid := os.waitpid(-1, os.WNOHANG)[0]):
            children.discard(pid)


if __name__ == "__main__":
    main()
