"""The form "How the rows are read": the question where no format is sure, the format, its columns, and all others."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.conversation import chips_html
from components.model_form import given
from core.data import derive, formats
from core.data.derive import Derived
from core.data.formats import Reading, by_name
from core.data.table import Dataset
from core.errors import StudioError
from core.settings import Settings
from studio.data.lens import lens_of

_FORMATS = [(form.label, form.name) for form in formats.FORMATS if form.name != "undecided"]
# One widget for each use of a column that the format does not read, and the use it stands for in `Reading.extra`.
_USES = {"context_columns": "context", "system_columns": "system", "ignored_columns": "ignore"}
_SHOWN_NOTES = 6
_SHOWN_UNREAD = 12


def reading_of(values: dict[str, Any]) -> Reading:
    """Return the reading that the form's fields give.

    Raises:
        StudioError: no format is chosen.
        pydantic.ValidationError: a field does not fit.
    """
    if not values.get("format"):
        raise StudioError("No format is chosen. Choose a likely reading, or one under “Read as”.")
    extra = {column: use for name, use in _USES.items() for column in values.pop(name, None) or []}
    return Reading(**given(values), extra=extra)


def question_html(data: Dataset, read: Derived) -> str:
    """Return the question to be answered before any row can be used; "" where the format is known."""
    if read.reading.format != "undecided":
        return ""
    words = f"{data.evidence}, under “How the rows are read”. Until then no row counts as usable."
    return chips_html([("How are the rows read?", words[0].upper() + words[1:], True)])


def report_chips(data: Dataset, read: Derived) -> list[tuple[str, str, bool]]:
    """Return chips about the format, the columns that nothing reads, and what was changed on the way."""
    is_detected = read.reading == data.detected
    evidence = data.evidence if is_detected else "as you chose"
    chips = [(by_name(read.reading.format).label, evidence, False)] if read.reading.format != "undecided" else []
    if is_detected and data.runner_up:
        chips.append(("likeliest" if read.reading.format == "undecided" else "next likely", data.runner_up, False))
    if read.unread:
        names = list(read.unread)
        shown = ", ".join(f"{name} ({read.unread[name]:,} rows)" for name in names[:_SHOWN_UNREAD])
        more = f" and {len(names) - _SHOWN_UNREAD:,} more" if len(names) > _SHOWN_UNREAD else ""
        words = f"not used: {shown}{more}. Choose a use for them under “How the rows are read”"
        chips.append((f"{len(names):,} column{'s' * (len(names) != 1)}", words, True))
    chips += [(f"{count:,}", f"rows: {note}", False) for note, count in list(read.notes.items())[:_SHOWN_NOTES]]
    if len(read.notes) > _SHOWN_NOTES:
        chips.append((f"{len(read.notes) - _SHOWN_NOTES:,}", "more notes: python -m core data about", False))
    return chips


def form_values(settings: Settings, state: dict) -> list[Any]:
    """Return updates of the form's widgets, in the order of WIDGETS.

    Where no format is sure the fields hold the likeliest reading, so that one click takes it.
    """
    lens = lens_of(state)
    if not lens.dataset:
        return [gr.skip()] * len(WIDGETS)
    data, reading = lens.data(settings), lens.read_as(settings)
    found = derive.derive(settings, data, reading)
    is_undecided = reading.format == "undecided"
    shown = data.candidates[0] if is_undecided and data.candidates else reading
    likely = _likely_choices(data)
    chosen = next((text for _, text in likely if text == shown.model_dump_json()), None)
    values = {"likely": gr.update(choices=likely, value=chosen, visible=len(likely) > 1)} | _fields(data, shown)
    values["reasoning"] = reading.reasoning
    values["placeholders"] = _lines({**dict.fromkeys(found.placeholders, ""), **reading.placeholders})
    every = [column.name for column in data.columns] + data.nested
    others = every if is_undecided else [*found.unread, *(name for name in reading.extra if name not in found.unread)]
    for name, use in _USES.items():
        used = [column for column, chosen_use in reading.extra.items() if chosen_use == use]
        values[name] = gr.update(choices=others, value=used, visible=bool(others))
    return [values[name] for name in WIDGETS]


FILLED = ("format", "columns", "prompt", "labels")  # by a likely reading


def fill_in(settings: Settings, state: dict, likely: str | None) -> list[Any]:
    """Return updates of the fields in FILLED that hold one of the likely readings."""
    if not likely:
        return [gr.skip()] * len(FILLED)
    values = _fields(lens_of(state).data(settings), Reading.model_validate_json(likely))
    return [values[name] for name in FILLED]


def _fields(data: Dataset, reading: Reading) -> dict[str, Any]:
    is_label = reading.format == "label"
    return {
        "format": reading.format if reading.format != "undecided" else None,
        "columns": gr.update(value=_lines(reading.columns), info=_columns_help(reading, data)),
        "prompt": gr.update(value=reading.prompt, visible=is_label),
        "labels": gr.update(value=_lines(reading.labels), visible=is_label),
    }


def _likely_choices(data: Dataset) -> list[tuple[str, str]]:
    choices = []
    for reading in data.candidates:
        columns = ", ".join(f"{slot} = {name}" for slot, name in reading.columns.items())
        label = by_name(reading.format).label
        choices.append((f"{label}: {columns}" if columns else label, reading.model_dump_json()))
    return choices


def _columns_help(reading: Reading, data: Dataset) -> str:
    parts = ", ".join(by_name(reading.format).slots) or "none yet"
    names = [column.name for column in data.columns] + data.nested
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"{Reading.model_fields['columns'].description} Parts: {parts}. Columns: {shown}."


def _lines(pairs: dict[str, str]) -> str:
    return "\n".join(f"{name} = {value}" for name, value in pairs.items())


@dataclass(frozen=True)
class ReadingForm:
    """Attributes:
    widgets: by name, in the order of WIDGETS.
    read: the button that reads the rows as the form says.
    """

    widgets: dict[str, gr.components.Component]
    read: gr.Button


WIDGETS = ("likely", "format", "columns", *_USES, "reasoning", "prompt", "labels", "placeholders")


def build_reading_form() -> ReadingForm:
    """Build the form in the layout that is open."""
    about = {name: field.description for name, field in Reading.model_fields.items()}
    titles = {name: field.title for name, field in Reading.model_fields.items()}
    likely = gr.Dropdown(
        [], label="Likely readings", filterable=False,
        info="Formats that fit the first rows, the likeliest first. A choice fills the fields in.",
        visible=False, elem_id="field-likely",
    )  # fmt: skip
    with gr.Row():
        widgets: dict[str, gr.components.Component] = {
            "likely": likely,
            "format": gr.Dropdown(
                _FORMATS, label=titles["format"], info=about["format"], filterable=False, elem_id="field-format"
            ),
            "columns": _text("columns", titles, about),
        }
    with gr.Row():
        for name, label, info in (
            ("context_columns", "Put behind the question", "Columns that belong to what is asked."),
            ("system_columns", "Put into the system prompt", "Columns that say how to answer."),
            ("ignored_columns", "Leave out", "Columns that are not meant to be learned; no longer reported."),
        ):
            widgets[name] = gr.Dropdown(
                [], multiselect=True, label=label, info=info, visible=False, min_width=200, elem_id=f"field-{name}"
            )
    with gr.Row():
        choices = [("in <think> tags before the answer", "think"), ("left out", "leave out")]
        widgets["reasoning"] = gr.Dropdown(
            choices, label=titles["reasoning"], info=about["reasoning"], filterable=False, elem_id="field-reasoning"
        )
        for name in ("prompt", "labels", "placeholders"):
            widgets[name] = _text(name, titles, about, visible=name == "placeholders")
    return ReadingForm({name: widgets[name] for name in WIDGETS}, gr.Button("Read the rows", elem_id="read-again"))


def _text(name: str, titles: dict[str, Any], about: dict[str, Any], visible: bool = True) -> gr.Textbox:
    return gr.Textbox(
        label=titles[name], info=about[name], lines=3, max_lines=8, elem_id=f"field-{name}", visible=visible
    )
