"""The wiring: as many outputs as every handler gives, and nothing on the page that nobody listens to."""

import gradio as gr
import pytest

from core.runs.checks import Finding
from core.runs.config import QLoRAConfig
from core.runs.metrics_series import Timelines
from core.system.jobs import Jobs
from studio.train.compare import RunComparison
from studio.train.controls import RunControls
from studio.train.form import Form
from studio.train.polling import Beat
from studio.train.preflight import Checking, findings_html
from studio.train.run_view import RunView
from studio.train_tab import build_train_tab
from tests.helpers.run_events import EVENTS

FIELDS = (gr.Textbox, gr.Number, gr.Checkbox, gr.Dropdown, gr.Radio, gr.File, gr.Slider)


@pytest.fixture
def demo(runs):
    with gr.Blocks() as made, gr.Tab("Train") as tab:
        jobs = Jobs()
        build_train_tab(runs, jobs, made, tab.select)
    yield made
    jobs.close()


def outputs(demo, name: str) -> set[int]:
    return {len(fn.outputs) for fn in demo.fns.values() if fn.fn and fn.fn.__qualname__ == name}


def test_every_handler_fills_every_output(demo, runs, a_run):
    run, watch, form = a_run(EVENTS), RunView(runs, Timelines()), Form(runs)
    beat = Beat(RunControls(runs), watch, RunComparison(runs, Timelines()))
    assert outputs(demo, "RunView.shown") == {len(watch.shown(run.id, "use (%)", None))}
    assert outputs(demo, "RunView.shown") == {len(watch.shown(None, "use (%)", None))}
    assert outputs(demo, "RunView.scrub") == {len(watch.scrub(run.id, 0))} == {len(watch.scrub(None, 0))}
    assert outputs(demo, "Form.preset") == {len(form.preset("Quick demo"))}
    assert outputs(demo, "Form.from_run") == {len(form.from_run(run.id))}
    assert outputs(demo, "Form.shared") == {len(form.shared(**QLoRAConfig().model_dump()))}
    checking = Checking(runs, Jobs())
    assert outputs(demo, "Checking.check") == {len(checking.check(**QLoRAConfig().model_dump()))}
    assert outputs(demo, "Beat.opened") == {len(beat.opened(run.id, "learning rate"))}


def test_whoever_turns_to_the_tab_sees_the_run_as_it_is_at_once(demo):
    (beat,) = [fn for fn in demo.fns.values() if fn.fn and fn.fn.__qualname__ == "Beat.beat"]
    assert {event for _, event in beat.targets} == {"tick", "select"}


def test_no_control_is_dead(demo):
    heard = {target for fn in demo.fns.values() for target, _ in fn.targets}
    filled = {part._id for fn in demo.fns.values() for part in fn.outputs}
    read = {part._id for fn in demo.fns.values() for part in fn.inputs}
    for block in demo.blocks.values():
        if isinstance(block, gr.DownloadButton):  # out of sight, and clicked by the button that fills it
            assert block._id in filled, block.label
        elif isinstance(block, gr.Button):
            assert block._id in heard, block.value
        elif isinstance(block, FIELDS) and block.interactive is not False:
            assert block._id in read, block.label


def test_findings_are_inert():
    shown = findings_html([Finding("problem", "<b>x</b>"), Finding("fine", "y")])
    assert "&lt;b&gt;" in shown
    assert shown.count("<li") == 2
