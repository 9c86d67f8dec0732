"""Random calls that no page makes: any event with any values, any request to any route, and checks of the outcome."""

import json
import random
from collections import Counter
from typing import Any

import httpx
from hypothesis import strategies as st

from tests.helpers.app_server import AppServer, PageClient

NASTY = [
    "", " ", "\0", "../../etc/passwd", "/etc/passwd", "%2e%2e%2f", "--help", "; touch pwned", "$(touch pwned)", "'" * 9,
    "<img src=x onerror=alert(1)>", "{{7*7}}", "${jndi:x}", "a" * 5000, "\u202e", "𝕏" * 50,
    "NaN", "1e999", "-1", "keeper", "first", "null", "http://127.0.0.1:9/x", "file:///etc/passwd",
    "'; DROP TABLE rows; --", "SELECT * FROM read_csv('/etc/passwd')", "COPY rows TO 'pwned'", "[" * 500, "__class__",
]  # fmt: skip
FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(NASTY), st.text(max_size=40),
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(SCALARS, st.just(FILE)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=10), inner, max_size=4)),
    max_leaves=8,
)
# Events that take long when they succeed; other tests call them with wrong values only.
HEAVY = {"dry_run", "create_quick_subset"}


def event_calls(page: PageClient) -> st.SearchStrategy:
    """Choose an event of the page, values for it (sometimes too few or too many), and its event data."""
    events = [event for event in page.events if event["backend_fn"] and event["api_name"] not in HEAVY]

    def of(event: dict) -> st.SearchStrategy:
        size = len(event["inputs"])
        data = st.lists(VALUES, min_size=size, max_size=size) | st.lists(VALUES, max_size=size + 2)
        happened = st.none() | VALUES
        return st.tuples(st.just(event), data, happened)

    return st.sampled_from(events).flatmap(of)


def call_event(page: PageClient, event: dict, data: list, happened: Any) -> str:
    """Call an event over the queue and return its error, or ""; a server error or traceback fails the test."""
    body = {"fn_index": event["id"], "data": data, "session_hash": page.session, "event_data": happened}
    joined = page.http.post("/queue/join", json=body)
    assert joined.status_code < 500, (event["api_name"], data, joined.text[:500])
    if joined.status_code != 200:
        return joined.text
    error = ""
    with page.http.stream("GET", "/queue/data", params={"session_hash": page.session}) as lines:
        assert lines.status_code < 500
        for line in lines.iter_lines():
            message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            if message.get("msg") == "process_completed":
                error = str(message["output"].get("error") or "")
                break
    # Errors quote the values that were sent, and hypothesis takes some of its texts from the project's code.
    wrong = [words for words in _DEFECTS if words in error and words not in repr((data, happened))]
    assert not wrong, (event["api_name"], data, error)
    return error


_DEFECTS = ("in the studio itself", "Traceback")
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")


def count_tracebacks(log: str) -> Counter[str]:
    """Count the tracebacks in a server's log by the last line of each.

    Chained exceptions count as one. The last line names the error that was raised; the first one of a chain may be
    harmless, such as a caller who left.
    """
    found, inside = [], False
    for line in log.splitlines():
        if "Traceback (most recent call last):" in line:
            inside = True
        elif line.startswith(_CHAINED):
            found.pop()
        elif inside and line and not line.startswith(" "):
            found.append(line)
            inside = False
    return Counter([*found, *(["cut off"] if inside else [])])


ROUTES = ["run", "api", "call", "call/v2", "queue/join", "cancel", "reset", "heartbeat", "file=", "upload", "info",
          "queue/data", "upload_progress", "login", "startup-events", "component_server", "proxy="]  # fmt: skip


def send_random_request(app: AppServer, chance: random.Random, names: list[str], headers: dict[str, str]) -> None:
    """Send one random request; a status of 500 or above fails the test."""
    route = chance.choice(ROUTES)
    tail = chance.choice(
        ["", "/", f"/{chance.choice(names)}", "/%00", "/..%2f..%2f", "?session_hash=x", f"/{'a' * 300}"]
    )
    body = chance.choice([b"", b"{", b"[]", b"{}", b'{"data": null}',
                          b'{"data": [], "fn_index": -1, "session_hash": "r"}',
                          b'{"data": {}, "fn_index": 99999, "session_hash": "r"}', b'{"fn_index": "x"}', b"\xff\xfe",
                          b'{"data": [], "fn_index": 1.5, "session_hash": {}}', b"[" * 2000])  # fmt: skip
    kind = chance.choice(
        ["application/json", "text/plain", "multipart/form-data; boundary=x", "application/x-yaml", ""]
    )
    method = chance.choice(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
    url = f"{app.url}/gradio_api/{route}{tail}"
    options = {"content": body, "headers": headers | {"content-type": kind}, "timeout": 20, "verify": False}
    with httpx.stream(method, url, **options) as answer:
        assert answer.status_code < 500, (method, url, body, kind, answer.status_code)
