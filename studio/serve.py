"""The server: launched, watched for a signal, ended within seconds; runs go on without it."""

import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from gradio import http_server

from core.access.quotas import Quotas
from core.access.roles import Access, Way
from core.errors import StudioError
from core.runs.store import RunStore
from core.settings import Settings, on_space
from core.system.secret_masking import log_event, mask_logs
from studio.app import build
from studio.middleware import Gate
from studio.sessions import keep_small
from studio.theme import CSS, THEME

LOOPBACK = ("127.0.0.1", "localhost", "::1")
THREADS = 200  # a question holds one while it waits for its answer
# Open pages that are remembered, the latest used; Gradio's own bound is 10,000 (studio/sessions.py).
SESSIONS = 500
_LEAVE_SECONDS = 6.0  # for a run of a Space to write a checkpoint before its machine is gone


def guard(host: str, settings: Settings, share: bool = False) -> None:
    """Refuse to serve the whole network unguarded: anyone who reaches the page can start runs and fill the disk."""
    if Access.of(settings).way is not Way.OWN_MACHINE:
        return
    if host in LOOPBACK and not share:
        return
    raise StudioError(
        f"{'--share' if share else f'--host {host}'} would let everybody who finds it use this machine. "
        "Set STUDIO_PASSWORD to a password (the user name is 'studio'), or serve it as a Hugging Face Space with "
        f"hf_oauth, or leave {'--share out' if share else '--host at 127.0.0.1'}."
    )


def check_port(host: str, port: int) -> None:
    """Raise StudioError unless this process may listen at `host` and `port`."""
    if not 0 <= port <= 65535:
        raise StudioError(f"There is no port {port}. Give one from 1 to 65535 with --port.")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except (OSError, OverflowError, UnicodeError) as error:
        raise StudioError(
            f"Cannot listen at {host} port {port}: {error}. Stop the program that uses this port, or give another "
            "address with --host or --port."
        ) from error


def serve(settings: Settings, host: str, port: int, share: bool = False) -> None:
    """Serve until SIGTERM or SIGINT."""
    guard(host, settings, share)
    check_port(host, port)
    if not settings.behind_proxy:
        os.environ["FORWARDED_ALLOW_IPS"] = ""  # uvicorn would believe whoever calls from this machine
    if on_space():
        # A Docker Space does not say this of itself, and where it is not said Gradio asks nobody who they are: whoever
        # signs in there is taken for the holder of HF_TOKEN, the owner.
        os.environ["SYSTEM"] = "spaces"
    http_server.get_space = lambda: None  # on a Space Gradio would listen for new code, too
    demo, limits, left = build(settings), Quotas(), threading.Event()
    demo.space_id = None  # the page would ask huggingface.co about it
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: left.set())
    keep_small(demo.queue(default_concurrency_limit=4))
    demo.launch(
        server_name=host, server_port=port, share=share, prevent_thread_lock=True, **options(settings, demo, limits)
    )
    mask_logs()
    log_event("serving", host=host, port=port, way=demo.access.way)
    left.wait()
    log_event("leaving")
    threading.Thread(target=_give_up, daemon=True).start()
    if on_space():
        _checkpoint(RunStore(settings))
    demo.jobs.close()
    demo.close(verbose=False)
    log_event("left")
    sys.stdout.flush()
    os._exit(0)  # threads that wait for an answer of a model would hold the process for as long as it takes


def options(settings: Settings, demo: Any, limits: Quotas) -> dict[str, Any]:
    """What Gradio is launched with, wherever it listens."""
    password = settings.password.get_secret_value() if settings.password else None
    return {
        "auth": ("studio", password) if password else None,
        "allowed_paths": [str(settings.exports_dir.resolve())],
        "theme": THEME,
        "css": CSS,
        "footer_links": [],
        "run_history": False,  # Gradio would keep every call in the browser, a Hub token typed into the form included
        "ssr_mode": False,
        "max_file_size": f"{limits.upload_mib}mb",
        "max_threads": THREADS,
        "state_session_capacity": SESSIONS,
        "root_path": settings.root_path,
        "strict_cors": True,
        "enable_monitoring": False,
        "pwa": False,
        "app_kwargs": {"middleware": [_gate(demo, settings, limits)], "docs_url": None, "redoc_url": None,
                       "openapi_url": None},
    }  # fmt: skip


def _gate(demo: Any, settings: Settings, limits: Quotas) -> Any:
    from starlette.middleware import Middleware

    return Middleware(Gate, blocks=demo, settings=settings, limits=limits)


def _give_up() -> None:
    """Whatever still holds the server is left behind: a SIGKILL would come next."""
    time.sleep(_LEAVE_SECONDS + 3)
    os._exit(0)


def _checkpoint(store: RunStore) -> None:
    """A Space's machine vanishes with its disk's writers: the run is asked for a checkpoint, and waited for."""
    run = store.active()
    if run is None:
        return
    run.request_stop()
    ends = time.monotonic() + _LEAVE_SECONDS
    while run.saved_state().status in ("preparing", "running") and time.monotonic() < ends:
        time.sleep(0.1)
