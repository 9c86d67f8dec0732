"""The memory of sessions and of pages that never read their messages."""

import asyncio

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from studio.sessions import UNREAD_SECONDS, FairSessions, LightSession, UnreadMessages


@pytest.fixture
def page():
    with gr.Blocks() as made:
        state = gr.State([1])
        box = gr.Textbox("shared", label="A box")
        box.change(lambda x: x, box, box)
    return made, box, state


def test_light_session_reads_like_gradios_and_records_no_components(page):
    blocks, box, state = page
    one, other, plain = LightSession(blocks), LightSession(blocks), SessionState(blocks)
    assert one[box._id] is plain[box._id]
    one[state._id] = [2]
    assert (one[state._id], other[state._id], plain[state._id]) == ([2], [1], [1])
    changed = gr.Textbox("mine", render=False)
    one[box._id] = changed
    one._update_config(box._id)
    one._update_value_in_config(box._id, "mine")
    assert (one[box._id], other[box._id]) == (changed, plain[box._id])
    assert not one.config_values


def test_fair_sessions_drop_pages_of_the_visitor_with_the_most(page):
    blocks, _, _ = page
    blocks.session_owners, blocks.owner_names, blocks.state_session_capacity = {}, {"owner"}, 6
    sessions = FairSessions()
    sessions.set_blocks(blocks)
    opened = [("o1", "owner"), ("v1", "reader"), ("o2", "owner"), *((f"m{i}", "many") for i in range(20))]
    for name, owner in opened:
        blocks.session_owners[name] = owner
        assert sessions[name] is not None
    assert list(sessions.session_data) == ["o1", "v1", "o2", "m17", "m18", "m19"]
    for name in ("o3", "o4", "o5", "o6", "o7", "o8"):
        blocks.session_owners[name] = "owner"
        sessions.__getitem__(name)
    assert list(sessions.session_data) == ["o3", "o4", "o5", "o6", "o7", "o8"]


class Queue:
    """Gradio's queue as far as UnreadMessages uses it."""

    def __init__(self):
        self.pending_event_ids_session: dict[str, set[str]] = {}
        self.cleaned: list[str] = []

    async def clean_events(self, session_hash: str) -> None:
        self.cleaned.append(session_hash)


def test_unread_pages_beyond_the_limit_are_dropped_and_readers_stay():
    async def crowd() -> tuple[UnreadMessages, Queue]:
        queue = Queue()
        unread = UnreadMessages(queue, max_pages=3)
        for i in range(8):
            queue.pending_event_ids_session[f"page{i}"] = {f"call{i}"}
            unread[f"page{i}"] = "messages"
            if i in (0, 1):
                unread.mark_reading((f"page{i}", f"call{i}")[i])
        await asyncio.sleep(0)
        return unread, queue

    unread, queue = asyncio.run(crowd())
    assert list(unread) == ["page0", "page1", "page5", "page6", "page7"]
    assert queue.cleaned == ["page2", "page3", "page4"]
    assert set(queue.pending_event_ids_session) == set(unread)


def test_page_unread_for_long_is_dropped_at_the_next_call():
    async def two_pages() -> list[str]:
        now = [0.0]
        unread = UnreadMessages(Queue(), clock=lambda: now[0])
        unread["old"] = "messages"
        now[0] = UNREAD_SECONDS
        unread["new"] = "messages"
        await asyncio.sleep(0)
        return list(unread)

    assert asyncio.run(two_pages()) == ["new"]


def test_page_read_to_the_end_is_no_longer_counted():
    unread = UnreadMessages(Queue(), max_pages=2)
    unread["a"] = "messages"
    del unread["a"]
    unread["b"] = unread["c"] = "messages"
    assert list(unread) == ["b", "c"]
