"""The real app.py in a child process, with clients for it: Gradio's own, and the queue protocol of a browser."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import httpx
import psutil
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError, ValidationError

from core.models import embedded
from core.settings import Settings
from tests.helpers.datasets import copy_bundled
from tests.helpers.fork_server import ForkServer
from tests.helpers.ports import reserve_port

PROJECT = Path(__file__).resolve().parents[2]


class AppServer:
    """app.py on its own STUDIO_HOME and a free port.

    Attributes:
        first_status: HTTP status of the first answer.
        startup_cpu_seconds: CPU time until then.
    """

    def __init__(self, home: Path, *options: str, fork_server: ForkServer | None = None, **environment: str):
        """Start the app and wait for its first answer.

        Args:
            home: Its STUDIO_HOME.
            options: More options of the command line.
            fork_server: A process that has imported the app and forks it; None for a process of its own.
            environment: More variables.
        """
        self.settings = Settings(home=home).prepare()
        # A config.json is enough for the catalogue to list the model, and no test here loads it.
        embedded.folder(self.settings).mkdir(parents=True, exist_ok=True)
        if not embedded.is_prepared(self.settings):
            (embedded.folder(self.settings) / "config.json").write_text("{}")
        self.port = reserve_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / "server.log"
        began = time.monotonic()
        options = ("--port", str(self.port), *options)
        own = {"STUDIO_HOME": str(home), "GRADIO_TEMP_DIR": str(home / "uploads")}
        if fork_server is not None:
            # The app opens the bundled dataset at its start if it is not there.
            copy_bundled(self.settings)
            self.process = fork_server.start("app", *options, log=self.log, environment=own | environment)
        else:
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "app.py", *options], cwd=PROJECT, env=os.environ | own | environment, stdout=log,
                    stderr=subprocess.STDOUT,
                )  # fmt: skip
        self.first_status = self._first_answer(began + 120)
        # Includes the children that have ended by now.
        self.startup_cpu_seconds = sum(psutil.Process(self.process.pid).cpu_times())

    def _first_answer(self, deadline: float) -> int:
        while True:
            try:
                with urllib.request.urlopen(self.url, timeout=5) as answer:
                    return answer.status
            except urllib.error.HTTPError as error:
                return error.code
            except OSError:
                assert time.monotonic() < deadline, self.log.read_text()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    pytest.fail(f"it ended with {self.process.wait(timeout=0.02)}: {self.log.read_text()}")

    def stop(self) -> int:
        """Send SIGTERM and return the exit code; processes that the app started are killed."""
        ended = self.process.poll()
        # A test may kill it, but one that crashed must not look like a closed connection.
        assert ended in (None, -signal.SIGKILL), f"the app ended with {ended}: {self.log.read_text()[-3000:]}"
        children = psutil.Process(self.process.pid).children(recursive=True) if ended is None else []
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=20)
        finally:
            for process in [*children, *([self.process] if self.process.poll() is None else [])]:
                process.kill()
            self.process.wait()

    def client(self, folder: Path, **options) -> Client:
        """Return a client of Gradio that downloads files to a folder."""
        return Client(self.url, verbose=False, analytics_enabled=False, download_files=folder, **options)


class QueueClient:
    """A client that calls events over the queue, as a browser does."""

    def __init__(self, url: str, headers: dict[str, str] | None = None, cookies: httpx.Cookies | None = None):
        self.http = httpx.Client(
            base_url=f"{url}/gradio_api", timeout=60, headers=headers, cookies=cookies, verify=False
        )
        self.session = f"test{time.monotonic_ns()}{id(self)}"
        self.config = self.http.get(f"{url}/config").json()
        self.events = self.config["dependencies"]

    def run(self, event: dict, data: list, event_data: dict | None = None) -> dict:
        """Call an event with the values of its inputs, and return the message that ends it."""
        body = {"fn_index": event["id"], "data": data, "session_hash": self.session, "event_data": event_data}
        joined = self.http.post("/queue/join", json=body)
        # Gradio rejects some calls before they are queued: with 422 those whose validator found a problem.
        if joined.status_code in (400, 422):
            return {"success": False, "output": {"error": str(joined.json()["detail"])}}
        joined.raise_for_status()
        with self.http.stream("GET", "/queue/data", params={"session_hash": self.session}) as lines:
            for line in lines.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    return message
        raise AssertionError("the stream ended without an answer")

    def event_of(self, element: str, kind: str) -> dict:
        """Return the event of an element of the page, such as the click of a button; it has to exist."""
        ids = {each["id"] for each in self.config["components"] if each["props"].get("elem_id") == element}
        targets = {(number, kind) for number in ids}
        found = [each for each in self.events if targets & {tuple(target) for target in each["targets"]}]
        assert found, f"the page has no event {kind} of #{element}"
        return found[0]

    def call(self, name: str, *data) -> dict:
        """Return the output of a named endpoint, with the key "error" if it failed."""
        return self.run(next(event for event in self.events if event["api_name"] == name), list(data))["output"]


class PageClient(QueueClient):
    """A queue client that has run the load events, as a page has after opening."""

    def __init__(self, url: str, headers: dict[str, str] | None = None, cookies: httpx.Cookies | None = None):
        super().__init__(url, headers, cookies)
        for event in self.events:
            if any(kind == "load" for _, kind in event["targets"]):
                self.run(event, [None] * len(event["inputs"]))


def rejection_message(client, **values) -> str:
    """Return the error of a call that must fail."""
    with pytest.raises((AppError, ValidationError, httpx.HTTPStatusError)) as raised:
        client.predict(**values)
    return str(raised.value)
