"""The list of choices: hostile texts, the chosen option, and its event."""

import gradio as gr
from hypothesis import given, settings
from hypothesis import strategies as st

from components.choice_list import Choice, build_choice_list, choices_html
from tests.helpers.hostile_text import HOSTILE, ParsedHtml

TEXT = st.sampled_from(HOSTILE) | st.text(max_size=12)
CHOICES = st.lists(st.builds(Choice, TEXT, TEXT, TEXT, st.booleans()), max_size=3)
OPTIONS = st.lists(st.tuples(TEXT, TEXT), max_size=3)


@settings(max_examples=60)
@given(TEXT, CHOICES, OPTIONS, TEXT)
def test_choice_list_with_any_text_stays_inert_and_names_every_choice(title, choices, options, help_text):
    page = ParsedHtml(choices_html(title, choices, options, help_text))
    assert {tag for tag, _ in page.tags} <= {"div", "b", "span", "small", "select", "option", "button"}
    known = {"class", "title", "dir", "aria-label", "data-name", "data-value", "value", "selected", "disabled"}
    assert {name for _, attributes in page.tags for name in attributes} <= known
    selects = [a for tag, a in page.tags if tag == "select"]
    assert [(a["data-name"], a["data-value"]) for a in selects] == [(c.name, c.value) for c in choices]
    values = [a["value"] for tag, a in page.tags if tag == "option"]
    assert values == [value for _ in choices for _, value in options]


def test_choice_list_marks_the_chosen_option():
    page = ParsedHtml(choices_html("t", [Choice("a", "", "x")], [("no", ""), ("yes", "x")]))
    assert [a["value"] for tag, a in page.tags if tag == "option" and "selected" in a] == ["x"]


def test_choice_list_sends_the_event_choose():
    with gr.Blocks() as demo:
        choices = build_choice_list("uses")
        choices.choose(lambda: None)
    assert next(iter(demo.fns.values())).targets == [(choices._id, "choose")]
    assert "trigger('choose'" in choices.js_on_load
