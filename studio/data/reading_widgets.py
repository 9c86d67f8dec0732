"""Widgets of the question about the format, of the form, and of the list of columns that are not read."""

from dataclasses import dataclass

import gradio as gr

from components.choice_list import build_choice_list
from components.model_form import field_id
from core.data import formats
from core.data.delimiter import MAX_DELIMITER_CHARACTERS
from core.data.formats import Reading

FIELDS = ("format", "reasoning", "columns", "extra", "roles", "prompt", "labels", "placeholders")
# The line that opens the form.
FORM_TITLE, FORM_ID = "Read as", "reading"
_FORMATS = [(form.label, form.name) for form in formats.FORMATS if form.name != "undecided"]
_REASONING = [("train on it, in <think> tags", "think"), ("leave it out", "leave out")]
FIELD_HELP = {name: field.description for name, field in Reading.model_fields.items()}
# Elements that sentences of the page name by their titles; chips that name one open it.
TARGETS = {FORM_TITLE: field_id(FORM_ID, "format")} | {
    field.title: field_id(FORM_ID, name) for name, field in Reading.model_fields.items() if field.title
}


@dataclass(frozen=True)
class ReadingWidgets:
    """Widgets of question, form and column list; `report` is the hidden output of /describe_dataset."""

    question: gr.Column
    question_text: gr.HTML
    choices: gr.Radio
    read_choice: gr.Button
    split_row: gr.Row
    characters: gr.Textbox
    split: gr.Button
    column_uses: gr.HTML
    form_box: gr.Accordion
    preview: gr.HTML
    runner_up: gr.HTML
    fields: dict[str, gr.components.Component]
    read: gr.Button
    report: gr.JSON


def build_reading_form() -> ReadingWidgets:
    """Build the widgets in the open layout."""
    with gr.Column(visible=False, elem_id="reading-question", elem_classes="qs-question") as question:
        gr.HTML("<h3>How should these rows be read?</h3>", padding=False, elem_classes="qs-title")
        text = gr.HTML(padding=False, elem_id="question-words")
        choices = gr.Radio([], label="Readings", show_label=False, container=False, elem_id="question-choices")
        read_choice = gr.Button("Apply this format", variant="primary", elem_id="read-choice")
        with gr.Row(visible=False, elem_id="split-row") as split_row:
            characters = gr.Textbox(
                label="Characters between the cells", max_length=MAX_DELIMITER_CHARACTERS, elem_id="split-delimiter",
                info="The first line is split into names, the others into cells. \\t stands for a tab.",
            )  # fmt: skip
            split = gr.Button("Split into columns", size="sm", scale=0, min_width=150, elem_id="split-column")
    uses = build_choice_list("column-uses")
    box = gr.Accordion(FORM_TITLE, open=False, elem_id=FORM_ID, elem_classes="qs-quiet")
    with box, gr.Row(elem_id="reading-parts"):
        with gr.Column(scale=3, min_width=280):
            fields = _fields()
        with gr.Column(scale=2, min_width=280, elem_id="reading-result"):
            shown = gr.HTML(elem_id="reading-preview", padding=False)
            runner_up = gr.HTML(elem_id="runner-up", padding=False)
            read = gr.Button("Apply", variant="primary", elem_id="read-again")
    return ReadingWidgets(
        question,
        text,
        choices,
        read_choice,
        split_row,
        characters,
        split,
        uses,
        box,
        shown,
        runner_up,
        fields,
        read,
        gr.JSON(visible=False),
    )


def _fields() -> dict[str, gr.components.Component]:
    titles = {name: field.title for name, field in Reading.model_fields.items()}
    fields: dict[str, gr.components.Component] = {}
    with gr.Row(elem_classes="qs-ends", elem_id="reading-fields"):
        for name, choices in (("format", _FORMATS), ("reasoning", _REASONING)):
            fields[name] = gr.Dropdown(
                choices, value=None if name == "format" else "think", label=titles[name], info=FIELD_HELP[name],
                filterable=False, elem_id=field_id(FORM_ID, name), min_width=200,
            )  # fmt: skip
        for name in FIELDS[2:]:
            fields[name] = gr.Textbox(
                label=titles[name], info=FIELD_HELP[name], lines=2, max_lines=8, elem_id=field_id(FORM_ID, name),
                visible=name not in ("prompt", "labels"), min_width=200,
            )  # fmt: skip
    return fields
