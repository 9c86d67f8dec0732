"""Reading and cancelling calls: each caller's own only, where there are several callers."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from starlette.requests import Request

from core.access.quotas import Quotas
from core.access.roles import Access, Caller, Role, Way
from core.settings import Settings
from core.web.origin import RefusalError
from studio.authorized_blocks import AuthorizedBlocks
from studio.call_checks import check_result, check_stop
from studio.middleware import AccessMiddleware
from studio.unread_messages import PageDroppedError

MINE, OTHER = Caller(Role.VISITOR, "browser a"), Caller(Role.VISITOR, "browser b")
# The same browser before it signed in.
SIGNED_IN = Caller(Role.VISITOR, "user a", "browser a")


def page(way: Way) -> AuthorizedBlocks:
    """Return a page with a waiting call of a session and a finished one without a session, both of one caller."""
    blocks = AuthorizedBlocks(Access(way, "keeper"))
    blocks._queue = SimpleNamespace(
        event_ids_to_events={"waits": SimpleNamespace(session_hash="page")},
        pending_event_ids_session={"page": {"waits"}, "done": {"done"}},
        pending_messages_per_session={"page": None, "done": None},
    )
    assert all(blocks.owns_session(session, MINE) for session in ("page", "done"))
    return blocks


def refusal(check, *args) -> int | None:
    try:
        check(*args)
    except RefusalError as error:
        return error.status
    return None


def read(blocks: AuthorizedBlocks, path: str, caller: Caller) -> int | None:
    path, _, query = path.partition("?")
    request = Request({"type": "http", "method": "GET", "headers": [], "path": path, "query_string": query.encode()})
    return refusal(check_result, blocks, request, path, caller)


RESULTS = ["/gradio_api/call/echo/waits", "/gradio_api/call/echo/done", "/gradio_api/call/v2/echo/done",
           "/gradio_api/call/echo/page", "/gradio_api/queue/data?session_hash=page"]  # fmt: skip


@pytest.mark.parametrize("path", RESULTS)
def test_result_is_read_by_its_caller_only(path):
    blocks = page(Way.SPACE)
    assert [read(blocks, path, each) for each in (MINE, OTHER, SIGNED_IN, MINE)] == [None, 403, None, 403]
    assert read(page(Way.OWN_MACHINE), path, OTHER) is None


def test_result_of_no_call_is_missing():
    assert read(page(Way.SPACE), "/gradio_api/call/echo/unknown", MINE) == 404


STOPS = [
    {"session_hash": "page", "fn_index": 0, "event_id": "waits"},
    # The session is invented, the call another's.
    {"session_hash": "invented", "fn_index": 0, "event_id": "waits"},
    {"session_hash": "page", "fn_index": 0, "event_id": "unknown"},
    {"event_id": "done"},
]


@pytest.mark.parametrize("body", STOPS)
@pytest.mark.parametrize("path", ["/gradio_api/cancel", "/gradio_api/reset", "/gradio_api/cancel/"])
def test_call_is_stopped_by_its_caller_only(path, body):
    stops = [refusal(check_stop, page(Way.SPACE), path, json.dumps(body).encode(), each) for each in (MINE, OTHER)]
    assert stops == [None, 403]
    assert refusal(check_stop, page(Way.OWN_MACHINE), path, json.dumps(body).encode(), OTHER) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"event_id": 3}', b"[" * 10_000, b"\xff"])
def test_malformed_stop_is_left_to_gradio(body):
    assert refusal(check_stop, page(Way.SPACE), "/gradio_api/cancel", body, OTHER) is None


@pytest.mark.parametrize("fails", [True, False])
def test_stream_that_ends_is_noted_and_logs_no_error(tmp_path, fails):
    """Gradio raises where a page's messages were dropped, after its stream has sent the error."""
    sent, ended = [], []
    blocks = page(Way.SPACE)
    blocks.mark_reading = lambda name: lambda: ended.append(name)

    async def stream(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"data: 1", "more_body": True})
        if fails:
            raise PageDroppedError
        await send({"type": "http.response.body", "body": b""})

    async def send(message):
        sent.append(message)

    blocks.owns_session("page", Caller(Role.VISITOR, ""))
    blocks.session_owners["page"] = ""
    scope = {"type": "http", "method": "GET", "path": "/gradio_api/queue/data", "query_string": b"session_hash=page",
             "headers": [(b"host", b"a.example")]}  # fmt: skip
    middleware = AccessMiddleware(stream, blocks, Settings(home=tmp_path), Quotas())
    asyncio.run(middleware(scope, None, send))
    assert ended == ["page"]
    assert [each.get("more_body", False) for each in sent[1:]] == [True, False]
