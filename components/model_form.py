"""Form made from a pydantic model: one widget per field, with label, help, default and choices from the model."""

import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

import gradio as gr
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo


def field_id(form: str, name: str) -> str:
    """Return the id of a field's element: forms of one page may have fields of the same name."""
    return f"{form}-field-{name}"


def build_field(
    form: str, model: type[BaseModel], name: str, choices: list[tuple[str, str]] | None = None, **options: Any
) -> gr.components.Component:
    """Build the widget of one field in the open layout.

    Args:
        form: Name of the form, unique on the page.
        model: Declares the field.
        name: The field's name.
        choices: (label, value) pairs offered for a text field, where other values may still be typed, or those offered
            for a list of literals.
        options: Passed on to the widget.
    """
    field = model.model_fields[name]
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    common = {
        "value": default, "label": field.title or name, "info": field.description, "elem_id": field_id(form, name),
        **options,
    }  # fmt: skip
    kind = _plain_type(field)
    if get_origin(kind) is list and (names := get_args(get_args(kind)[0])):
        return gr.Dropdown(choices or list(names), multiselect=True, **common)
    if choices is not None:
        return gr.Dropdown(choices, allow_custom_value=True, filterable=True, **common)
    if get_origin(kind) is Literal:
        return gr.Dropdown(list(get_args(kind)), filterable=False, **common)
    if kind is bool:
        return gr.Checkbox(**common)
    if kind in (int, float):
        return gr.Number(precision=0 if kind is int else None, **common)
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return gr.Textbox(lines=extra.get("lines", 1), **common)


def build_fields(
    form: str, model: type[BaseModel], names: Iterable[str], choices: dict[str, list[tuple[str, str]]] | None = None
) -> dict[str, gr.components.Component]:
    """Build the widgets of several fields in the open layout.

    Args:
        form: Name of the form, unique on the page.
        model: Declares the fields.
        names: The fields' names, in their order on the page.
        choices: (label, value) pairs by field name, as for `build_field`.

    Returns:
        The widgets by field name.
    """
    return {name: build_field(form, model, name, (choices or {}).get(name)) for name in names}


def _plain_type(field: FieldInfo) -> Any:
    """Return the field's type without Optional, because a form shows None as an empty widget."""
    kind = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    return kind


def form_validator(
    model: type[BaseModel], describe: Callable[[str, Mapping[str, Any]], str]
) -> Callable[..., list[Any]]:
    """Return a validator for an event whose inputs are fields of `model`.

    It returns one `gr.validate` per input, in their order. A problem across fields belongs to no widget; the event
    itself reports it.

    Args:
        model: Declares the fields.
        describe: Returns the sentence for a field's title and an entry of `ValidationError.errors()`.
    """

    def validate(**values: Any) -> list[Any]:
        problems: dict[str, str] = {}
        try:
            model(**non_empty_values(values))
        except ValidationError as error:
            for problem in error.errors():
                if problem["loc"]:
                    name = str(problem["loc"][0])
                    problems[name] = describe(model.model_fields[name].title or name, problem)
        return [gr.validate(name not in problems, problems.get(name, "")) for name in values]

    return validate


def non_empty_values(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values without the empty ones: an empty widget means the model's default."""
    return {name: value for name, value in values.items() if value is not None and value != ""}
