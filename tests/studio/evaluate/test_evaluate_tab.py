import html

import gradio as gr

from core.access.roles import Caller, Role, acting
from core.system.jobs import Jobs
from studio.evaluate_tab import CLOSED, _closed, build_evaluate_tab


def test_the_clock_stands_still_until_the_tab_is_seen_and_one_event_a_beat_asks(store):
    with gr.Blocks() as demo, gr.Tabs() as tabs, gr.Tab("Answers"):
        dataset = gr.Dropdown()
        tab = build_evaluate_tab(store, Jobs(), demo, [], dataset, tabs)
    assert not tab.timer.active
    beats = [fn for fn in demo.fns.values() if any(kind == "tick" for _, kind in fn.targets)]
    assert len(beats) == 1
    ids = [block.elem_id for block in demo.blocks.values() if getattr(block, "elem_id", None)]
    assert len(ids) == len(set(ids))


def test_a_visitor_reads_that_the_tab_is_the_owner_s():
    assert _closed() == gr.skip(), "the owner's status is that of the evaluation"
    with acting(Caller(Role.VISITOR, "x")):
        assert html.escape(CLOSED) in _closed()
