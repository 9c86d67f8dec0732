"""Choose how the rows of a dataset are read.

Three parts: a question where the format is not certain, the form with format and columns, and the list of columns that
the format does not read. A choice in the question or the list fills in the form; applying the form reads the rows.
"""

import json
from collections.abc import Iterator
from typing import Any

import gradio as gr

from components.choice_list import Choice, choices_html
from components.conversation import secondary_html
from components.model_form import non_empty_values
from core.data import delimiter, one_column, parse_rows, tasks
from core.data.check_reading import found_columns
from core.data.formats import Reading, get_format
from core.data.listing import of_first_rows
from core.data.report import (
    ColumnUse,
    Report,
    build_report,
    candidates,
    check_reading,
    column_names,
    column_uses,
    join_names,
    label_codes,
)
from core.data.table import Dataset
from core.errors import StudioError
from core.settings import Settings
from core.system.counting import counted
from core.system.jobs import Job, Jobs
from core.system.markdown import plain
from studio.data.applied_reading import READ, show_applied, take_applied
from studio.data.page_state import PageState, State, parse_state
from studio.data.reading_widgets import FIELD_HELP, FORM_TITLE
from studio.job_progress import follow

MAX_LISTED_COLUMNS = 20
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


def reading_of(values: dict[str, Any]) -> Reading:
    """Return the reading that the form's values describe.

    The form lists every placeholder and every numbered label; those left empty stay in the rows as they are.

    Raises:
        pydantic.ValidationError: A value is invalid.
    """
    reading = Reading(**non_empty_values(values))
    reading.placeholders = {name: text for name, text in reading.placeholders.items() if text}
    reading.labels = {name: text for name, text in reading.labels.items() if text}
    return reading


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
            "runner_up": "",
            "split_row": gr.update(visible=False),
        }
        if not page.dataset:
            return hidden
        data = page.find_dataset(self.settings)
        if page.effective_reading(self.settings).format != "undecided":
            about = self._report(page)
            names = [*(column.name for column in data.columns), *data.nested]
            columns = page.effective_reading(self.settings).read_columns(names)
            named = ", ".join(name if name == slot else f"{name} → {slot}" for slot, name in columns.items())
            chosen = ", kept with the dataset" if about.chosen else ""
            line = f"{FORM_TITLE} {about.label}{chosen}: {named or about.evidence} · change"
            second = secondary_html(f"It could also be {about.runner_up}.") if about.runner_up else ""
            return {**hidden, "form_box": gr.update(label=line), "runner_up": second}
        choices = [
            (f"{one.label}: {of_first_rows(one.usable, one.rows)} usable", str(index))
            for index, one in enumerate(candidates(self.settings, data))
        ]
        text = f"{data.evidence[0].upper()}{data.evidence[1:]}. No row counts as usable until you choose."
        if not choices:
            text += " Choose a format and name its columns below."
        return {
            "question": gr.update(visible=True),
            "question_text": secondary_html(text),
            "choices": gr.update(choices=choices, value=None, visible=bool(choices)),
            "form_box": gr.update(label=f"{FORM_TITLE}: not decided", open=True),
            # Otherwise the value of the previous dataset would remain.
            "runner_up": "",
            **self._split_question(data),
        }

    def _split_question(self, data: Dataset) -> dict[str, Any]:
        """Return updates of the field that splits a table of one column, with a guess."""
        if not one_column.is_one_column(data.source, len(data.columns)):
            return {"split_row": gr.update(visible=False)}
        guess = delimiter.guess_delimiter(delimiter.first_lines(self.settings, data))
        return {"split_row": gr.update(visible=True), "characters": guess}

    def _report(self, page: PageState) -> Report:
        data = page.find_dataset(self.settings)
        parsed = parse_rows.parse_dataset(self.settings, data, page.effective_reading(self.settings))
        return build_report(self.settings, data, parsed)

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
        parsed = parse_rows.parse_dataset(self.settings, data, page.effective_reading(self.settings))
        placeholders = {**dict.fromkeys(parsed.placeholders, ""), **reading.placeholders}
        has_others = bool(parsed.unread or reading.extra or parsed.reading.format == "undecided")
        is_undecided, has_labels = reading.format == "undecided", reading.format == "label"
        return {
            "format": None if is_undecided else reading.format,
            "reasoning": reading.reasoning,
            "roles": gr.update(value=_lines(reading.roles), visible=get_format(reading.format).names_speakers),
            "columns": gr.update(value=_lines(reading.columns), info=self._columns_help(page, reading.format)),
            # Few datasets need these fields; they are hidden if they do not concern this one.
            "extra": gr.update(value=_lines(reading.extra), visible=has_others),
            "prompt": gr.update(value=reading.prompt, visible=has_labels),
            "labels": gr.update(value=self._label_lines(data, reading) if has_labels else "", visible=has_labels),
            "placeholders": gr.update(value=_lines(placeholders), visible=bool(placeholders)),
        }

    def _label_lines(self, data: Dataset, reading: Reading) -> str:
        """Return a line per named label, and one to fill in per number that stands for a label."""
        return _lines({**dict.fromkeys(label_codes(self.settings, data, reading), ""), **reading.labels})

    def show_format(self, state: State, form: str | None) -> dict[str, Any]:
        """Fill in the columns that were found for another format, and empty what it does not read.

        A hidden field with a value of its own would make the reading invalid for a reason that the page does not show.
        """
        page = parse_state(state)
        found = found_columns(page.find_dataset(self.settings), form) if page.dataset and form else {}
        shown = {"columns": gr.update(value=_lines(found), info=self._columns_help(page, form))}
        has_speakers = form is not None and get_format(form).names_speakers
        shown["roles"] = gr.update(visible=True) if has_speakers else gr.update(value="", visible=False)
        if form == "label":
            lines = self._label_lines(page.find_dataset(self.settings), Reading(format="label")) if page.dataset else ""
            return {**shown, "prompt": gr.update(visible=True), "labels": gr.update(value=lines, visible=True)}
        default = Reading.model_fields["prompt"].default
        return {
            **shown,
            "prompt": gr.update(value=default, visible=False),
            "labels": gr.update(value="", visible=False),
        }

    def _columns_help(self, page: PageState, form: str | None) -> str:
        """Return the help of the columns field: the parts of a format and the columns of the dataset."""
        slots = get_format(form).slots if form else {}
        sentences = [FIELD_HELP["columns"]]
        if slots:
            sentences.append(f"Parts: {', '.join(slots)}.")
        if page.dataset:
            names = column_names(self.settings, page.find_dataset(self.settings))
            # The page renders this help as Markdown.
            sentences.append(f"Columns: {plain(join_names(names))}.")
        return " ".join(sentences)

    def read_again(self, state: State, **values: Any) -> Iterator[dict[str, Any]]:
        """Read the rows as the form says; /describe_dataset reports what was not used."""
        page = parse_state(state)
        data = page.find_dataset(self.settings)
        if not values.get("format"):
            raise StudioError("No format is chosen. Choose one of the readings, or a format under “Read as”.")
        reading = reading_of(values)
        check_reading(data, reading)
        job = self.jobs.start(
            f"{READ}/{data.id}", f"Reading {data.source.name}", tasks.parse_dataset, self.settings, data, reading
        )

        def finish(done: Job) -> dict[str, Any]:
            show_applied(self.settings, done)
            # Without a usable row there is more to choose.
            return {**take_applied(state, done), "form_box": gr.update(open=not done.result.usable)}

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
        # The only other column of a subset is the number of the row in its source.
        if not found or data.source.kind == "subset":
            return ""
        listed = [
            Choice(column.name, _note(column), column.use or "", warn=column.use is None and column.is_text)
            for column in found[:MAX_LISTED_COLUMNS]
        ]
        more = len(found) - len(listed)
        columns = counted(more, "more column is", "more columns are")
        rest = f"{columns} not shown; name them under “Other columns”. " if more > 0 else ""
        unread = sum(column.use is None for column in found)
        title = f"{counted(unread, 'column')} not used" if unread else "Other columns"
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
            raise StudioError("No dataset is chosen. Choose one first: /choose_dataset.")
        return {"report": json.loads(self._report(page).model_dump_json())}


def _note(column: ColumnUse) -> str:
    """Return in how many rows a column is filled, and its kind unless it is text."""
    rows = "" if column.rows is None else counted(column.rows, "row")
    kind = "" if column.is_text else "list or object" if column.kind == "nested" else column.kind
    return ", ".join(part for part in (rows, kind) if part)


def _lines(pairs: dict[str, str]) -> str:
    return "\n".join(f"{name} = {value}" for name, value in pairs.items())
