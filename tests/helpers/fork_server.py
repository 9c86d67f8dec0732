"""A process that has imported what its forks need: the training libraries for workers, Gradio for servers of the app.

A worker needs about eight CPU seconds to import torch, transformers, peft and trl; a fork of this process needs none of
them. Tests that are not about how a process starts put `ForkServer.launch` in the place of `core.system.launch.launch`.
A forked worker leads a session of its own and writes its own log, like the real one, and the workers that it starts are
forks, too. `ForkServer.run` forks a command instead, and returns its output; `ForkServer.start` forks a server.

Protocol: one connection to a Unix socket per process. The request is one line of JSON (module, arguments, environment,
files for its output); the answers are the process id and, once the process has ended, its exit code. The server ends
when its standard input does, that is with the process that started it.
"""

import contextlib
import functools
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NoReturn, TextIO

PROJECT = Path(__file__).resolve().parents[2]
# Everything that a worker imports for a Llama, so that a fork finds it there.
TRAINING = ("core.train.trainer", "core.train.callback", "core.train.worker", "core.evaluate.worker",
            "transformers.models.llama.modeling_llama", "peft", "trl", "matplotlib.figure",
            "matplotlib.backends.backend_agg")  # fmt: skip
# Variable for the address of the fork server by which a fork starts its workers; without it, `core.system.launch` does.
ADDRESS = "STUDIO_TEST_FORK_SERVER"
# Variable of a worker: whether it may not ask the Hub, "1" or "0".
OFFLINE = "STUDIO_TEST_OFFLINE"
# The modules that start workers.
_LAUNCHING = ("core.runs.process", "core.evaluate.process")


