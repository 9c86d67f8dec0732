"""The real app in a child process, and pages of it in Chromium.

The app of one test and its workers are forks of processes that have their imports done; `real_server` and the app that
the tests of a file share are processes of their own.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.models import embedded
from core.settings import Settings
from tests.helpers.browser_pages import TIMEOUT_SECONDS, open_page
from tests.helpers.datasets import copy_bundled
from tests.helpers.fork_server import ADDRESS, ForkedProcess
from tests.helpers.ports import reserve_port

PROJECT = Path(__file__).resolve().parents[2]
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]


class Server:
    """app.py on its own STUDIO_HOME; it can be killed and started again."""

    def __init__(self, settings: Settings, fork: Callable[..., ForkedProcess] | None = None):
        self.port = reserve_port()
        self.settings = settings
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = settings.home / "server.log"
        self.process: subprocess.Popen | ForkedProcess | None = None
        self._fork = fork

    def start(self) -> float:
        """Start, wait for the first answer, and return the seconds that it took."""
        began = time.monotonic()
        options, home = ["--port", str(self.port)], {"STUDIO_HOME": str(self.settings.home)}
        if self._fork:
            self.process = self._fork("app", *options, log=self.log, environment=home)
        else:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "app.py", *options], cwd=PROJECT, env=os.environ | home, stdout=log,
                    stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
        while True:
            try:
                urllib.request.urlopen(self.url, timeout=5).read(1)
                return time.monotonic() - began
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() - began < TIMEOUT_SECONDS
                time.sleep(0.05)

    def kill(self) -> None:
        """Kill the app and all processes of its session at once, as a power cut does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Kill the app if it runs."""
        if self.process and self.process.poll() is None:
            self.kill()


@contextlib.contextmanager
def serving(settings: Settings, fork: Callable[..., ForkedProcess] | None = None) -> Iterator[Server]:
    """Serve the app until the block ends."""
    made = Server(settings, fork)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def fork_app(app_fork_server, fork_server):
    """Return a function like `ForkServer.start` for the app, which starts its workers as forks, too."""

    def fork(module: str, *options: str, log: Path, environment: dict[str, str]) -> ForkedProcess:
        return app_fork_server.start(
            module, *options, log=log, environment=environment | {ADDRESS: fork_server.address}
        )

    return fork


@pytest.fixture
def real_server(studio):
    with serving(studio) as made:
        yield made


@pytest.fixture
def server(studio, fork_app):
    # The app opens the bundled dataset at its start if it is not there.
    copy_bundled(studio)
    with serving(studio, fork_app) as made:
        yield made


@pytest.fixture(scope="module")
def file_studio(tmp_path_factory, embedded_model):
    """A STUDIO_HOME shared by the tests of a file, which only add to it."""
    home = Settings(home=tmp_path_factory.mktemp("file") / "home").prepare()
    shutil.copytree(embedded_model, embedded.folder(home), copy_function=os.link)
    copy_bundled(home)
    return home


@pytest.fixture(scope="module")
def file_server(file_studio):
    with serving(file_studio) as made:
        yield made


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, server):
    """The page at its first tab; it must raise no error and keep its title, which hostile rows try to set."""
    made = open_page(chromium, server)
    yield made
    assert made.errors == []
    assert made.title() == "QLoRA Studio"
    made.close()
