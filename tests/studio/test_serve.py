"""Start of the server: exposed addresses, the port, the end of the server, and the memory of sessions."""

import inspect
import os
import socket
import time
import tracemalloc

import pytest
from gradio import http_server, networking
from gradio.blocks import Blocks

from core.access.quotas import Quotas, Tokens
from core.errors import StudioError
from core.settings import Settings
from studio import serve
from studio.app import build
from studio.authorized_blocks import _AUTOMATIC_EVENTS
from studio.sessions import LightSession


@pytest.mark.parametrize(
    ("host", "share", "named"), [("0.0.0.0", False, "--host 0.0.0.0"), ("127.0.0.1", True, "--share")]
)
def test_check_exposure_public_address_needs_a_password_or_a_space(tmp_path, monkeypatch, host, share, named):
    with pytest.raises(StudioError, match="STUDIO_PASSWORD") as refused:
        serve.check_exposure(host, Settings(home=tmp_path), share)
    assert named in str(refused.value)
    serve.check_exposure(host, Settings(home=tmp_path, password="open sesame"), share)
    monkeypatch.setenv("SPACE_ID", "keeper/studio")
    serve.check_exposure(host, Settings(home=tmp_path), share)


def test_check_exposure_loopback_needs_no_password(tmp_path):
    for host in serve.LOOPBACK:
        assert serve.check_exposure(host, Settings(home=tmp_path)) is None


def test_check_port_unusable_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        for host, port in (("127.0.0.1", taken), ("127.0.0.1", 70_000), ("192.0.2.1", 0)):
            with pytest.raises(StudioError, match=f"port {port}"):
                serve.check_port(host, port)


def test_checkpoint_run_asks_the_active_run_to_stop(a_run, runs, monkeypatch):
    run = a_run(status="running", ended=None)
    run.save_state(run.saved_state().with_process(os.getpid()))
    monkeypatch.setattr(serve, "_CHECKPOINT_SECONDS", 0.2)
    serve._checkpoint_run(runs)
    assert run.stop_request.exists()


def test_checkpoint_run_without_an_active_run_returns_at_once(runs):
    began = time.monotonic()
    serve._checkpoint_run(runs)
    assert time.monotonic() - began < 1


class _EndError(Exception):
    """Stands for the end of the process."""


def test_shut_down_saves_the_visitors_tokens_and_ends_even_if_it_cannot(settings, monkeypatch, capsys):
    def end(code):
        raise _EndError

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(serve, "_exit_late", lambda: None)
    demo = build(settings)
    demo.visitor_tokens.reserve("a", 500)
    demo.visitor_tokens.settle("a", 500, 20)
    with pytest.raises(_EndError):
        serve._shut_down(demo, settings)
    assert Tokens(settings, Quotas()).used() == {"a": 20}

    def fail():
        raise OSError("No space left on device")

    monkeypatch.setattr(demo.visitor_tokens, "save", fail)
    with pytest.raises(_EndError):
        serve._shut_down(demo, settings)
    assert "could not be saved: No space left" in capsys.readouterr().err


def test_sessions_take_at_most_half_a_gib(settings):
    demo = build(settings)
    tracemalloc.start()
    try:
        held = [LightSession(demo) for _ in range(2)]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    capacity = serve.launch_options(settings, demo, Quotas())["state_session_capacity"]
    assert capacity * most / len(held) <= 2**29


def test_start_does_not_wait_for_an_answer_of_the_page(settings, monkeypatch):
    """Gradio ends the process if its page does not answer in three seconds, which visitors can cause."""
    monkeypatch.setattr(networking, "url_ok", networking.url_ok)
    monkeypatch.setattr(http_server, "get_space", http_server.get_space)
    monkeypatch.setattr(serve, "keep_api_info_by_root", lambda: None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert inspect.getsource(Blocks.launch).count("networking.url_ok(self.local_url)") == 1, "what is replaced"
    serve._prepare_environment(settings)
    assert networking.url_ok("http://127.0.0.1:9/")


def test_events_of_the_owner_mix_no_action_with_what_a_page_does_by_itself(settings):
    # A refusal is silent only if a page alone can have made the call; a visitor's page would show a toast otherwise.
    by_itself, mixed = {"load", "tick", "change", "select"}, []
    for function in build(settings).fns.values():
        kinds = {kind for _, kind in function.targets}
        if getattr(function.fn, "for_visitors", True) is False and kinds & by_itself and kinds - _AUTOMATIC_EVENTS:
            mixed.append(f"{function.fn.__qualname__}: {sorted(kinds)}")
    assert not mixed
