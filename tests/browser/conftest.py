"""The real app in a child process, and pages of it in Chromium."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.models import embedded
from core.settings import Settings
from tests.helpers.browser_pages import open_page
from tests.helpers.ports import reserve_port

PROJECT = Path(__file__).resolve().parents[2]
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]


class Server:
    """app.py on its own STUDIO_HOME; it can be killed and started again."""

    def __init__(self, settings: Settings):
        self.port = reserve_port()
        self.settings = settings
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = (settings.home / "server.log").open("ab")
        self.process: subprocess.Popen | None = None

    def start(self) -> float:
        """Start, wait for the first answer, and return the seconds that it took."""
        began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(self.port)],
            cwd=PROJECT,
            env=os.environ | {"STUDIO_HOME": str(self.settings.home)},
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        while True:
            try:
                urllib.request.urlopen(self.url, timeout=5).read(1)
                return time.monotonic() - began
            except OSError:
                assert self.process.poll() is None, Path(self.log.name).read_text()
                assert time.monotonic() - began < 60
                time.sleep(0.05)

    def kill(self) -> None:
        """Kill the app and all processes of its session at once, as a power cut does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Kill the app if it runs, and close its log."""
        if self.process and self.process.poll() is None:
            self.kill()
        self.log.close()


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[Server]:
    """Serve the app until the block ends."""
    made = Server(settings)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def server(studio):
    with serving(studio) as made:
        yield made


@pytest.fixture(scope="module")
def file_studio(tmp_path_factory, embedded_model):
    """A STUDIO_HOME shared by the tests of a file, which only add to it."""
    home = Settings(home=tmp_path_factory.mktemp("file") / "home").prepare()
    shutil.copytree(embedded_model, embedded.folder(home), copy_function=os.link)
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
