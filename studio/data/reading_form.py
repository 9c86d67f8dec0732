"""How the rows of a data set are read: the question where no format is sure, the form, the columns that nothing reads.

A choice fills the form in; one more click reads the rows as the form says.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.choice_list import Choice, build_choice_list, choices_html
from components.conversation import secondary_html
from components.model_form import given
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
from studio.data.page_state import lens_of
from studio.job_progress import follow

FIELDS = ("format", "reasoning", "columns", "extra", "prompt", "labels", "placeholders")
SHOWN_COLUMNS = 20
_FORMATS = [(form.label, form.name) for form in formats.FORMATS if form.name != "undecided"]
_REASONING = [("learn it, in <think> tags", "think"), ("leave it out", "leave out")]
_USES = [("not used", ""), ("context", "context"), ("system prompt", "system"), ("ignore", "ignore")]
_USES_HELP = "Context is added to the first question. Ignore leaves a column out and hides its note."
_ABOUT = {name: field.description for name, field in Reading.model_fields.items()}


class ReadingForm:
    """Event handlers of the form. They hold no widgets, so tests call them directly."""

    def __init__(self, settings: Settings, jobs: Jobs):
        self.settings, self.jobs = settings, jobs

    # The question

    def question(self, state: dict) -> list[Any]:
        """Return updates of the question: its block, its text, the choices, the form's accordion."""
        lens = lens_of(state)
        if not lens.dataset:
            return [gr.update(visible=False), "", gr.update(choices=[], value=None), gr.skip()]
        data, reading = lens.data(self.settings), lens.read_as(self.settings)
        if reading.format != "undecided":
            # The form of another data set is closed; a form that was just used stays as it is.
            box = gr.skip() if lens.reading else gr.update(open=False)
            return [gr.update(visible=False), "", gr.update(choices=[], value=None), box]
        found = [
            (f"{one.label}: {one.usable:,} of the first {one.rows:,} rows usable", str(place))
            for place, one in enumerate(candidates(self.settings, data))
        ]
        words = f"{data.evidence[0].upper()}{data.evidence[1:]}. No row counts as usable until then."
        if not found:
            words += " Choose a format and name its columns below."
        return [
            gr.update(visible=True),
            secondary_html(words),
            gr.update(choices=found, value=None, visible=bool(found)),
            gr.update(open=True),
        ]

    def fill_in(self, state: dict, place: str | None) -> list[Any]:
        """Fill the form in from a candidate of the question."""
        found = candidates(self.settings, lens_of(state).data(self.settings))
        if place not in map(str, range(len(found))):
            raise StudioError(f"There is no choice {place!r}. Choose one of those shown.")
        return self._filled(state, found[int(place)].reading)

    # The form

    def fields(self, state: dict) -> list[Any]:
        """Return updates of the form: the reading as it is now."""
        lens = lens_of(state)
        return self._filled(state, lens.read_as(self.settings)) if lens.dataset else [gr.skip()] * len(FIELDS)

    def _filled(self, state: dict, reading: Reading) -> list[Any]:
        lens = lens_of(state)
        data = lens.data(self.settings)
        found = parse_rows.parse_dataset(self.settings, data, lens.read_as(self.settings)).placeholders
        undecided, labelled = reading.format == "undecided", reading.format == "label"
        return [
            None if undecided else reading.format,
            reading.reasoning,
            gr.update(value=_lines(reading.columns), info=self._columns_info(state, reading.format)),
            _lines(reading.extra),
            gr.update(value=reading.prompt, visible=labelled),
            gr.update(value=_lines(reading.labels), visible=labelled),
            _lines({**dict.fromkeys(found, ""), **reading.placeholders}),
        ]

    def show_format(self, state: dict, form: str | None) -> list[Any]:
        """Return updates of columns, prompt and labels for another format; what it does not read is emptied."""
        labelled = form == "label"
        default = Reading.model_fields["prompt"].default
        return [
            gr.update(info=self._columns_info(state, form)),
            gr.update(visible=True) if labelled else gr.update(value=default, visible=False),
            gr.update(visible=True) if labelled else gr.update(value="", visible=False),
        ]

    def _columns_info(self, state: dict, form: str | None) -> str:
        """Return the help of the columns: the parts of a format and the columns of the data set."""
        lens = lens_of(state)
        slots = get_format(form).slots if form else {}
        words = [_ABOUT["columns"]]
        words += [f"Parts: {', '.join(slots)}."] * bool(slots)
        if lens.dataset:
            words.append(f"Columns: {join_names(column_names(self.settings, lens.data(self.settings)))}.")
        return " ".join(words)

    def read_again(self, state: dict, **values: Any) -> Iterator[list[Any]]:
        """Read the rows as the form says; /about reports what was not used."""
        lens = lens_of(state)
        data = lens.data(self.settings)
        if not values.get("format"):
            raise StudioError("No format is chosen. Choose how the rows are read, or a format under “Read as”.")
        reading = Reading(**given(values))
        # The form offers the names of placeholders with nothing behind them: those stay as they are in the rows.
        reading.placeholders = {name: text for name, text in reading.placeholders.items() if text}
        check_reading(data, reading)
        job = self.jobs.start(
            f"read/{data.id}", f"Reading {data.source.name}", tasks.parse_dataset, self.settings, data, reading
        )

        def ended(done: Job) -> list[Any]:
            view = lens.view.model_copy(update={"filters": []})
            return [lens.model_copy(update={"reading": reading, "view": view}).model_dump()]

        yield from follow(job, 1, ended)

    # The columns that the format does not read

    def column_list(self, state: dict) -> str:
        """Return the columns that the format does not read, each with its use."""
        lens = lens_of(state)
        if not lens.dataset:
            return ""
        data = lens.data(self.settings)
        read = parse_rows.parse_dataset(self.settings, data, lens.read_as(self.settings))
        found = column_uses(self.settings, data, read)
        if not found:
            return ""
        shown = [
            Choice(column.name, _note(column), column.use or "", warn=column.use is None and column.is_text)
            for column in found[:SHOWN_COLUMNS]
        ]
        more = len(found) - len(shown)
        rest = f"{more:,} more columns are not shown; name them under “Other columns”. " if more > 0 else ""
        unread = sum(column.use is None for column in found)
        title = f"{unread:,} column{'s' * (unread != 1)} not used" if unread else "Other columns"
        return choices_html(title, shown, _USES, rest + _USES_HELP)

    def use_columns(self, extra: str, changes: Any) -> str:
        """Return the form's lines of other columns with the changes of the list."""
        if not isinstance(changes, dict):
            raise StudioError(f"Expected an object of column and use (given: {str(changes)[:80]!r}).")
        uses = Reading(format="text", extra=extra).extra | changes
        return _lines({name: use for name, use in uses.items() if use})

    # For programs

    def about(self, state: dict) -> dict[str, Any]:
        """Report how the chosen data set is read: evidence or question, candidates, unused columns, notes, problems."""
        lens = lens_of(state)
        if not lens.dataset:
            raise StudioError("No data set is chosen. Choose one first: /choose.")
        data = lens.data(self.settings)
        found: Report = build_report(
            self.settings, data, parse_rows.parse_dataset(self.settings, data, lens.read_as(self.settings))
        )
        return json.loads(found.model_dump_json())


