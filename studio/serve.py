"""Start the server, wait for a signal, and stop within seconds; training runs continue without it."""

import os
import signal
import sys
import threading
import time
from typing import Any

import gradio as gr
from gradio import http_server, networking

from core.access.quotas import Quotas
from core.access.roles import Access, Way
from core.errors import StudioError
from core.runs.store import RunStore
from core.settings import Settings, on_space
from core.system.secret_masking import log_event, mask_logs
from core.web.listening import LOOPBACK, check_port
from core.web.slow_connections import close_slow_connections
from studio.app import build
from studio.fair_queue import ESTIMATE_SECONDS, share_queue_fairly
from studio.http_errors import EXCEPTION_HANDLERS
from studio.mcp_server import use_studio_tools
from studio.middleware import AccessMiddleware
from studio.sessions import limit_session_memory
from studio.shared_answers import keep_api_info_by_root
from studio.theme import CSS, THEME

# A chat request holds a thread while it waits for its answer.
MAX_THREADS = 200
# Sessions that Gradio keeps, the latest used. Its default of 10,000 would need 8 GB (studio/sessions.py).
MAX_SESSIONS = 400
_CONCURRENT_CALLS = 4
# A Space is killed soon after SIGTERM; a run writes a checkpoint within this time.
_CHECKPOINT_SECONDS = 6.0
_EXIT_MARGIN_SECONDS = 3.0


def check_exposure(host: str, settings: Settings, share: bool = False) -> None:
    """Refuse to serve the network without a password: anyone who reaches the page can start runs and fill the disk.

    Args:
        host: Address to listen on.
        settings: Settings with the password.
        share: Whether Gradio's tunnel makes the page public.

    Raises:
        StudioError: Others could reach the page and nothing asks them who they are.
    """
    if Access.of(settings).way is not Way.OWN_MACHINE:
        return
    if host in LOOPBACK and not share:
        return
    raise StudioError(
        f"{'--share' if share else f'--host {host}'} would let anyone who finds the page use this machine. "
        "Set STUDIO_PASSWORD to a password (the user name is 'studio'), or serve it as a Hugging Face Space with "
        f"hf_oauth, or {'omit --share' if share else 'keep --host 127.0.0.1'}."
    )


def serve(settings: Settings, host: str, port: int, share: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, then end the process.

    Args:
        settings: The studio's settings.
        host: Address to listen on.
        port: Port to listen on.
        share: Whether to open Gradio's public tunnel.

    Raises:
        StudioError: The page must not or cannot be served there.
    """
    check_exposure(host, settings, share)
    check_port(host, port)
    _prepare_environment(settings)
    demo, limits, has_signal = build(settings), Quotas(), threading.Event()
    # With a Space's id, the page would send requests to huggingface.co.
    demo.space_id = None
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: has_signal.set())
    # Gradio copies files that it serves to the folder of uploads, where they would count as such, unless they lie here.
    gr.set_static_paths([settings.exports_dir])
    demo.queue(status_update_rate=ESTIMATE_SECONDS, default_concurrency_limit=_CONCURRENT_CALLS)
    if demo.api_switch.has_mcp:
        use_studio_tools()
    limit_session_memory(demo)
    share_queue_fairly(demo)
    demo.launch(
        server_name=host,
        server_port=port,
        share=share,
        prevent_thread_lock=True,
        **launch_options(settings, demo, limits),
    )
    close_slow_connections(demo.server)
    # After the launch, because uvicorn sets up its loggers there.
    mask_logs()
    log_event("serving", host=host, port=port, way=demo.access.way)
    has_signal.wait()
    _shut_down(demo, settings)


def _shut_down(demo: Any, settings: Settings) -> None:
    """End jobs and server, and then the process."""
    log_event("leaving")
    threading.Thread(target=_exit_late, daemon=True).start()
    if on_space():
        _checkpoint_run(RunStore(settings))
    demo.jobs.close()
    demo.close(verbose=False)
    try:
        demo.visitor_tokens.save()
    except OSError as error:
        print(f"The tokens that visitors used could not be saved: {error}", file=sys.stderr)
    log_event("left")
    sys.stdout.flush()
    # Not sys.exit: threads that wait for an answer of a model would keep the process alive until it comes.
    os._exit(0)


def _prepare_environment(settings: Settings) -> None:
    """Set what Gradio and uvicorn read from the environment and from modules."""
    # After each call Gradio makes a table of its last 10,000 calls, for the monitoring page, which is closed here.
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(sys.maxsize)
    if not settings.behind_proxy:
        # By default uvicorn trusts forwarding headers of any client on this machine.
        os.environ["FORWARDED_ALLOW_IPS"] = ""
    if on_space():
        # A Docker Space does not set this variable. Without it Gradio mocks the sign-in: everyone who signs in would
        # be taken for the holder of HF_TOKEN, which is the owner.
        os.environ["SYSTEM"] = "spaces"
    # On a Space Gradio would also listen for changed code.
    http_server.get_space = lambda: None
    # Gradio requests its own page and ends the process if the answer takes three seconds, as it does where many
    # visitors wait for the start. It listens by then, and `check_port` has refused an address that does not work.
    networking.url_ok = lambda url: True
    keep_api_info_by_root()


# Texts of Gradio that its English lacks, or that say nothing on a phone.
_TEXTS = {
    "common.complete": "Done",
    "upload_text.drop_file": "Drop a file here",
    "upload_text.click_to_upload": "choose a file",
    "status.queue_position": "Waiting for {position} of {size} calls",
}


def launch_options(settings: Settings, demo: Any, limits: Quotas) -> dict[str, Any]:
    """Return the options of Gradio's launch that do not depend on host and port.

    Args:
        settings: The studio's settings.
        demo: The page.
        limits: Limits of uploads.
    """
    password = settings.password.get_secret_value() if settings.password else None
    return {
        "auth": ("studio", password) if password else None,
        "allowed_paths": [str(settings.exports_dir.resolve())],
        "theme": THEME,
        "css": CSS,
        "footer_links": [],
        "i18n": gr.I18n(en=_TEXTS),
        # Gradio would store every call in the browser, including a Hub token typed into the form.
        "run_history": False,
        "ssr_mode": False,
        "max_file_size": f"{limits.upload_mib}mb",
        "max_threads": MAX_THREADS,
        "state_session_capacity": MAX_SESSIONS,
        "root_path": settings.root_path,
        "strict_cors": True,
        "enable_monitoring": False,
        "mcp_server": demo.api_switch.has_mcp,
        "pwa": False,
        "app_kwargs": {"middleware": [_access_middleware(demo, settings, limits)], "docs_url": None, "redoc_url": None,
                       "openapi_url": None, "exception_handlers": EXCEPTION_HANDLERS, "routes": demo.own_routes},
    }  # fmt: skip


def _access_middleware(demo: Any, settings: Settings, limits: Quotas) -> Any:
    from starlette.middleware import Middleware

    return Middleware(AccessMiddleware, blocks=demo, settings=settings, limits=limits)


def _exit_late() -> None:
    """End the process even if the orderly end hangs; a SIGKILL would come next."""
    time.sleep(_CHECKPOINT_SECONDS + _EXIT_MARGIN_SECONDS)
    os._exit(0)


def _checkpoint_run(store: RunStore) -> None:
    """Stop the active run with a checkpoint and wait for it: its processes end with the Space's container."""
    run = store.active()
    if run is None:
        return
    run.request_stop()
    ends = time.monotonic() + _CHECKPOINT_SECONDS
    while run.saved_state().status in ("preparing", "running") and time.monotonic() < ends:
        time.sleep(0.1)
