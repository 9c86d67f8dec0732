"""Inputs and outputs pass by name, whatever their order."""

import gradio as gr
import pytest
from gradio_client import Client

from core.access.roles import Caller, Role, acting
from core.data.view import MAX_FILTER_VALUES, MAX_FILTERS, Filter, View
from core.errors import StudioError
from studio.data.page_state import MAX_TICKED, PageState
from studio.train.compare import ComparisonState
from studio.wiring import LATEST_ONLY, MAX_VISITORS_STATE_BYTES, UNLIMITED, by_name, check_state_size, connect
from tests.helpers.ports import reserve_port


def test_by_name_result_becomes_values_in_order_of_outputs():
    outputs = {"a": gr.Textbox(), "b": gr.Number(), "c": gr.Textbox()}
    assert by_name(lambda: {"c": "x", "a": 1}, outputs)() == [1, gr.skip(), "x"]
    assert by_name(lambda: None, outputs)() == [gr.skip()] * 3


def test_by_name_single_output_is_the_value_itself():
    assert by_name(lambda: {"a": 1}, {"a": gr.Textbox()})() == 1


def test_by_name_generator_yields_each_result():
    def handler():
        yield {"a": 1}
        yield {"b": 2}

    assert list(by_name(handler, {"a": gr.Number(), "b": gr.Number()})()) == [[1, gr.skip()], [gr.skip(), 2]]


def test_by_name_generator_that_yields_nothing_keeps_all_outputs():
    def handler():
        yield from ()

    assert list(by_name(handler, {"a": gr.Number(), "b": gr.Number()})()) == [[gr.skip(), gr.skip()]]


def test_by_name_value_that_the_page_had_already_is_left_out():
    run, name, kept = gr.Dropdown(), gr.Textbox(), gr.State()
    inputs = outputs = {"run": run, "name": name, "kept": kept}

    def repeat(run, name, kept, to):
        return {"run": gr.update(choices=["a", "b"], value=to), "name": to, "kept": kept}

    # While it ran, the user may have chosen another run; a value that differs is meant.
    update, text, state = by_name(repeat, outputs, inputs)(run="a", name="a", kept=[1], to="a")
    assert (update, text, state) == ({"choices": ["a", "b"], "__type__": "update"}, gr.skip(), [1])
    update, text, _ = by_name(repeat, outputs, inputs)(run="a", name="a", kept=[1], to="b")
    assert (update["value"], text) == ("b", "b")


def test_call_of_the_page_leaves_out_what_the_page_had_already():
    """Gradio decides how it passes the values, so it makes the calls."""

    def poll(run, archived, **fields):
        return {"run": gr.update(choices=["a", "b"], value=run), "name": fields["name"]}

    with gr.Blocks() as demo:
        run, archived, name = gr.Dropdown(["a"], value="a", allow_custom_value=True), gr.Checkbox(), gr.Textbox()
        inputs = {"run": run, "archived": archived, "name": name}
        connect(run.change, poll, inputs, {"run": run, "name": name}, api_name="poll")
    demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", server_port=reserve_port())
    try:
        update, text = Client(demo.local_url, verbose=False).predict("b", False, "x", api_name="/poll")
    finally:
        demo.close()
    assert "value" not in update
    assert text == gr.skip()


def test_by_name_unknown_name_raises_with_the_known_ones():
    with pytest.raises(KeyError, match=r"returns \['z'\], which are not among \['a'\]"):
        by_name(lambda: {"z": 1}, {"a": gr.Number()})()


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        list(range(30_000)),
        "x" * 2**21,
        nested(50_000),
        {"a": [{"b": ["x" * 2**20, "y"]}]},
        ComparisonState(picked=tuple(map(str, range(30_000)))),
    ],
)
def test_by_name_refuses_to_keep_large_values_in_a_state(value):
    outputs = {"kept": gr.State(), "shown": gr.Textbox()}
    assert by_name(lambda: {"shown": value}, outputs)()[1] == value
    with pytest.raises(StudioError, match="would leave more than"):
        by_name(lambda: {"kept": value}, outputs)()


def test_connect_passes_components_by_name_and_marks_who_may_call():
    with gr.Blocks() as demo:
        box, button, number = gr.Textbox(), gr.Button(), gr.Number()
        connect(button.click, lambda text: {"n": len(text)}, {"text": box}, {"n": number}, visitor=True)
    function = next(iter(demo.fns.values()))
    assert function.fn.for_visitors
    assert function.fn(text="four") == 4
    assert [block._id for block in function.outputs] == [number._id]


def test_connect_handler_without_outputs_returns_nothing():
    with gr.Blocks() as demo:
        button = gr.Button()
        connect(button.click, lambda: None)
    assert next(iter(demo.fns.values())).fn() is None


def test_connect_validator_returns_one_result_per_input_in_their_order():
    def validate(text: str, **values: int):
        return {"size": gr.validate(values["size"] > 0, "Too small.")} if text else {}

    with gr.Blocks() as demo:
        button, inputs = gr.Button(), {"text": gr.Textbox(), "size": gr.Number()}
        connect(button.click, lambda text, size: None, inputs, validate=validate)
    validator = next(iter(demo.fns.values())).validator
    assert [result["is_valid"] for result in validator("x", size=0)] == [True, False]
    assert [result["is_valid"] for result in validator("", size=0)] == [True, True]
    assert not validator.for_visitors


VISITOR = Caller(Role.VISITOR, "anonymous a")


@pytest.mark.parametrize(
    ("text", "bytes_per_character"), [("x", 1), ("\u00e9", 1), ("\u4e2d", 2), ("\U0001f600", 4), ("x", 4)]
)
def test_by_name_counts_what_a_text_takes_in_memory(text, bytes_per_character):
    keep = by_name(lambda value: {"kept": value}, {"kept": gr.State()})
    longest = text * (MAX_VISITORS_STATE_BYTES // bytes_per_character - 100)
    if bytes_per_character == 4:
        # One wide character makes all of them wide.
        longest += "\U0001f600"
    with acting(VISITOR):
        keep([longest])
        for part in ([longest, longest], {longest: longest[1:]}, [[longest], "y" * 1_000]):
            with pytest.raises(StudioError, match="256 KiB of text"):
                keep(part)
    keep([longest, longest])


def test_visitors_page_with_many_filters_and_ticks_is_kept():
    names = [f"column {number}" for number in range(MAX_FILTERS)]
    values = [f"a category {number}" for number in range(MAX_FILTER_VALUES)]
    view = View(search="a word " * 30, filters=[Filter(column=name, values=values) for name in names])
    with acting(VISITOR):
        check_state_size(PageState(view=view, columns=names).model_dump())
        check_state_size(list(range(10**6, 10**6 + MAX_TICKED)))


def test_connect_every_trigger_of_an_event_with_data_runs_in_order():
    def tick(event: gr.EventData):
        return {}

    def answer(event: gr.EventData):
        yield {}

    with gr.Blocks() as demo:
        button = gr.Button()
        connect(button.click, tick, **UNLIMITED)
        connect(button.click, tick, trigger_mode="once")
        connect(button.click, answer, **UNLIMITED)
        with pytest.raises(ValueError, match="data of the first trigger"):
            connect(button.click, tick, **LATEST_ONLY)
    modes = [(function.trigger_mode, function.concurrency_limit) for function in demo.fns.values()]
    assert modes == [("multiple", 1), ("once", "default"), ("once", None)]
