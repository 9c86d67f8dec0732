"""Many guesses at the password, and many pages that never read their messages."""

import math
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from studio.unread_messages import MAX_UNREAD_PAGES
from tests.helpers.app_server import AppServer

PAGES = 150
# This is for all pages together; Gradio alone keeps 0.7 MiB per page.
MAX_MIB = 40


@pytest.fixture(scope="module")
def app(tmp_path_factory, app_fork_server):
    home = tmp_path_factory.mktemp("crowd") / "home"
    made = AppServer(home, fork_server=app_fork_server, STUDIO_PASSWORD="a right password")
    yield made
    made.stop()


def sign_in(app: AppServer, password: str, **headers: str) -> httpx.Response:
    return httpx.post(f"{app.url}/login", data={"username": "studio", "password": password}, headers=headers)


def test_wrong_passwords_are_throttled_and_the_right_one_waits_too(app):
    began = time.monotonic()
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda i: sign_in(app, f"guess {i}"), range(30)))
    # On a slow machine, waits of 2, 4, 8 ... seconds end between them.
    ended_waits = int(math.log2((time.monotonic() - began) / 2 + 1))
    statuses = [answer.status_code for answer in answers]
    assert 5 <= statuses.count(400) <= 5 + ended_waits
    assert statuses.count(400) + statuses.count(429) == 30
    refused = answers[statuses.index(429)]
    assert "Too many wrong passwords came from your address. Try again in" in refused.json()["error"]
    assert right_password_waits(app)
    # The address is that of the connection; a header that any client can set changes nothing.
    assert right_password_waits(app, **{"x-forwarded-for": "9.9.9.9"})


def right_password_waits(app: AppServer, **headers: str) -> bool:
    """Return whether a right password is refused after a wrong one was; a wait may end between them."""
    for _ in range(10):
        while sign_in(app, "a wrong password").status_code != 429:
            pass
        if sign_in(app, "a right password", **headers).status_code == 429:
            return True
    return False


def test_pages_that_never_read_leave_no_memory(tmp_path, app_fork_server):
    app = AppServer(tmp_path / "home", fork_server=app_fork_server)
    try:
        process = psutil.Process(app.process.pid)
        with httpx.Client(base_url=f"{app.url}/gradio_api", timeout=60) as browser:
            events = browser.get(f"{app.url}/config").json()["dependencies"]
            event = next(e for e in events if any(kind == "load" for _, kind in e["targets"]))

            def open_page(name: str) -> None:
                body = {"fn_index": event["id"], "data": [None] * len(event["inputs"]), "session_hash": name}
                browser.post("/queue/join", json=body).raise_for_status()

            for i in range(10):
                open_page(f"warm{i}")
            before = process.memory_full_info().uss
            for i in range(PAGES):
                open_page(f"page{i}")
            assert (process.memory_full_info().uss - before) / 2**20 < MAX_MIB
            # The newest page can still be read, the oldest is dropped.
            assert browser.get("/queue/data", params={"session_hash": "page0"}).status_code == 404
            with browser.stream("GET", "/queue/data", params={"session_hash": f"page{PAGES - 1}"}) as stream:
                assert any("process_completed" in line for line in stream.iter_lines())
    finally:
        app.stop()
    assert PAGES > MAX_UNREAD_PAGES