class ForkServer:
    """The server and its socket. It starts at the first use.

    Attributes:
        environment: Environment of the server, which its imports read.
    """

    def __init__(self, modules: tuple[str, ...] = TRAINING, environment: dict[str, str] | None = None) -> None:
        """Note what to start.

        Args:
            modules: Names of the modules to import before the first fork.
            environment: Environment of the server; that of this process, offline, when None.
        """
        self.environment = os.environ | {"HF_HUB_OFFLINE": "1"} if environment is None else environment
        self._modules = modules
        self._folder = tempfile.TemporaryDirectory(prefix="fork-server-")
        self._process: subprocess.Popen | None = None

    @property
    def address(self) -> str:
        """Path of the socket of the running server."""
        path = f"{self._folder.name}/socket"
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.helpers.fork_server", path, *self._modules], cwd=PROJECT, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment,
            )  # fmt: skip
            assert self._process.stdout.readline() == "ready\n"
        return path

    def launch(self, settings, module: str, folder: Path, log: Path, offline: bool) -> int:
        """Start `python -m MODULE FOLDER` as a fork and return its process id; see `core.system.launch.launch`."""
        return launch(self.address, settings, module, folder, log, offline)

    def run(self, module: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Run `python -m MODULE ARGUMENTS` as a fork, with more variables, and return its exit code and output."""
        return run(self.address, module, [*arguments], self.environment | environment)

    def start(self, module: str, *arguments: str, log: Path, environment: dict[str, str]) -> "ForkedProcess":
        """Start `python -m MODULE ARGUMENTS` as a fork with a log and more variables, and return it."""
        variables = self.environment | environment
        return ForkedProcess(_request(self.address, module, [*arguments], variables, str(log), str(log)))

    def close(self) -> None:
        """End the server; processes that still run are killed."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait(timeout=30)
            self._process.stdout.close()
        self._folder.cleanup()


class ForkedProcess:
    """A fork of the server with the methods of `subprocess.Popen` that tests use.

    Attributes:
        pid: Its process id.
        returncode: Its exit code; None while it runs.
    """

    def __init__(self, answers: TextIO) -> None:
        """Read the process id from the stream of the server's answers, which will hold the exit code."""
        self._answers = answers
        self.pid = int(answers.readline())
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, or raise `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a forked process", timeout)
            self.returncode = int(self._answers.readline())
            self._answers.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit code; None while the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(timeout=0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless the process has ended."""
        self.send_signal(signal.SIGKILL)


def run(address: str, module: str, arguments: list[str], environment: dict) -> tuple[int, str, str]:
    """Run a command as a fork of the server at an address, and return its exit code and output."""
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{name}" for name in ("out", "err")]
        with _request(address, module, arguments, environment, *files) as answers:
            answers.readline()
            code = int(answers.readline())
        return code, *(Path(file).read_text() for file in files)


def launch(address: str, settings, module: str, folder: Path, log: Path, offline: bool) -> int:
    """Start a worker as a fork of the server at an address; see `core.system.launch.launch`."""
    environment = os.environ | {"STUDIO_HOME": str(settings.home.resolve()), OFFLINE: str(int(offline))}
    environment |= {"STUDIO_MODELS": str(settings.models_dir.resolve()), "PYTHONPATH": str(PROJECT)}
    with _request(address, module, [str(folder.resolve())], environment, str(log), str(log)) as answers:
        return int(answers.readline())


def launch_by(address: str) -> None:
    """Make this process start its workers, and examine models, as forks of the server at an address."""
    from core.runs import preflight_model
    from tests.helpers.preflight import as_request, checked

    def launch_there(*arguments, **options) -> int:
        return launch(address, *arguments, **options)

    @functools.lru_cache
    def examine_there(*request) -> dict:
        _, out, _ = run(address, "tests.helpers.preflight", [json.dumps(as_request(*request))], dict(os.environ))
        return checked(json.loads(out.splitlines()[-1]))

    for name in _LAUNCHING:
        import_module(name).launch = launch_there
    preflight_model._report = examine_there


def _request(address: str, module: str, arguments: list[str], environment: dict, out: str, err: str):
    """Send a request, and return the stream of the answers."""
    request = {"module": module, "arguments": arguments, "environment": dict(environment), "out": out, "err": err}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        connection.sendall(json.dumps(request).encode() + b"\n")
        # The stream keeps the connection open.
        return connection.makefile("r")


def _become(request: dict) -> NoReturn:
    """Become the requested process: its own session, output and environment, then the module's `__main__`."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    out, err = (os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for name in ("out", "err"))
    for source, target in ((null, 0), (out, 1), (err, 2)):
        os.dup2(source, target)
    os.closerange(3, 256)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    is_offline = os.environ.get("HF_HUB_OFFLINE", "0")
    own_address = os.environ.get(ADDRESS)
    os.environ.clear()
    os.environ.update(request["environment"])

    def prepare() -> None:
        if address := os.environ.get(ADDRESS) or own_address:
            launch_by(address)
        # The Hub's client read HF_HUB_OFFLINE when it was imported.
        assert os.environ.pop(OFFLINE, is_offline) == is_offline, "the server has another HF_HUB_OFFLINE"

    run_and_exit(request["module"], request["arguments"], prepare)


def run_and_exit(module: str, arguments: list[str], prepare: Callable[[], None] = lambda: None) -> NoReturn:
    """Run `python -m MODULE ARGUMENTS` in this process, a fork, after a preparation; end with its exit code."""
    sys.argv = [module, *arguments]
    code = 1
    try:
        prepare()
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not through the exit handlers, which belong to the parent.
        os._exit(code)


def main(address: str, *modules: str) -> None:
    """Import modules, then serve until standard input ends."""
    from core.system.fast_imports import disable_compiler, pause_gc

    disable_compiler()
    with pause_gc():
        for name in modules:
            import_module(name)
    if "core.train.worker" in modules:
        os.environ[ADDRESS] = address
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    # The end of a child wakes `select` through this pipe.
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    print("ready", flush=True)
    children: dict[int, socket.socket] = {}
    gc.freeze()
    while 0 not in (ready := select.select([0, listener.fileno(), reading], [], [])[0]):
        if reading in ready:
            os.read(reading, 4096)
            _reap(children)
        if listener.fileno() in ready:
            connection, _ = listener.accept()
            if (request := _read_request(connection)) is None:
                connection.close()
                continue
            pid = os.fork()
            if pid == 0:
                _become(request)
            children[pid] = connection
            _answer(connection, pid)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _read_request(connection: socket.socket) -> dict | None:
    """Return the request of a connection; None if the process that asks was killed before it had sent its line."""
    with contextlib.suppress(ConnectionResetError), connection.makefile("r") as lines:
        line = lines.readline()
        return json.loads(line) if line.endswith("\n") else None
    return None


def _reap(children: dict[int, socket.socket]) -> None:
    """Wait for the children that ended: their CPU seconds count for the tests, and no zombie is left."""
    with contextlib.suppress(ChildProcessError):
        while children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            if connection := children.pop(pid, None):
                _answer(connection, os.waitstatus_to_exitcode(status))
                connection.close()


def _answer(connection: socket.socket, number: int) -> None:
    # A test that only wanted the process id does not wait for the exit code.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(b"%d\n" % number)


if __name__ == "__main__":
    main(*sys.argv[1:])
