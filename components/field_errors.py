"""Errors at the fields of a form: a red border, and a sentence under the field.

The component itself shows nothing. Its value names the fields and their elements, by default those of
`components.model_form`. The script marks them, sets `aria-invalid`, and scrolls to the first and focuses it.
A mark goes when the user edits its field. With `focus`, a field that is still hidden is marked as soon as the page
shows it, if that is within three seconds.
"""

import time
from collections.abc import Mapping
from typing import Any, Literal

from components.html import read_static
from components.model_form import field_id
from components.page_html import PageHTML

CSS = read_static("field_errors.css")


def build_field_errors(elem_id: str) -> PageHTML:
    """Build the component in the open layout."""
    return PageHTML(
        field_errors("", {}), html_template="<span></span>", js_on_load=read_static("field_errors.js"), elem_id=elem_id,
        padding=False,
    )  # fmt: skip


def field_errors(
    form: str,
    errors: Mapping[str, str],
    level: Literal["problem", "warning"] = "problem",
    focus: bool = True,
    elements: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return a value of the component.

    Args:
        form: Name of the form, as in `components.model_form`.
        errors: Sentences by field name, in the order of the form; fields that are left out lose their marks.
        level: Whether the values are refused, or accepted with a warning.
        focus: Whether the page scrolls to the first field and focuses it; without it, nothing moves.
        elements: Element ids of fields that `components.model_form` did not build.
    """
    ids = {name: field_id(form, name) for name in errors} | dict(elements or {})
    fields = [{"name": name, "element": ids[name], "text": text} for name, text in errors.items()]
    # With the time, equal errors of two clicks are two values, so that the second click focuses the field again.
    return {"fields": fields, "level": level, "focus": focus and bool(fields), "at": time.time()}
