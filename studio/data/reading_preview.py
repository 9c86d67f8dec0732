"""The first row as the values of the reading form would read it, before they are applied."""

from typing import Any

from pydantic import ValidationError

from components.conversation import chips_html, conversation_html, empty_html
from core.data.formats import UnusableRow, find_problem
from core.data.report import check_reading
from core.data.table import first_rows
from core.errors import StudioError, sentences
from core.settings import Settings
from studio.data.page_state import State, parse_state
from studio.data.reading_form import reading_of

_MAX_CHARACTERS = 400
# A half-typed value is no mistake yet, so what is wrong with it is shown here, and refused only when it is applied.
_NOT_YET = "Preview:"


def preview(settings: Settings, state: State, **values: Any) -> dict[str, Any]:
    """Return the first row as the form's values read it, or what is missing.

    Args:
        settings: The studio's settings.
        state: The page's state.
        values: The form's fields.
    """
    page = parse_state(state)
    if not page.dataset or not values.get("format"):
        return {"preview": empty_html("Choose a format to see the first row.")}
    data = page.find_dataset(settings)
    rows = first_rows(settings, data)
    if not rows:
        return {"preview": empty_html("None of the first rows can be read.")}
    try:
        reading = reading_of(values)
        check_reading(data, reading)
        messages = reading.read(rows[0], reading.find_marks(rows)).messages
        problem = find_problem(messages)
    except ValidationError as error:
        return {"preview": chips_html([(_NOT_YET, sentences(error), True)])}
    except (StudioError, UnusableRow) as error:
        return {"preview": chips_html([(_NOT_YET, str(error), True)])}
    title = chips_html(
        [("First row:", f"cannot be used: {problem}", True) if problem else ("First row:", "after Apply", False)]
    )
    return {"preview": "".join((title, conversation_html([_shortened(one) for one in messages])))}


def _shortened(message: dict[str, Any]) -> dict[str, Any]:
    text = message["content"]
    return message if len(text) <= _MAX_CHARACTERS else {**message, "content": f"{text[:_MAX_CHARACTERS]} …"}
