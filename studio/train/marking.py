"""Errors of the settings, shown at their fields.

`parse_config` refuses values with an `InvalidSettingsError`. If a handler in `marks_fields` raises it, the fields are
marked before the error ends the call: an exception carries no updates of its own. `studio.train.start` marks the fields
of a `FindingsError` of the preflight checks in the same way.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block
from pydantic import ValidationError

from components.field_errors import build_field_errors, field_errors
from components.page_html import PageHTML
from core.errors import StudioError, fields_of, sentence
from core.runs.config import TITLES, QLoRAConfig, applies, group_of
from studio.handlers import ShownError

# Name of the form, in the ids of its fields.
FORM = "train"

_NUMBERS = [name for name, field in QLoRAConfig.model_fields.items() if field.annotation in (int, float)]


class InvalidSettingsError(StudioError):
    """Settings that no run can have; the message names each with its group.

    Attributes:
        at_fields: A sentence by the name of the field at which the page shows it, in the order of the form.
    """

    def __init__(self, at_fields: Mapping[str, str], elsewhere: list[str]):
        places = {name: f" (under {group_of(name)})" for name in at_fields}
        lines = [text.replace(TITLES[name], TITLES[name] + places[name], 1) for name, text in at_fields.items()]
        super().__init__("\n".join([*lines, *elsewhere]))
        self.at_fields = dict(at_fields)


def parse_config(values: Mapping[str, Any]) -> QLoRAConfig:
    """Return the form's values as a configuration.

    A value that is invalid but has no effect with the others is replaced by its default.

    Args:
        values: Widget values by field name; None stands for an empty widget.

    Raises:
        InvalidSettingsError: Values are missing or invalid.
    """
    given = {name: "" if value is None else value for name, value in values.items()}
    defaults = {name: field.default for name, field in QLoRAConfig.model_fields.items()}
    known = defaults | {name: value for name, value in given.items() if name in defaults}
    try:
        return QLoRAConfig(**given)
    except ValidationError as error:
        problems = error.errors()
    without_effect = {n for p in problems for n in fields_of(p) if n in defaults and not applies(n, known)}
    if without_effect:
        return parse_config({name: value for name, value in values.items() if name not in without_effect})
    raise _as_invalid(problems, given)


def _as_invalid(problems: list[Any], given: Mapping[str, Any]) -> InvalidSettingsError:
    """Return pydantic's problems as an error with a sentence per field."""
    found: dict[str, str] = {}
    elsewhere = []
    for problem in problems:
        fields = fields_of(problem)
        name = fields[-1] if fields else "settings"
        if name not in TITLES:
            elsewhere.append(sentence(name, problem))
        elif name in _NUMBERS and given.get(name) == "":
            found[name] = f"{TITLES[name]} is empty. Enter a number, or choose the preset again."
        else:
            found[name] = sentence(TITLES[name], problem)
    return InvalidSettingsError({name: found[name] for name in TITLES if name in found}, elsewhere)


def still_invalid(marked: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
    """Return the marked fields that are invalid with the present values, with their sentences."""
    try:
        parse_config(values)
    except InvalidSettingsError as error:
        return {name: text for name, text in error.at_fields.items() if name in marked}
    return {}


def mark_left_field(marked: Mapping[str, str], **values: Any) -> dict[str, Any]:
    """Mark the invalid fields when the user leaves one, without moving the page or the focus.

    Args:
        marked: Sentences of the fields that are marked as invalid.
        **values: The form's values.
    """
    try:
        parse_config(values)
    except InvalidSettingsError as error:
        # Also with the same sentences: the page takes a mark away as soon as its field is edited.
        return {"field_errors": field_errors(FORM, error.at_fields, focus=False), "marked": error.at_fields}
    return mark({}) if marked else {}


@dataclass(frozen=True)
class MarkWidgets:
    """Widgets that mark fields.

    Attributes:
        errors: Shows the marks.
        marked: Sentences of the fields that are marked as invalid.
    """

    errors: PageHTML
    marked: gr.State

    @property
    def outputs(self) -> dict[str, Block]:
        """Return the components that `mark` and `marks_fields` update, by name."""
        return {"field_errors": self.errors, "marked": self.marked}


def build_marks() -> MarkWidgets:
    """Build the widgets in the open layout; they take no space."""
    return MarkWidgets(build_field_errors("field-errors"), gr.State({}))


def mark(at_fields: Mapping[str, str]) -> dict[str, Any]:
    """Return updates of `MarkWidgets.outputs` that mark these invalid fields and no others."""
    return {"field_errors": field_errors(FORM, at_fields), "marked": dict(at_fields)}


def marks_fields(handler: Callable[..., Any]) -> Callable[..., Iterator[dict[str, Any]]]:
    """Return a handler that also updates `MarkWidgets.outputs`: it marks invalid settings, or removes all marks.

    Args:
        handler: A function or generator function that may raise `InvalidSettingsError`.
    """

    @functools.wraps(handler)
    def marked(*args: Any, **values: Any) -> Iterator[dict[str, Any]]:
        try:
            if inspect.isgeneratorfunction(handler):
                yield from handler(*args, **values)
            else:
                yield {**mark({}), **(handler(*args, **values) or {})}
        except InvalidSettingsError as error:
            yield mark(error.at_fields)
            # A toast would only repeat what the fields say, but a value of no field has no other place.
            raise (ShownError(str(error)) if error.at_fields else error) from error

    return marked
