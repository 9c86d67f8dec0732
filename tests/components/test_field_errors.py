"""Errors at the fields of a form: the value that the script reads, and a component that the API leaves out."""

from pathlib import Path

import gradio as gr

import components
from components.field_errors import build_field_errors, field_errors
from components.page_html import PageHTML


def test_field_errors_keep_the_order_and_focus_only_if_there_is_one():
    value = field_errors("order", {"b": "<b>Too low.", "a": "Empty."}, "warning")
    assert value["fields"] == [
        {"name": "b", "element": "order-field-b", "text": "<b>Too low."},
        {"name": "a", "element": "order-field-a", "text": "Empty."},
    ]
    assert field_errors("order", {"a": "x"}, elements={"a": "other"})["fields"][0]["element"] == "other"
    assert (value["level"], value["focus"]) == ("warning", True)
    assert not field_errors("order", {})["focus"]
    assert not field_errors("order", {"a": "x"}, focus=False)["focus"]


def test_field_errors_of_two_clicks_are_two_values():
    assert field_errors("order", {"a": "x"})["at"] < field_errors("order", {"a": "x"})["at"]


def test_page_html_is_no_value_of_an_api_call():
    with gr.Blocks() as demo:
        box, shown = gr.Textbox(label="Name"), PageHTML()
        marks = build_field_errors("marks")
        box.change(lambda text: (text, "", {}), box, [box, shown, marks], api_name="call")
    returned = demo.get_api_info()["named_endpoints"]["/call"]["returns"]
    assert [value["label"] for value in returned] == ["Name"]
    assert shown.get_block_name() == "html"
    assert not list(Path(components.__file__).parent.glob("*.pyi"))
