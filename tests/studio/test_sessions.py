"""The memory of sessions."""

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from studio.open_pages import OpenPages
from studio.sessions import FairSessions, LightSession


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
    blocks.session_owners, blocks.open_pages, blocks.state_session_capacity = {}, OpenPages(), 6
    sessions = FairSessions()
    sessions.set_blocks(blocks)
    opened = [("o1", "owner"), ("v1", "reader"), ("o2", "owner"), *((f"m{i}", "many") for i in range(20))]
    for name, owner in opened:
        blocks.session_owners[name] = owner
        if owner == "owner":
            blocks.open_pages.note_owner(name)
        assert sessions[name] is not None
    assert list(sessions.session_data) == ["o1", "v1", "o2", "m17", "m18", "m19"]
    for name in ("o3", "o4", "o5", "o6", "o7", "o8"):
        blocks.session_owners[name] = "owner"
        blocks.open_pages.note_owner(name)
        sessions.__getitem__(name)
    assert list(sessions.session_data) == ["o3", "o4", "o5", "o6", "o7", "o8"]


def test_fair_sessions_drop_no_page_of_the_owner_for_a_visitor(page):
    blocks, _, _ = page
    blocks.session_owners, blocks.open_pages, blocks.state_session_capacity = {}, OpenPages(), 3
    sessions = FairSessions()
    sessions.set_blocks(blocks)
    for name in ("o1", "o2", "o3"):
        blocks.open_pages.note_owner(name)
        sessions.__getitem__(name)
    for name in ("v1", "v2", "v3"):
        sessions.__getitem__(name)
    assert list(sessions.session_data) == ["o1", "o2", "o3", "v3"]
    blocks.open_pages.note_owner("o4")
    sessions.__getitem__("o4")
    assert list(sessions.session_data) == ["o2", "o3", "o4"]
