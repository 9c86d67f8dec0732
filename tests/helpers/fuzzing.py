"""Calls that no page makes: any event with any values, any request to any route; and what must not come of them."""

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
# What takes long when it is right, and is only tried with what is wrong elsewhere
HEAVY = {"measure", "quick_cut"}


def event_calls(page: PageClient) -> st.SearchStrategy:
    """An event of the page, and values for it: as many as it takes, or another number."""
    events = [event for event in page.events if event["backend_fn"] and event["api_name"] not in HEAVY]

    def of(event: dict) -> st.SearchStrategy:
        size = len(event["inputs"])
        data = st.lists(VALUES, min_size=size, max_size=size) | st.lists(VALUES, max_size=size + 2)
        happened = st.none() | VALUES
        return st.tuples(st.just(event), data, happened)

    return st.sampled_from(events).flatmap(of)


def call_event(page: PageClient, event: dict, data: list, happened: Any) -> str:
    """Over the queue; what was answered. Raises AssertionError for what must not be."""
    body = {"fn_index": event["id"], "data": data, "session_hash": page.session, "event_data": happened}
    joined = page.http.post("/queue/join", json=body)
    assert joined.status_code < 500, (event["api_name"], data, joined.text[:500])
    if joined.status_code != 200:
        return joined.text
    said = ""
    with page.http.stream("GET", "/queue/data", params={"session_hash": page.session}) as lines:
        assert lines.status_code < 500
        for line in lines.iter_lines():
            message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            if message.get("msg") == "process_completed":
                said = str(message["output"].get("error") or "")
                break
    # what was sent comes back in sentences; hypothesis takes words of the project's code into it, these two among them
    wrong = [words for words in _DEFECTS if words in said and words not in repr((data, happened))]
    assert not wrong, (event["api_name"], data, said)
    return said


_DEFECTS = ("in the studio itself", "Traceback")
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")


def count_tracebacks(log: str) -> Counter[str]:
    """The errors that a server's log has tracebacks of, by their last line, and how many there are of each.

    An error counts once, with whatever led to it. Its last line says what it is; the first may tell of something
    harmless before it, such as a caller who left.
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
    """One request of any method to any route, with any body."""
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
    asked = {"content": body, "headers": headers | {"content-type": kind}, "timeout": 20, "verify": False}
    with httpx.stream(method, url, **asked) as answer:
        assert answer.status_code < 500, (method, url, body, kind, answer.status_code)