def _note(column: ColumnUse) -> str:
    rows = "" if column.rows is None else f"{column.rows:,} row{'s' * (column.rows != 1)}"
    kind = "" if column.is_text else "list or object" if column.kind == "nested" else column.kind
    return ", ".join(part for part in (rows, kind) if part)


def _lines(pairs: dict[str, str]) -> str:
    return "\n".join(f"{name} = {value}" for name, value in pairs.items())


@dataclass(frozen=True)
class ReadingWidgets:
    question: gr.Column
    words: gr.HTML
    choices: gr.Radio
    read_choice: gr.Button
    columns: gr.HTML
    box: gr.Accordion
    fields: dict[str, gr.components.Component]
    read: gr.Button
    report: gr.JSON


def build_reading_form() -> ReadingWidgets:
    with gr.Column(visible=False, elem_id="reading-question", elem_classes="qs-question") as question:
        gr.HTML("<h3>How should these rows be read?</h3>", padding=False, elem_classes="qs-title")
        words = gr.HTML(padding=False, elem_id="question-words")
        choices = gr.Radio([], label="Readings", show_label=False, container=False, elem_id="question-choices")
        read_choice = gr.Button("Read the rows this way", variant="primary", elem_id="read-choice")
    columns = build_choice_list("column-uses")
    with gr.Accordion("How the rows are read", open=False, elem_id="reading") as box:
        fields = _fields()
        read = gr.Button("Read the rows so", elem_id="read-again")
    return ReadingWidgets(question, words, choices, read_choice, columns, box, fields, read, gr.JSON(visible=False))


def _fields() -> dict[str, gr.components.Component]:
    titles = {name: field.title for name, field in Reading.model_fields.items()}
    with gr.Row(elem_classes="qs-ends"):
        fields: dict[str, gr.components.Component] = {
            "format": gr.Dropdown(
                _FORMATS, value=None, label=titles["format"], info=_ABOUT["format"], filterable=False,
                elem_id="field-format",
            ),
            "reasoning": gr.Dropdown(
                _REASONING, value="think", label=titles["reasoning"], info=_ABOUT["reasoning"], filterable=False,
                elem_id="field-reasoning",
            ),
        }  # fmt: skip
    with gr.Row(elem_classes="qs-ends"):
        for name in FIELDS[2:]:
            fields[name] = gr.Textbox(
                label=titles[name], info=_ABOUT[name], lines=3, max_lines=8, elem_id=f"field-{name}",
                visible=name not in ("prompt", "labels"), min_width=240,
            )  # fmt: skip
    return fields
