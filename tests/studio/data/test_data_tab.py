"""The wiring: as many outputs as every handler gives, and nothing on the page that nobody listens to."""

import gradio as gr
import pytest

from studio.data.browse import Browsing
from studio.data.open_dataset import Opening
from studio.data.subsets import Cutting
from studio.data.token_stats import Numbers
from studio.data_tab import build_data_tab

FIELDS = (gr.Textbox, gr.Number, gr.Checkbox, gr.Dropdown, gr.Radio, gr.CheckboxGroup, gr.File)


@pytest.fixture
def demo(settings, jobs):
    with gr.Blocks() as made:
        build_data_tab(settings, jobs, made)
    return made


def outputs(demo, name: str) -> set[int]:
    return {len(fn.outputs) for fn in demo.fns.values() if fn.fn and fn.fn.__qualname__ == name}


def test_every_handler_fills_every_output(demo, settings, jobs, state, data):
    opening, cutting = Opening(settings, jobs), Cutting(settings, jobs)
    assert outputs(demo, "Opening.on_load") == {len(opening.on_load())}
    assert outputs(demo, "Opening.reattach") == {len(next(opening.reattach()))}
    assert outputs(demo, "Cutting.on_load") == {len(cutting.on_load())}
    form = {"rows": 3, "method": "first", "held_out_share": 0}
    assert outputs(demo, "Cutting.cut") == {len(cutting.cut(state, [], "a", **form))}
    assert outputs(demo, "Cutting.export") == {len(update) for update in cutting.export("a", "llama2", ["jsonl"])}
    assert outputs(demo, "Cutting.quick") == {len(update) for update in cutting.quick(state)}
    assert outputs(demo, "Numbers.count") == outputs(demo, "Numbers.find_near") == {4}
    assert outputs(demo, "Numbers.find_near") == {len(u) for u in Numbers(settings, jobs).find_near(state)}
    assert outputs(demo, "Browsing.search") == {1}
    assert {len(update) for update in Browsing(settings).page(state, [], None, 1, 25)} == {3}


def test_no_control_is_dead(demo):
    """Every button has a click, every field is read by some event."""
    heard = {target for fn in demo.fns.values() for target, _ in fn.targets}
    read = {part._id for fn in demo.fns.values() for part in fn.inputs}
    for block in demo.blocks.values():
        if isinstance(block, gr.Button):
            assert block._id in heard, block.value
        elif isinstance(block, FIELDS) and block.interactive is not False:
            assert block._id in read, block.label
