"""The real app.py in a child process: up in seconds, gone by SIGTERM, guarded, and every named endpoint holds."""

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
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError, ValidationError

from core.data import table
from core.models import embedded
from core.runs.store import RunStore
from core.settings import Settings

PROJECT = Path(__file__).resolve().parents[1]
UP_WITHIN = 8.0  # seconds; the one promise about time that a test holds by the clock
DEFECT = "in the studio itself"


class App:
    """app.py on a home of its own and a free port."""

    def __init__(self, home: Path, *options: str, **environment: str):
        self.settings = Settings(home=home).prepare()
        # a config.json is all that makes a folder a local model; nothing is loaded here
        embedded.folder(self.settings).mkdir(parents=True)
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
        self.first_status = self._first_answer(began + 60)
        self.seconds = time.monotonic() - began

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


class Page:
    """The queue as a browser speaks to it: the lists of the page are filled by its load events first."""

    def __init__(self, url: str):
        self.http = httpx.Client(base_url=f"{url}/gradio_api", timeout=60)
        self.session = f"test{time.monotonic_ns()}"
        self.events = httpx.get(f"{url}/config").json()["dependencies"]
        for event in self.events:
            if any(kind == "load" for _, kind in event["targets"]):
                self.run(event, [None] * len(event["inputs"]))

    def run(self, event: dict, data: list) -> dict:
        body = {"fn_index": event["id"], "data": data, "session_hash": self.session, "event_data": None}
        joined = self.http.post("/queue/join", json=body)
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


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    made = App(tmp_path_factory.mktemp("app"))
    yield made
    made.end()


