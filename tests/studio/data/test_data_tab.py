"""The Data tab as a whole: every control is connected."""

from types import SimpleNamespace

import gradio as gr
import pytest

from studio.data_tab import build_data_tab
from studio.job_bars import JobBars

FIELDS = (gr.Textbox, gr.Number, gr.Checkbox, gr.Dropdown, gr.Radio, gr.CheckboxGroup, gr.File)


@pytest.fixture
def demo(settings, jobs):
    with gr.Blocks() as made:
        build_data_tab(settings, JobBars(jobs), made)
    return made


def test_every_button_is_connected_and_every_field_is_read(demo):
    heard = {target for fn in demo.fns.values() for target, _ in fn.targets}
    read = {part._id for fn in demo.fns.values() for part in fn.inputs}
    for block in demo.blocks.values():
        if isinstance(block, gr.Button):
            assert block._id in heard, block.value
        elif isinstance(block, FIELDS) and block.interactive is not False:
            assert block._id in read, block.label


def handler(demo, name):
    """Return a function as the page calls it, by the name of its handler."""
    return next(fn.fn for fn in demo.fns.values() if fn.fn and fn.fn.__qualname__.endswith(name))


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("OpenDataset.on_load", {"request": SimpleNamespace(query_params={})}),
        ("ExportSubset.on_load", {}),
        ("ExportSubset.hide_result", {}),
        ("<locals>.describe", {"state": None}),
        ("<locals>.choose", {"name": None, "state": None}),
        ("Browse.search", {"state": None, "text": "x"}),
        ("CreateSubset.suggest_name", {"state": None, "changes": {}, "rows": 0, "method": "first"}),
        ("ReadingForm.show_format", {"state": None, "form": "label"}),
        ("TokenStats.show", {"state": None}),
    ],
)
def test_handler_returns_only_names_of_its_outputs(demo, state, name, inputs):
    """Unknown names are an error when a handler is called, so each is called once."""
    inputs = {key: state if key == "state" else value for key, value in inputs.items()}
    if "name" in inputs:
        inputs["name"] = state["dataset"]
    assert handler(demo, name)(**inputs) is not None


def test_calls_that_read_a_tokenizer_run_two_at_a_time(demo):
    found = [one for one in demo.fns.values() if one.fn and one.name == "show_row"]
    assert found
    assert {(one.concurrency_id, one.concurrency_limit) for one in found} == {("heavy", 2)}
