"""The app as its own process: start, tabs, exposure, password and end."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter

import httpx
import pytest

from bench import load, poll
from studio import journey
from tests.helpers.app_server import PROJECT, AppServer, QueueClient

TABS = ["Data", "Train", "Chat", "Evaluate"]
# CPU time of a start, as a multiple of that of importing Gradio, which is most of it; 1.4 was measured. A bound in
# seconds would measure the machine: idle ones took from 3 to 10 seconds.
MAX_START_RATIO = 2.0
IMPORT = "import gradio, os; print(sum(os.times()[:2]))"


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    seconds = _import_cpu_seconds()
    made = AppServer(tmp_path_factory.mktemp("app"))
    made.import_cpu_seconds = seconds
    yield made
    made.stop()


def _import_cpu_seconds():
    run = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    return float(run.stdout)


def test_start_takes_little_more_than_importing_gradio(app):
    """CPU time, because other tests use the machine at the same time.

    They also slow each second of CPU time down, so a start stands between two imports and is compared with the slower.
    """
    assert app.first_status == 200
    assert app.startup_cpu_seconds / max(app.import_cpu_seconds, _import_cpu_seconds()) < MAX_START_RATIO


def test_page_has_the_events_that_benchmarks_cause(app):
    page = QueueClient(app.url)
    assert all(page.event_of(element, kind) for element, kind in load.EVENTS.values())
    assert poll.find_poll(page)["api_name"] == "poll"


def test_config_has_the_tabs_and_no_analytics(app):
    config = httpx.get(f"{app.url}/config").json()
    tabs = [part["props"]["label"] for part in config["components"] if part["type"] == "tabitem"]
    assert [label for label in tabs if label in TABS] == TABS
    steps = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "steps")
    inside = next(part["children"] for part in config["layout"]["children"] if part["id"] == steps)
    ids = {part["id"]: part["props"].get("id") for part in config["components"]}
    assert [ids[tab["id"]] for tab in inside] == [*journey.TABS, "owner"], "the bar above the tabs has one step per tab"
    assert config["analytics_enabled"] is False
    assert config["run_history"] is False, "calls hold tokens, which would be stored in the browser"


def test_config_names_each_element_once(app):
    config = httpx.get(f"{app.url}/config").json()
    counts = Counter(part["props"].get("elem_id") for part in config["components"])
    assert counts["train-field-seed"] == counts["subset-field-seed"] == counts["evaluate-field-seed"] == 1
    assert {name: count for name, count in counts.items() if name and count > 1} == {}


def test_each_tab_starts_its_own_timer_and_stops_the_others_in_the_browser(app):
    config = httpx.get(f"{app.url}/config").json()
    labels = {part["id"]: part["props"].get("label") for part in config["components"] if part["type"] == "tabitem"}
    started = {}
    for dependency in config["dependencies"]:
        if "active" in str(dependency["js"]):
            updates = json.loads(dependency["js"].removeprefix("() => "))
            assert len(updates) == len(dependency["outputs"])
            started[labels[dependency["targets"][0][0]]] = [update["active"] for update in updates]
            assert not dependency["backend_fn"], "two calls to the server could overtake each other"
    polling = {label: active.index(True) for label, active in started.items() if any(active)}
    assert {"Train", "Evaluate"} <= set(polling)
    assert len(set(polling.values())) == len(polling)
    assert all(sum(active) <= 1 for active in started.values())


def test_sigterm_ends_the_server_and_frees_the_port(tmp_path, app_fork_server):
    app = AppServer(tmp_path, fork_server=app_fork_server)
    assert app.stop() in (0, -signal.SIGTERM)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", app.port))


@pytest.mark.parametrize("environment", [{}, {"STUDIO_PASSWORD": ""}], ids=["no password", "an empty password"])
def test_public_address_without_a_password_is_refused(tmp_path, app_fork_server, environment):
    code, _, error = app_fork_server.run("app", "--host", "0.0.0.0", STUDIO_HOME=str(tmp_path), **environment)
    assert code == 2
    assert len(error.splitlines()) == 1
    assert "STUDIO_PASSWORD" in error


def test_home_that_cannot_be_created_is_refused(tmp_path):
    (tmp_path / "file").touch()
    environment = os.environ | {"STUDIO_HOME": str(tmp_path / "file")}
    done = subprocess.run([sys.executable, "app.py"], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "STUDIO_HOME" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_password_is_required_on_every_route(tmp_path, app_fork_server):
    options = ("--host", "0.0.0.0")
    app = AppServer(tmp_path / "home", *options, fork_server=app_fork_server, STUDIO_PASSWORD="open sesame")
    try:
        assert httpx.get(f"{app.url}/config").status_code == 401
        assert httpx.get(f"{app.url}/gradio_api/info").status_code == 401
        assert httpx.post(f"{app.url}/gradio_api/call/stop_run", json={"data": ["x"]}).status_code == 401
        assert '"auth_required":true' in httpx.get(app.url).text.replace(" ", "")
        wrong = httpx.post(f"{app.url}/login", data={"username": "studio", "password": "sesame"})
        assert wrong.status_code == 400
        right = httpx.Client(base_url=app.url)
        assert right.post("/login", data={"username": "studio", "password": "open sesame"}).status_code == 200
        assert right.get("/config").json()["title"] == "QLoRA Studio"
        # The owner's calls may be of any size, those of others may not.
        large = b"x" * (2**18 + 1)
        assert right.post("/gradio_api/queue/join", content=large).status_code == 422
        assert httpx.post(f"{app.url}/gradio_api/queue/join", content=large).status_code == 413
        right.close()
        assert "open sesame" not in app.log.read_text()
    finally:
        app.stop()
