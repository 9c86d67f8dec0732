"""The studio as a service: the example client's whole loop, docs/api.md, health, and how the server leaves."""

import signal
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from core.access.roles import Caller, Role, acting
from core.errors import StudioError
from core.runs.store import ACTIVE, RunStore
from studio.api import Service
from tests.helpers.app_server import PROJECT, AppServer
from tests.helpers.tiny_model import tiny_llama

sys.path.insert(0, str(PROJECT / "docs"))
TINY = {"model": "tiny", "quantization": "none", "compute_dtype": "float32", "max_length": 128}


@pytest.fixture
def app(tmp_path, tokenizer):
    folder = tmp_path / "home" / "models" / "tiny"
    tiny_llama(vocab_size=len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    made = AppServer(tmp_path / "home")
    yield made
    if made.process.poll() is None:
        made.end()
    for run in RunStore(made.settings).runs():
        if run.saved_state().process_lives():
            psutil.Process(run.saved_state().pid).kill()


def test_the_page_of_the_api_is_what_the_app_says():
    made = subprocess.run(
        [sys.executable, "-c", "import sys, os; sys.path.insert(0, 'docs'); from make_api import page; "
         "sys.stdout.write(page()); sys.stdout.flush(); os._exit(0)"],
        cwd=PROJECT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert (PROJECT / "docs" / "api.md").read_text() == made.stdout, "run: python docs/make_api.py"


def test_a_program_reads_what_is_there_and_no_more_than_its_caller_may(runs, a_run):
    do, made = Service(runs), a_run([{"event": "step", "step": n, "loss": 1.0} for n in range(3)])
    assert [run["id"] for run in do.list_runs()] == [made.id]
    assert do.list_subsets()[0]["name"] == "keeper"
    assert set(do.list_datasets()[0]) == {"id", "source", "rows", "splits"}
    assert [event["step"] for event in do.run_events(made.id, 1)] == [1, 2]
    for after in (-1, "1", None, 1.5):
        with pytest.raises(StudioError, match="0 or more"):
            do.run_events(made.id, after)
    with acting(Caller(Role.VISITOR, "x")):
        assert do.list_runs() == []
        assert do.list_datasets(), "the bundled one"
        with pytest.raises(StudioError, match="There is no run"):
            do.run_events(made.id, 0)


def test_health_is_told_to_whoever_asks(app):
    answer = httpx.get(f"{app.url}/healthz", headers={"host": "10.0.0.7:7860"})
    assert (answer.status_code, answer.text) == (200, "ok")


@pytest.mark.slow
def test_the_example_goes_through_the_whole_loop(app, tmp_path):
    from example_client import loop

    client = app.client(tmp_path / "client")
    answers = loop(client, "from-a-program", "What is a tide?", **TINY, max_steps=2)
    client.close()
    run = RunStore(app.settings).runs()[0]
    assert [answer["model"] for answer in answers] == ["base", run.id]
    assert all(answer["tokens"] for answer in answers)
    assert run.state().status == "finished"


def started(app: AppServer, client) -> str:
    """A run that takes long, at its first steps."""
    run = client.predict(subset="keeper", **TINY, max_steps=2000, save_steps=1000, eval_steps=0, api_name="/start")
    ends = time.monotonic() + 180
    while not client.predict(run["value"], 0, api_name="/run_events"):
        assert time.monotonic() < ends, RunStore(app.settings).run(run["value"]).log_tail()
        time.sleep(0.2)
    client.close()
    return run["value"]


@pytest.mark.slow
def test_sigterm_ends_the_server_and_leaves_the_run_and_a_restart_goes_on(app, tmp_path):
    run_id = started(app, app.client(tmp_path / "client"))
    run = RunStore(app.settings).run(run_id)
    began = time.monotonic()
    app.process.send_signal(signal.SIGTERM)
    assert app.process.wait(timeout=10) == 0
    assert time.monotonic() - began < 10
    assert run.state().status in ACTIVE
    again = AppServer(app.settings.home)
    client = again.client(tmp_path / "again")
    assert client.predict(api_name="/list_runs")[0]["status"] in ACTIVE
    client.predict(run_id, api_name="/stop")
    client.close()
    again.end()
    psutil.wait_procs([psutil.Process(run.saved_state().pid)] if run.saved_state().process_lives() else [], timeout=60)
    assert run.state().status == "stopped"
