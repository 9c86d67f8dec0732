import html

import gradio as gr

from core.access.roles import Caller, Role, acting
from core.system.jobs import Jobs
from studio.evaluate_tab import OWNER_ONLY, _visitor_status, build_evaluate_tab
from studio.job_bars import JobBars


def test_evaluate_tab_polls_with_one_event_and_not_before_it_is_seen(store):
    with gr.Blocks() as demo, gr.Tabs() as tabs, gr.Tab("Evaluate"):
        dataset = gr.Dropdown()
        tab = build_evaluate_tab(store, JobBars(Jobs()), demo, [], dataset, tabs)
    assert not tab.timer.active
    polls = [fn for fn in demo.fns.values() if any(kind == "tick" for _, kind in fn.targets)]
    assert len(polls) == 1
    ids = [block.elem_id for block in demo.blocks.values() if getattr(block, "elem_id", None)]
    assert len(ids) == len(set(ids))


def test_evaluate_tab_shows_visitors_that_it_is_the_owners():
    assert _visitor_status() == {}, "the owner's status is that of the evaluation"
    with acting(Caller(Role.VISITOR, "x")):
        assert html.escape(OWNER_ONLY) in _visitor_status()["status"]
