"""The real app.py in a child process, and two ways to speak to it: Gradio's client, and the queue as a browser does."""

import contextlib
import json
import os
import signal
import socket
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

PROJECT = Path(__file__).resolve().parents[2]


class AppServer:
    """app.py on a home of its own and a free port."""

    def __init__(self, home: Path, *options: str, **environment: str):
        self.settings = Settings(home=home).prepare()
        # a config.json is all that makes a folder a local model; nothing is loaded here
        embedded.folder(self.settings).mkdir(parents=True, exist_ok=True)
        if not embedded.is_prepared(self.settings):
            (embedded.folder(self.settings) / "config.json").write_text("{}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / "server.log"
        began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "app.py", "--port", str(self.port), *options],
                cwd=PROJECT,
                env=os.environ | {"STUDIO_HOME": str(home), "GRADIO_TEMP_DIR": str(home / "uploads")} | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.first_status = self._first_answer(began + 120)
        self.worked = sum(psutil.Process(self.process.pid).cpu_times())  # seconds of a processor, its children's too

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

    def end(self) -> int:
        """SIGTERM, and the exit code; whatever it started goes with it."""
        children = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=20)
        finally:
            for process in [*children, *([self.process] if self.process.poll() is None else [])]:
                process.kill()
            self.process.wait()

    def client(self, folder: Path, **options) -> Client:
        return Client(self.url, verbose=False, analytics_enabled=False, download_files=folder, **options)


class QueueClient:
    """The queue as a browser speaks to it, without a page."""

    def __init__(self, url: str, headers: dict[str, str] | None = None, cookies: httpx.Cookies | None = None):
        self.http = httpx.Client(
            base_url=f"{url}/gradio_api", timeout=60, headers=headers, cookies=cookies, verify=False
        )
        self.session = f"test{time.monotonic_ns()}{id(self)}"
        self.config = self.http.get(f"{url}/config").json()
        self.events = self.config["dependencies"]

    def run(self, event: dict, data: list, happened: dict | None = None) -> dict:
        body = {"fn_index": event["id"], "data": data, "session_hash": self.session, "event_data": happened}
        joined = self.http.post("/queue/join", json=body)
        if joined.status_code == 400:  # refused before it is queued
            return {"success": False, "output": {"error": str(joined.json()["detail"])}}
        joined.raise_for_status()
        with self.http.stream("GET", "/queue/data", params={"session_hash": self.session}) as lines:
            for line in lines.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    return message
        raise AssertionError("the stream ended without an answer")

    def call(self, name: str, *data) -> dict:
        """The output of a named endpoint; with a key 'error' when it was refused."""
        return self.run(next(event for event in self.events if event["api_name"] == name), list(data))["output"]


class PageClient(QueueClient):
    """A page that was opened: its lists are filled by its load events first."""

    def __init__(self, url: str, headers: dict[str, str] | None = None, cookies: httpx.Cookies | None = None):
        super().__init__(url, headers, cookies)
        for event in self.events:
            if any(kind == "load" for _, kind in event["targets"]):
                self.run(event, [None] * len(event["inputs"]))


def rejection_message(client, **values) -> str:
    """What the page would show for a call that has to fail."""
    with pytest.raises((AppError, ValidationError, httpx.HTTPStatusError)) as raised:
        client.predict(**values)
    return str(raised.value)
