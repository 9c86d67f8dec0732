"""Disabled controls called over HTTP: every function of the app has a decision, and it is kept for each of them."""

import time

import httpx
import pytest

from core.access.roles import Access
from core.settings import Settings
from studio.app import build
from tests.helpers.app_server import PageClient
from tests.helpers.space_server import AUTHOR, get, refusal, signed_in_headers, visitor_headers

ORGANISATION = {"preferred_username": AUTHOR, "roleInOrg": "write"}


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    return build(Settings(home=tmp_path_factory.mktemp("home")).prepare()).fns


@pytest.fixture(scope="module")
def visitor(on_space):
    made = PageClient(on_space.url, visitor_headers("a" * 32))
    yield made
    made.http.close()


def test_every_function_has_a_decision(functions):
    undecided = [f.api_name for f in functions.values() if f.fn is not None and not hasattr(f.fn, "for_visitors")]
    undecided += [
        f.api_name for f in functions.values() if f.validator is not None and not hasattr(f.validator, "for_visitors")
    ]
    assert undecided == []


def test_a_visitor_is_refused_whatever_is_not_for_visitors(functions, visitor):
    """All of them, over the queue, as a browser calls them; those without a public name, too."""
    closed = [f for f in functions.values() if f.fn is not None and not f.fn.for_visitors]
    assert len(closed) > 50
    events = {event["api_name"]: event for event in visitor.events}
    for function in closed:
        event = events[function.api_name]
        answer = visitor.run(event, [None] * len(event["inputs"]))
        assert "That is the owner's" in refusal(answer), function.api_name


def test_a_visitor_is_refused_on_every_other_route_too(on_space, functions, visitor):
    named = [f.api_name for f in functions.values() if f.fn is not None and not f.fn.for_visitors and f.api_name]
    for name in named:
        for way in ("run", "api"):
            answer = visitor.http.post(f"/{way}/{name}", json={"data": [None] * 40})
            assert answer.status_code in (400, 403, 404, 422), f"{way}/{name} answered {answer.status_code}"
        begun = visitor.http.post(f"/call/{name}", json={"data": [None] * 40})
        if begun.status_code == 200:
            said = visitor.http.get(f"/call/{name}/{begun.json()['event_id']}").text
            assert "event: error" in said, name


def test_the_author_and_members_of_the_organisation_are_owners(on_space):
    for headers in (signed_in_headers(AUTHOR), signed_in_headers("somebody", ORGANISATION)):
        page = PageClient(on_space.url, headers)
        assert "There is no run" in page.call("stop", "no-such-run")["error"], "let in, and answered"
        page.http.close()


@pytest.mark.parametrize(
    "headers",
    [
        signed_in_headers("somebody"),
        signed_in_headers("somebody", {"preferred_username": "another", "roleInOrg": "admin"}),
        signed_in_headers("reader", {"preferred_username": AUTHOR, "roleInOrg": "read"}),
        signed_in_headers(AUTHOR, secret="another secret"),
        signed_in_headers(AUTHOR, secret=""),
        signed_in_headers(AUTHOR, expires=time.time() - 5),
        {"x-forwarded-user": AUTHOR, "x-ip-token": "x", "authorization": f"Bearer {AUTHOR}", "x-hf-user": AUTHOR},
        {"cookie": f"studio_visitor={AUTHOR}; session=e30.x.y"},
    ],
    ids=["somebody", "of another", "who reads", "forged", "signed with nothing", "expired", "headers", "cookies"],
)
def test_everybody_else_is_a_visitor(on_space, headers):
    page = PageClient(on_space.url, headers)
    assert "That is the owner's" in page.call("stop", "no-such-run")["error"]
    page.http.close()


def test_without_oauth_nobody_on_a_space_is_its_owner():
    environment = {"SPACE_AUTHOR_NAME": AUTHOR, "OAUTH_CLIENT_ID": "x", "OAUTH_CLIENT_SECRET": ""}
    known = Access.of(Settings(), environment | {"SPACE_ID": "keeper/studio"})
    assert known.oauth is False


def test_uploads_are_the_owners(on_space):
    files = {"files": ("x.jsonl", b'{"prompt": "a", "completion": "b"}\n')}
    refused = httpx.post(
        f"{on_space.url}/gradio_api/upload", files=files, headers=visitor_headers("b" * 32), verify=False
    )
    assert refused.status_code == 403
    assert "the owner's" in refused.json()["error"]
    taken = httpx.post(
        f"{on_space.url}/gradio_api/upload", files=files, headers=signed_in_headers(AUTHOR), verify=False
    )
    assert taken.status_code == 200


def test_a_visitor_s_calls_are_small(on_space):
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
def test_routes_that_the_page_does_not_need_are_not_there(on_space, path):
    assert get(on_space, path, signed_in_headers(AUTHOR)).status_code in (404, 405)
