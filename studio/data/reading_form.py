"""Choose how the rows of a dataset are read.

Three parts: a question where the format is not certain, the form with format and columns, and the list of columns that
the format does not read. A choice in the question or the list fills in the form; applying the form reads the rows.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.choice_list import Choice, build_choice_list, choices_html
from components.conversation import secondary_html
from components.model_form import non_empty_values
from core.data import formats, parse_rows, tasks
from core.data.formats import Reading, get_format
from core.data.report import (
    ColumnUse,
    Report,
    build_report,
    candidates,
    check_reading,
    column_names,
    column_uses,
    join_names,
)
from core.errors import StudioError
from core.settings import Settings
from core.system.jobs import Job, Jobs
from core.system.markdown import plain
from studio.data.page_state import PageState, State, parse_state
from studio.job_progress import follow

FIELDS = ("format", "reasoning", "columns", "extra", "roles", "prompt", "labels", "placeholders")
MAX_LISTED_COLUMNS = 20
FORM_TITLE = "Format and columns"
_FORMATS = [(form.label, form.name) for form in formats.FORMATS if form.name != "undecided"]
_REASONING = [("train on it, in <think> tags", "think"), ("leave it out", "leave out")]
_USES = [
    ("not used", ""),
    ("context", "context"),
    ("system prompt", "system"),
    ("reasoning", "reasoning"),
    ("label", "label"),
    ("ignore", "ignore"),
]
_USES_HELP = (
    "Context is added to the first question, reasoning in <think> tags before the last answer. Ignore leaves a column "
    "out and hides its note."
)
_HELP = {name: field.description for name, field in Reading.model_fields.items()}


class ReadingForm:
    """Event handlers of the form. They hold no widgets, so tests call them directly."""

    def __init__(self, settings: Settings, jobs: Jobs):
        self.settings, self.jobs = settings, jobs

    # The question

    def question(self, state: State) -> dict[str, Any]:
        """Return updates of the question: its block, text and choices, and whether the form is open."""
        page = parse_state(state)
        hidden = {
            "question": gr.update(visible=False),
            "question_text": "",
            "choices": gr.update(choices=[], value=None),
        }
        if not page.dataset:
            return hidden
        data = page.find_dataset(self.settings)
        if page.effective_reading(self.settings).format != "undecided":
            # The form of another dataset is closed; a form that was just used stays as it is.
            return hidden if page.reading else {**hidden, "form_box": gr.update(open=False)}
        choices = [
            (f"{one.label}: {one.usable:,} of the first {one.rows:,} rows usable", str(index))
            for index, one in enumerate(candidates(self.settings, data))
        ]
        text = f"{data.evidence[0].upper()}{data.evidence[1:]}. No row counts as usable until you choose."
        if not choices:
            text += " Choose a format and name its columns below."
        return {
            "question": gr.update(visible=True),
            "question_text": secondary_html(text),
            "choices": gr.update(choices=choices, value=None, visible=bool(choices)),
            "form_box": gr.update(open=True),
        }

    def fill_in(self, state: State, choice: str | None) -> dict[str, Any]:
        """Fill in the form from a choice of the question.

        Args:
            state: The page's state.
            choice: The index of a candidate, as text.
        """
        found = candidates(self.settings, parse_state(state).find_dataset(self.settings))
        # Compared as text, so that "-1", "01" and the like name no candidate.
        if choice not in map(str, range(len(found))):
            raise StudioError(f"There is no choice {choice!r}. Choose one of those shown.")
        return self._form_values(parse_state(state), found[int(choice)].reading)

    # The form

    def fields(self, state: State) -> dict[str, Any]:
        """Return updates of the form: the reading as it is now."""
        page = parse_state(state)
        return self._form_values(page, page.effective_reading(self.settings)) if page.dataset else {}

    def _form_values(self, page: PageState, reading: Reading) -> dict[str, Any]:
        data = page.find_dataset(self.settings)
        placeholders = parse_rows.parse_dataset(self.settings, data, page.effective_reading(self.settings)).placeholders
        is_undecided, has_labels = reading.format == "undecided", reading.format == "label"
        return {
            "format": None if is_undecided else reading.format,
            "reasoning": reading.reasoning,
            "roles": gr.update(value=_lines(reading.roles), visible=get_format(reading.format).names_speakers),
            "columns": gr.update(value=_lines(reading.columns), info=self._columns_help(page, reading.format)),
            "extra": _lines(reading.extra),
            "prompt": gr.update(value=reading.prompt, visible=has_labels),
            "labels": gr.update(value=_lines(reading.labels), visible=has_labels),
            "placeholders": _lines({**dict.fromkeys(placeholders, ""), **reading.placeholders}),
        }

    def show_format(self, state: State, form: str | None) -> dict[str, Any]:
        """Adapt columns, prompt and labels to another format; what it does not read is emptied.

        A hidden field with a value of its own would make the reading invalid, and nobody could see why.
        """
        shown = {"columns": gr.update(info=self._columns_help(parse_state(state), form))}
        has_speakers = form is not None and get_format(form).names_speakers
        shown["roles"] = gr.update(visible=True) if has_speakers else gr.update(value="", visible=False)
        if form == "label":
            return {**shown, "prompt": gr.update(visible=True), "labels": gr.update(visible=True)}
        default = Reading.model_fields["prompt"].default
        return {
            **shown,
            "prompt": gr.update(value=default, visible=False),
            "labels": gr.update(value="", visible=False),
        }

    def _columns_help(self, page: PageState, form: str | None) -> str:
        """Return the help of the columns field: the parts of a format and the columns of the dataset."""
        slots = get_format(form).slots if form else {}
        sentences = [_HELP["columns"]]
        if slots:
            sentences.append(f"Parts: {', '.join(slots)}.")
        if page.dataset:
            names = column_names(self.settings, page.find_dataset(self.settings))
            # The page renders this help as Markdown.
            sentences.append(f"Columns: {plain(join_names(names))}.")
        return " ".join(sentences)

    def read_again(self, state: State, **values: Any) -> Iterator[dict[str, Any]]:
        """Read the rows as the form says; /about reports what was not used."""
        page = parse_state(state)
        data = page.find_dataset(self.settings)
        if not values.get("format"):
            raise StudioError("No format is chosen. Choose one of the readings, or a format under “Read as”.")
        reading = Reading(**non_empty_values(values))
        # The form lists every placeholder; those left empty stay in the rows as they are.
        reading.placeholders = {name: text for name, text in reading.placeholders.items() if text}
        check_reading(data, reading)
        job = self.jobs.start(
            f"read/{data.id}", f"Reading {data.source.name}", tasks.parse_dataset, self.settings, data, reading
        )

        def finish(done: Job) -> dict[str, Any]:
            # Filters may name columns or values that exist under the old reading only.
            view = page.view.model_copy(update={"filters": []})
            return {"state": page.replace(reading=reading, view=view)}

        yield from follow(job, finish)

    # The columns that the format does not read

    def column_list(self, state: State) -> dict[str, Any]:
        """Return the update of the list of columns that the format does not read, each with its use."""
        return {"column_uses": self._column_list_html(parse_state(state))}

    def _column_list_html(self, page: PageState) -> str:
        if not page.dataset:
            return ""
        data = page.find_dataset(self.settings)
        parsed = parse_rows.parse_dataset(self.settings, data, page.effective_reading(self.settings))
        found = column_uses(self.settings, data, parsed)
        if not found:
            return ""
        listed = [
            Choice(column.name, _note(column), column.use or "", warn=column.use is None and column.is_text)
            for column in found[:MAX_LISTED_COLUMNS]
        ]
        more = len(found) - len(listed)
        rest = f"{more:,} more columns are not shown; name them under “Other columns”. " if more > 0 else ""
        unread = sum(column.use is None for column in found)
        title = f"{unread:,} column{'s' * (unread != 1)} not used" if unread else "Other columns"
        return choices_html(title, listed, _USES, rest + _USES_HELP)

    def use_columns(self, extra: str, changes: Any) -> dict[str, Any]:
        """Add the changes of the column list to the form's lines of other columns.

        Args:
            extra: The form's lines, `column = use`.
            changes: Uses by column; an empty use removes the line.
        """
        if not isinstance(changes, dict):
            raise StudioError(f"Expected an object of column and use (given: {str(changes)[:80]!r}).")
        uses = Reading(format="text", extra=extra).extra | changes
        return {"extra": _lines({name: use for name, use in uses.items() if use})}

    # For programs

    def about(self, state: State) -> dict[str, Any]:
        """Report how the chosen dataset is read: evidence or question, candidates, unused columns, notes, problems."""
        page = parse_state(state)
        if not page.dataset:
            raise StudioError("No dataset is chosen. Choose one first: /choose.")
        data = page.find_dataset(self.settings)
        parsed = parse_rows.parse_dataset(self.settings, data, page.effective_reading(self.settings))
        found: Report = build_report(self.settings, data, parsed)
        return {"report": json.loads(found.model_dump_json())}


def _note(column: ColumnUse) -> str:
    """Return in how many rows a column is filled, and its kind unless it is text."""
    rows = "" if column.rows is None else f"{column.rows:,} row{'s' * (column.rows != 1)}"
    kind = "" if column.is_text else "list or object" if column.kind == "nested" else column.kind
    return ", ".join(part for part in (rows, kind) if part)


def _lines(pairs: dict[str, str]) -> str:
    return "\n".join(f"{name} = {value}" for name, value in pairs.items())


@dataclass(frozen=True)
class ReadingWidgets:
    """Widgets of question, form and column list; `report` is the hidden output of /about."""

    question: gr.Column
    question_text: gr.HTML
    choices: gr.Radio
    read_choice: gr.Button
    column_uses: gr.HTML
    form_box: gr.Accordion
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
    uses = build_choice_list("column-uses")
    with gr.Accordion(FORM_TITLE, open=False, elem_id="reading") as box:
        fields = _fields()
        read = gr.Button("Apply", elem_id="read-again")
    return ReadingWidgets(question, text, choices, read_choice, uses, box, fields, read, gr.JSON(visible=False))


def _fields() -> dict[str, gr.components.Component]:
    titles = {name: field.title for name, field in Reading.model_fields.items()}
    with gr.Row(elem_classes="qs-ends"):
        fields: dict[str, gr.components.Component] = {
            "format": gr.Dropdown(
                _FORMATS, value=None, label=titles["format"], info=_HELP["format"], filterable=False,
                elem_id="field-format",
            ),
            "reasoning": gr.Dropdown(
                _REASONING, value="think", label=titles["reasoning"], info=_HELP["reasoning"], filterable=False,
                elem_id="field-reasoning",
            ),
        }  # fmt: skip
    with gr.Row(elem_classes="qs-ends"):
        for name in FIELDS[2:]:
            fields[name] = gr.Textbox(
                label=titles[name], info=_HELP[name], lines=3, max_lines=8, elem_id=f"field-{name}",
                visible=name not in ("prompt", "labels"), min_width=240,
            )  # fmt: skip
    return fields
