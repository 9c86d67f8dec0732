"""studio/serve.py: who may be served how, and what is asked of a run when a Space goes."""

import os
import tracemalloc

import pytest
from gradio.state_holder import SessionState

from core.access.quotas import Quotas
from core.errors import StudioError
from core.settings import Settings
from studio import serve
from studio.app import build


@pytest.mark.parametrize(
    ("host", "share", "named"), [("0.0.0.0", False, "--host 0.0.0.0"), ("127.0.0.1", True, "--share")]
)
def test_everybody_is_served_only_where_somebody_can_be_told_apart(tmp_path, monkeypatch, host, share, named):
    with pytest.raises(StudioError, match="STUDIO_PASSWORD") as refused:
        serve.guard(host, Settings(home=tmp_path), share)
    assert named in str(refused.value)
    serve.guard(host, Settings(home=tmp_path, password="open sesame"), share)
    monkeypatch.setenv("SPACE_ID", "keeper/studio")
    serve.guard(host, Settings(home=tmp_path), share)


def test_loopback_needs_nothing(tmp_path):
    for host in serve.LOOPBACK:
        serve.guard(host, Settings(home=tmp_path))


def test_a_space_that_goes_asks_its_run_for_a_checkpoint(a_run, runs, monkeypatch):
    run = a_run(status="running", ended=None)
    run.save_state(run.saved_state().with_process(os.getpid()))
    monkeypatch.setattr(serve, "_LEAVE_SECONDS", 0.2)
    serve._checkpoint(runs)
    assert run.stop_request.exists()


def test_without_a_run_there_is_nothing_to_wait_for(runs):
    serve._checkpoint(runs)


def test_all_pages_that_are_remembered_take_half_a_gib(settings):
    demo = build(settings)
    tracemalloc.start()
    try:
        held = [SessionState(demo) for _ in range(2)]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    kept = serve.options(settings, demo, Quotas())["state_session_capacity"]
    assert kept * most / len(held) <= 2**29
