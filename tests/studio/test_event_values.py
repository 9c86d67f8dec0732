"""Values of events are checked before a handler sees them."""

import gradio as gr
import pytest

from core.errors import StudioError
from studio.event_values import row_number


def event(value) -> gr.EventData:
    return gr.EventData(None, {"value": value})


@pytest.mark.parametrize(("value", "number"), [("7", 7), (7, 7), ("0", 0)])
def test_row_number_is_read_from_text_and_number(value, number):
    assert row_number(event(value)) == number


@pytest.mark.parametrize("value", [None, "", "x", "-1", "1.5", True, "true", "1" * 30, [1], "[1, 2]", {"a": 1}])
def test_row_number_refuses_everything_else(value):
    with pytest.raises(StudioError, match="is no row number"):
        row_number(event(value))


@pytest.mark.parametrize("value", ["[" * 5000 + "]" * 5000, "1" * 70_000])
def test_row_number_of_a_hostile_event_raises_no_recursion_error(value):
    with pytest.raises((StudioError, ValueError)):
        row_number(event(value))