@pytest.fixture(scope="module")
def client(app, tmp_path_factory):
    made = app.client(tmp_path_factory.mktemp("client"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def page(app):
    made = Page(app.url)
    yield made
    made.http.close()


@pytest.fixture
def dataset(app):
    return next(data.id for data in table.opened_datasets(app.settings) if data.source.kind == "bundled")


def refused(client, **values) -> str:
    """What the page would show for a call that has to fail."""
    with pytest.raises((AppError, ValidationError, httpx.HTTPStatusError)) as raised:
        client.predict(**values)
    return str(raised.value)


def test_the_page_is_up_in_seconds(app):
    assert app.first_status == 200
    assert app.seconds < UP_WITHIN


def test_the_page_brings_its_three_tabs_and_nothing_from_elsewhere(app):
    config = httpx.get(f"{app.url}/config").json()
    tabs = [part["props"]["label"] for part in config["components"] if part["type"] == "tabitem"]
    assert tabs[:3] == ["Data", "Train", "Chat"]
    assert config["analytics_enabled"] is False


# Named endpoints


MISUSES = {
    "/open_file": {"upload": "EMPTY FILE"},
    "/open_hub": {"hub_id": "no hub id", "config": "", "split": "", "revision": ""},
    "/page": {"dataset": "no-such-data", "page": 1, "size": 25},
    "/cut": {"dataset": "no-such-data", "name": "x", "rows": 3},
    "/export": {"name": "no-such-subset", "form": "llama2"},
    "/start": {"subset": "no-such-subset"},
    "/stop": {"run_id": "no-such-run"},
    "/chat": {"run_id": None, "adapter": None, "prompt": "Hi."},
}


def test_every_named_endpoint_is_misused_below(client):
    assert set(client.view_api(return_format="dict", print_info=False)["named_endpoints"]) == set(MISUSES)


@pytest.mark.parametrize("name", MISUSES)
def test_a_misused_endpoint_refuses_without_a_traceback(app, client, tmp_path, name):
    values = dict(MISUSES[name])
    if name == "/open_file":
        (tmp_path / "empty.jsonl").touch()
        values["upload"] = handle_file(str(tmp_path / "empty.jsonl"))
    said = refused(client, api_name=name, **values)
    assert said
    assert "Traceback" not in said
    assert DEFECT not in said
    assert DEFECT not in app.log.read_text()
    assert RunStore(app.settings).runs() == []


def test_a_page_over_http_is_the_page_of_the_table(page, dataset):
    table_shown, number, words = page.call("page", dataset, 2, 25)["data"]
    assert [row[0] for row in table_shown["data"]] == list(range(25, 50))
    assert number == 2
    assert words.startswith("rows 26 to 50 of ")


def test_a_data_set_that_is_not_there_is_refused_by_name(page):
    assert "no-such-data" in page.call("page", "no-such-data", 1, 25)["error"]


def test_more_rows_than_there_are_are_refused_with_the_number(app, page, dataset):
    output = page.call("cut", dataset, "many", 10**6, "random", 0, 0.1)
    assert output["error"].startswith("1,000,000 rows were asked for")
    assert not (app.settings.subsets_dir / "many").exists()


def test_a_cut_and_its_export_over_http(app, page, dataset):
    cut = page.call("cut", dataset, "five", 5, "first", 0, 0.1)
    assert cut["data"][0]["value"] == "five"
    zipped = page.call("export", "five", "llama2")["data"][0]
    assert httpx.get(zipped["url"]).content[:2] == b"PK"
    assert (app.settings.exports_dir / "five-llama2.zip").is_file()


def test_a_maximum_length_of_0_is_refused_by_the_server(app, client):
    said = refused(client, api_name="/start", max_length=0)
    assert "max_length" in said
    assert "given: 0" in said
    assert RunStore(app.settings).runs() == []


def test_it_is_refused_just_the_same_without_a_client_library(app, client):
    parameters = client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/start"]["parameters"]
    data = [0 if p["parameter_name"] == "max_length" else p["parameter_default"] for p in parameters]
    event = next(e["id"] for e in client.config["dependencies"] if e["api_name"] == "start")
    body = {"data": data, "fn_index": event, "session_hash": "raw"}
    for way in ("call/start", "queue/join", "run/start", "api/start"):
        answer = httpx.post(f"{app.url}/gradio_api/{way}", json=body)
        assert answer.is_error, f"{way} answered {answer.status_code}: {answer.text}"
    assert "given: 0" in httpx.post(f"{app.url}/gradio_api/call/start", json=body).text
    assert RunStore(app.settings).runs() == []


def test_a_problem_across_fields_is_refused_by_the_server(app, client):
    assert "all-linear" in refused(client, api_name="/start", lora_targets=" , ")
    assert RunStore(app.settings).runs() == []


def test_an_uploaded_file_is_opened_and_its_rows_come_as_text(app, client, tmp_path):
    (tmp_path / "b.jsonl").write_text('{"instruction": "<img src=x onerror=alert(1)>", "output": "y"}\n')
    chosen = client.predict(upload=handle_file(str(tmp_path / "b.jsonl")), api_name="/open_file")["value"]
    fresh = Page(app.url)
    shown = fresh.call("page", chosen, 1, 25)["data"][0]
    fresh.http.close()
    assert shown["data"][0][3] == "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize("path", ["/etc/passwd", "app.py", "{home}/server.log", "{home}/exports/../server.log"])
def test_files_outside_the_exports_are_not_served(app, path):
    answer = httpx.get(f"{app.url}/gradio_api/file={path.format(home=app.settings.home)}")
    assert answer.status_code in (403, 404)


# Starting, ending, guarding


def test_sigterm_ends_it_and_frees_the_port(tmp_path):
    app = App(tmp_path)
    assert app.end() in (0, -signal.SIGTERM)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", app.port))


def refusal(home, *options, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "app.py", *options],
        cwd=PROJECT,
        env=os.environ | {"STUDIO_HOME": str(home)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("environment", [{}, {"STUDIO_PASSWORD": ""}], ids=["no password", "an empty password"])
def test_the_whole_network_is_not_served_without_a_password(tmp_path, environment):
    done = refusal(tmp_path, "--host", "0.0.0.0", **environment)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "STUDIO_PASSWORD" in done.stderr


def test_a_home_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    done = refusal(tmp_path / "file")
    assert done.returncode == 2
    assert "STUDIO_HOME" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_with_a_password_everybody_is_asked_for_it(tmp_path):
    app = App(tmp_path / "home", "--host", "0.0.0.0", STUDIO_PASSWORD="open sesame")
    try:
        assert httpx.get(f"{app.url}/config").status_code == 401
        assert httpx.get(f"{app.url}/gradio_api/info").status_code == 401
        assert httpx.post(f"{app.url}/gradio_api/call/stop", json={"data": ["x"]}).status_code == 401
        assert '"auth_required":true' in httpx.get(app.url).text.replace(" ", "")
        wrong = httpx.post(f"{app.url}/login", data={"username": "studio", "password": "sesame"})
        assert wrong.status_code == 400
        right = httpx.Client(base_url=app.url)
        assert right.post("/login", data={"username": "studio", "password": "open sesame"}).status_code == 200
        assert right.get("/config").json()["title"] == "QLoRA Studio"
        right.close()
        assert "open sesame" not in app.log.read_text()
    finally:
        app.end()
