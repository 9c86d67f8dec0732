"""The wiring of the Train tab: no control of the page is left unconnected."""

import gradio as gr
import pytest

from core.system.jobs import Jobs
from studio.job_bars import JobBars
from studio.train_tab import build_train_tab

FIELDS = (gr.Textbox, gr.Number, gr.Checkbox, gr.Dropdown, gr.Radio, gr.File, gr.Slider)


@pytest.fixture
def demo(runs):
    with gr.Blocks() as made, gr.Tab("Train") as tab:
        jobs = Jobs()
        made.tab = build_train_tab(runs, JobBars(jobs), made, tab.select)
    yield made
    jobs.close()


def test_train_tab_polls_on_the_timer_when_it_is_selected_and_after_an_action(demo):
    (poll,) = [fn for fn in demo.fns.values() if fn.fn and fn.fn.__qualname__ == "Polling.poll"]
    assert {event for _, event in poll.targets} == {"tick", "select", "change"}


def test_train_tab_every_control_is_connected(demo):
    triggers = {target for fn in demo.fns.values() for target, _ in fn.targets}
    filled = {part._id for fn in demo.fns.values() for part in fn.outputs}
    # studio/app.py connects them to the tabs that they open.
    triggers |= {button._id for button in demo.tab.next_steps.values()}
    read = {part._id for fn in demo.fns.values() for part in fn.inputs}
    for block in demo.blocks.values():
        # It is hidden; the visible button fills and clicks it.
        if isinstance(block, gr.DownloadButton):
            assert block._id in filled, block.label
        elif isinstance(block, gr.Button):
            assert block._id in triggers, block.value
        elif isinstance(block, FIELDS) and block.interactive is not False:
            assert block._id in read, block.label


def test_every_event_that_fills_outputs_of_the_poll_makes_it_send_them_again(demo):
    (poll,) = [fn for fn in demo.fns.values() if fn.fn and fn.fn.__qualname__ == "Polling.poll"]
    (keep,) = [fn for fn in demo.fns.values() if fn.fn and fn.name == "keep_waiting"]
    (sent,) = [part._id for part in keep.outputs if isinstance(part, gr.State)]
    # States hold what the poll compares, and the list of runs and the queue are sent on each change.
    listed = {"run", "queue"}
    polled = {part._id for part in poll.outputs if not isinstance(part, gr.State) and part.elem_id not in listed}
    filled = {fn.name: {part._id for part in fn.outputs} for fn in demo.fns.values() if fn.fn}
    assert len(polled) > 20
    assert [name for name, outputs in filled.items() if outputs & polled and sent not in outputs] == []


@pytest.mark.parametrize("name", ["write_csv", "write_report", "list_rows", "render_row"])
def test_calls_that_read_a_whole_run_run_two_at_a_time(demo, name):
    found = [one for one in demo.fns.values() if one.fn and one.name == name]
    assert found
    assert {(one.concurrency_id, one.concurrency_limit) for one in found} == {("heavy", 2)}
