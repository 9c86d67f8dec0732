"""The studio as a service: the loop of the example client, docs/api.md, health, and the end of the server.

One server serves the tests in their order; the last one ends it.
"""

import signal
import sys
import time

import gradio as gr
import httpx
import psutil
import pytest

from core.access.roles import Caller, Role, acting
from core.errors import StudioError
from core.runs.store import ACTIVE, RunStore
from studio.api import ApiCalls, build_api
from tests.helpers.app_server import PROJECT, AppServer
from tests.helpers.fork_server import ADDRESS
from tests.helpers.run_events import write
from tests.helpers.tiny_model import tiny_llama

sys.path.insert(0, str(PROJECT / "docs"))
# Rows are truncated, so the warning of it must be accepted.
TINY = {"model": "tiny", "quantization": "none", "compute_dtype": "float32", "max_length": 128,
        "accept_warnings": True}  # fmt: skip


@pytest.fixture(scope="module")
def app(tmp_path_factory, small_tokenizer, app_fork_server, fork_server):
    home = tmp_path_factory.mktemp("api") / "home"
    tiny_llama(vocab_size=len(small_tokenizer)).save_pretrained(home / "models" / "tiny")
    small_tokenizer.save_pretrained(home / "models" / "tiny")
    made = AppServer(home, fork_server=app_fork_server, **{ADDRESS: fork_server.address})
    yield made
    if made.process.poll() is None:
        made.stop()
    for run in RunStore(made.settings).runs():
        if run.saved_state().process_lives():
            psutil.Process(run.saved_state().pid).kill()


def test_api_page_is_up_to_date(app_fork_server):
    code, made, errors = app_fork_server.run("tests.helpers.api_page")
    assert code == 0, errors
    assert (PROJECT / "docs" / "api.md").read_text() == made, "run: python docs/make_api.py"


def test_api_lists_what_the_caller_may_see(runs, a_run):
    do, made = ApiCalls(runs), a_run([{"event": "step", "step": n, "loss": 1.0} for n in range(3)])
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


def test_run_events_runs_at_most_two_at_a_time(runs):
    with gr.Blocks() as made:
        build_api(runs)
    (found,) = (one for one in made.fns.values() if one.api_name == "run_events")
    assert (found.concurrency_id, found.concurrency_limit) == ("heavy", 2)


def test_healthz_answers_ok_under_any_host_name(app):
    answer = httpx.get(f"{app.url}/healthz", headers={"host": "10.0.0.7:7860"})
    assert (answer.status_code, answer.text) == (200, "ok")


@pytest.mark.slow
def test_example_client_trains_and_chats(app, tmp_path):
    from example_client import loop

    client = app.client(tmp_path / "client")
    answers = loop(client, "from-a-program", "What is a tide?", **TINY, max_steps=2)
    client.close()
    (run,) = RunStore(app.settings).runs()
    assert [answer["model"] for answer in answers] == ["base", run.id]
    assert all(answer["tokens"] for answer in answers)
    assert run.state().status == "finished"


def start_run(app: AppServer, client) -> str:
    """Start a long run, wait for its first steps, and return its id."""
    run = client.predict(subset="keeper", **TINY, max_steps=2000, save_steps=1000, eval_steps=0, api_name="/start_run")
    ends = time.monotonic() + 180
    while not client.predict(run["value"], 0, api_name="/run_events"):
        assert time.monotonic() < ends, RunStore(app.settings).run(run["value"]).log_tail()
        time.sleep(0.2)
    client.close()
    return run["value"]


@pytest.mark.slow
def test_sigterm_ends_the_server_and_a_restart_finds_the_run_active(app, app_fork_server, tmp_path):
    run_id = start_run(app, app.client(tmp_path / "client"))
    run = RunStore(app.settings).run(run_id)
    began = time.monotonic()
    app.process.send_signal(signal.SIGTERM)
    assert app.process.wait(timeout=10) == 0
    assert time.monotonic() - began < 10
    assert run.state().status in ACTIVE
    again = AppServer(app.settings.home, fork_server=app_fork_server)
    client = again.client(tmp_path / "again")
    assert {listed["id"]: listed["status"] for listed in client.predict(api_name="/list_runs")}[run_id] in ACTIVE
    client.predict(run_id, api_name="/stop_run")
    client.close()
    again.stop()
    psutil.wait_procs([psutil.Process(run.saved_state().pid)] if run.saved_state().process_lives() else [], timeout=60)
    assert run.state().status == "stopped"


def test_run_events_keep_their_positions_when_a_run_is_resumed(runs, a_run):
    do, made = ApiCalls(runs), a_run([{"event": "step", "step": n, "loss": 1.0} for n in range(1, 26)])
    known = len(do.run_events(made.id, 0))
    write(made, [{"event": "resumed", "step": 20}, *({"event": "step", "step": n, "loss": 1.0} for n in (21, 22))])
    found = do.run_events(made.id, known)
    assert [(event["event"], event["step"]) for event in found] == [("resumed", 20), ("step", 21), ("step", 22)]
    assert do.run_events(made.id, known + 3) == []
