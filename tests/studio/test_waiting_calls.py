"""How many calls may wait in Gradio's own queue, and how many messages waiting takes."""

import asyncio

import gradio as gr
import pytest
from gradio.data_classes import PredictBodyInternal
from starlette.exceptions import HTTPException
from starlette.requests import Request

from core.access.roles import Access, Caller, Role, Way
from studio import fair_queue
from studio.authorized_blocks import VISITOR_COOKIE, AuthorizedBlocks
from studio.handlers import event_handler


def page(access: Access) -> AuthorizedBlocks:
    with AuthorizedBlocks(access) as blocks:
        gr.Button().click(event_handler(lambda: None, visitor=True))
    blocks.queue(status_update_rate=fair_queue.ESTIMATE_SECONDS)
    fair_queue.share_queue_fairly(blocks)
    return blocks


def join(blocks: AuthorizedBlocks, cookie: str, session: str | None = None, size: int = 100) -> str | None:
    """Let a call wait; return the sentence of its refusal, or None."""
    headers = [(b"cookie", f"{VISITOR_COOKIE}={cookie}".encode()), (b"content-length", str(size).encode())]
    request = Request({"type": "http", "headers": headers if cookie else headers[1:], "session": {}})
    body = PredictBodyInternal(fn_index=0, data=[], session_hash=session, request=request)
    try:
        added, _, state = asyncio.run(blocks._queue.push(body, request, None))
    except HTTPException as refused:
        return f"{refused.status_code} {refused.detail}"
    assert (added, state) == (True, "success")
    return None


@pytest.fixture
def space():
    return page(Access(Way.SPACE, "keeper"))


@pytest.mark.parametrize("cookie", ["a", ""])
def test_one_visitors_waiting_calls_are_bounded_and_others_are_free(space, cookie):
    answers = [join(space, cookie, f"{cookie}{i % 3}") for i in range(fair_queue.MAX_WAITING + 2)]
    assert answers[:-2] == [None] * fair_queue.MAX_WAITING
    refusal = "429 50 of your calls already wait, and 50 is the limit. Wait for one to end, then try again."
    assert answers[-2:] == [refusal] * 2
    assert join(space, "another") is None
    assert len(space._queue) == fair_queue.MAX_WAITING + 1, "a refused call leaves nothing"


def test_a_call_that_has_started_counts_no_more(space):
    for i in range(fair_queue.MAX_WAITING):
        assert join(space, "a", str(i)) is None
    space._queue.active_jobs = [None] * (fair_queue.OWNERS_CALLS + 1)
    assert space._queue.get_events()
    assert join(space, "a") is None


def test_bytes_of_one_visitors_waiting_calls_are_bounded(space):
    answers = [join(space, "a", size=2**18) for _ in range(9)]
    assert answers[:8] == [None] * 8
    assert "2,097,152 bytes" in answers[8]
    assert join(space, "b", size=2**18) is None


@pytest.mark.parametrize(("limit", "most"), [("MAX_WAITING_OF_ALL", 3), ("MAX_WAITING_BYTES_OF_ALL", 300)])
def test_all_visitors_together_are_bounded(space, monkeypatch, limit, most):
    monkeypatch.setattr(fair_queue, limit, most)
    answers = [join(space, f"invented {i}") for i in range(4)]
    assert answers == [None] * 3 + ["429 Too many visitors' calls wait at the moment. Try again in a minute."]


def test_the_owners_calls_are_not_bounded():
    blocks = page(Access(Way.OWN_MACHINE))
    assert {join(blocks, "", size=2**20) for _ in range(fair_queue.MAX_WAITING + 5)} == {None}


def test_no_call_joins_the_session_of_another_caller(space):
    assert join(space, "a", "mine") is None
    assert "another browser's" in join(space, "b", "mine")
    assert join(space, "a", "mine") is None


def test_call_without_a_session_is_its_callers(space):
    assert join(space, "a") is None
    (call,) = space._queue.event_ids_to_events
    owners = [space.owns_session(call, Caller(Role.VISITOR, f"browser {name}")) for name in "ab"]
    assert owners == [True, False]


def test_messages_of_waiting_calls_grow_with_their_number(space):
    """Gradio's default messages all waiting calls at every start, and fails here."""

    def messages(calls: int, cookie: str) -> int:
        blocks = page(Access(Way.SPACE, "keeper"))
        for i in range(calls):
            join(blocks, cookie, f"{cookie}{i}")
        blocks._queue.active_jobs = [None] * 60
        while blocks._queue.get_events():
            if blocks._queue.live_updates:
                blocks._queue.broadcast_estimations(next(iter(blocks._queue.event_queue_per_concurrency_id)))
        return sum(each.qsize() for each in blocks._queue.pending_messages_per_session.values())

    assert messages(40, "a") <= 40
    assert not space._queue.live_updates


def test_share_queue_fairly_lets_an_idle_server_rest():
    blocks = page(Access(Way.OWN_MACHINE))
    assert blocks._queue.sleep_when_free == blocks._queue.progress_update_sleep_when_free == 0.01
