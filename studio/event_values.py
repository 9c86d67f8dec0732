"""Values that events carry, checked before anything is done with them: a program may send what no page does."""

import gradio as gr

from components.data_table import value_of
from core.errors import StudioError

_MAX_ROW = 2**62


def row_number(event: gr.EventData) -> int:
    """Return the row number that an event of a table carries.

    Raises:
        StudioError: The event carries something else.
    """
    value = value_of(event)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MAX_ROW:
        raise StudioError(f"{str(value)[:40]!r} is no row number. Reload the page and choose the row again.")
    return value
