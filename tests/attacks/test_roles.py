"""Disabled controls called over HTTP: every function is marked, and each mark is enforced."""

import time

import httpx
import pytest

from core.access.roles import Access
from core.settings import Settings
from tests.helpers.app_server import PageClient, QueueClient
from tests.helpers.space_server import AUTHOR, get, refusal, signed_in_headers, visitor_headers

ORGANIZATION = {"preferred_username": AUTHOR, "roleInOrg": "write"}


@pytest.fixture(scope="module")
def visitor(on_space):
    made = PageClient(on_space.url, visitor_headers("a" * 32))
    yield made
    made.http.close()


def test_every_function_is_marked_for_visitors_or_the_owner(functions):
    undecided = [f.api_name for f in functions.values() if f.fn is not None and not hasattr(f.fn, "for_visitors")]
    undecided += [
        f.api_name for f in functions.values() if f.validator is not None and not hasattr(f.validator, "for_visitors")
    ]
    assert undecided == []


def test_visitor_is_refused_every_owner_function(functions, visitor):
    """Over the queue, as a browser calls them, including those without a public name."""
    closed = [f for f in functions.values() if f.fn is not None and not f.fn.for_visitors]
    assert len(closed) > 50
    events = {event["api_name"]: event for event in visitor.events}
    for function in closed:
        event = events[function.api_name]
        answer = visitor.run(event, [None] * len(event["inputs"]))
        assert "Only the owner can do this" in refusal(answer), function.api_name


def test_visitor_is_refused_on_every_other_route(on_space, functions, visitor):
    named = [f.api_name for f in functions.values() if f.fn is not None and not f.fn.for_visitors and f.api_name]
    for name in named:
        for way in ("run", "api"):
            answer = visitor.http.post(f"/{way}/{name}", json={"data": [None] * 40})
            assert answer.status_code in (400, 403, 404, 422), f"{way}/{name} answered {answer.status_code}"
        begun = visitor.http.post(f"/call/{name}", json={"data": [None] * 40})
        if begun.status_code == 200:
            result = visitor.http.get(f"/call/{name}/{begun.json()['event_id']}").text
            assert "event: error" in result, name


def test_author_and_members_of_the_organization_are_owners(on_space):
    for headers in (signed_in_headers(AUTHOR), signed_in_headers("someone", ORGANIZATION)):
        page = QueueClient(on_space.url, headers)
        assert "There is no run" in page.call("stop_run", "no-such-run")["error"], "authorized, then answered"
        page.http.close()


@pytest.mark.parametrize(
    "headers",
    [
        signed_in_headers("someone"),
        signed_in_headers("someone", {"preferred_username": "another", "roleInOrg": "admin"}),
        signed_in_headers("reader", {"preferred_username": AUTHOR, "roleInOrg": "read"}),
        signed_in_headers(AUTHOR, secret="another secret"),
        signed_in_headers(AUTHOR, secret=""),
        signed_in_headers(AUTHOR, expires=time.time() - 5),
        {"x-forwarded-user": AUTHOR, "x-ip-token": "x", "authorization": f"Bearer {AUTHOR}", "x-hf-user": AUTHOR},
        {"cookie": f"studio_visitor={AUTHOR}; session=e30.x.y"},
    ],
    ids=["someone", "of another", "who reads", "forged", "signed with nothing", "expired", "headers", "cookies"],
)
def test_other_callers_are_visitors(on_space, headers):
    page = QueueClient(on_space.url, headers)
    assert "Only the owner can do this" in page.call("stop_run", "no-such-run")["error"]
    page.http.close()


def test_space_without_oauth_has_no_owner():
    environment = {"SPACE_AUTHOR_NAME": AUTHOR, "OAUTH_CLIENT_ID": "x", "OAUTH_CLIENT_SECRET": ""}
    known = Access.of(Settings(), environment | {"SPACE_ID": "keeper/studio"})
    assert known.oauth is False


def test_upload_is_owner_only(on_space):
    files = {"files": ("x.jsonl", b'{"prompt": "a", "completion": "b"}\n')}
    refused = httpx.post(
        f"{on_space.url}/gradio_api/upload", files=files, headers=visitor_headers("b" * 32), verify=False
    )
    assert refused.status_code == 403
    assert "Only the owner can upload files" in refused.json()["error"]
    taken = httpx.post(
        f"{on_space.url}/gradio_api/upload", files=files, headers=signed_in_headers(AUTHOR), verify=False
    )
    assert taken.status_code == 200


def test_large_visitor_call_is_refused(on_space):
    body = {"fn_index": 0, "data": ["x" * 2**19], "session_hash": "large"}
    answer = httpx.post(
        f"{on_space.url}/gradio_api/queue/join", json=body, headers=visitor_headers("b" * 32), verify=False
    )
    assert answer.status_code == 413
    parts = httpx.post(
        f"{on_space.url}/gradio_api/queue/join",
        content=iter([b"{", b"}"]),
        headers=visitor_headers("b" * 32),
        verify=False,
    )
    assert parts.status_code == 413


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/component_server", "/monitoring", "/gradio_api/proxy=http://127.0.0.1/", "/gradio_api/vibe-code",
     "/gradio_api/dev/reload", "/gradio_api/process_recording", "/gradio_api/runs", "/gradio_api/deep_link",
     "/gradio_api/token", "/custom_component/a/b/c/d", "/docs", "/openapi.json"],
)  # fmt: skip
def test_unneeded_routes_answer_404(on_space, path):
    assert get(on_space, path, signed_in_headers(AUTHOR)).status_code in (404, 405)
