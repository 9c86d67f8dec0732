"""Values that events carry, checked before anything is done with them: a program may send what no page does."""

import json
import math
from collections.abc import Sized
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction

from components.data_table import value_of
from core.errors import StudioError

_MAX_ROW = 2**62
_MAX_DIGITS = 15
_MAX_NAME_CHARACTERS = 2_000
# The page nests its values about five levels deep. Python, pydantic and Gradio descend into a value by calling
# themselves, and fail at some hundreds of levels.
MAX_DEPTH = 50
_SHOWN_CHARACTERS = 40
# Each entry of a list may cost a file or a query, and a page sends far fewer.
MAX_ENTRIES = 100
_MAX_JSON_CHARACTERS = 8_192


def check_depth(*values: Any) -> None:
    """Check that no value is nested too deeply.

    Raises:
        StudioError: A value is nested more than `MAX_DEPTH` levels deep.
    """
    level: list[Any] = list(values)
    # One level after the other instead of recursion.
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list, tuple))
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise StudioError(
        f"A value of this call is nested more than {MAX_DEPTH} levels deep. Send what docs/api.md lists, or reload the "
        "page."
    )


def check_count(values: Sized, what: str) -> None:
    """Check that a list is short enough for a handler that opens a file or asks a question per entry.

    Args:
        values: The list.
        what: What its entries are, for the message.

    Raises:
        StudioError: It has more than `MAX_ENTRIES` entries.
    """
    if len(values) > MAX_ENTRIES:
        raise StudioError(f"{len(values):,} {what} were chosen, and at most {MAX_ENTRIES} can be. Choose fewer.")


def stored_ids(text: Any) -> list[str]:
    """Return the ids in a browser's local storage, each once; empty if it holds anything else.

    Raises:
        StudioError: It is longer than any that the page stores, so parsing it may be slow.
    """
    if isinstance(text, str) and len(text) > _MAX_JSON_CHARACTERS:
        raise StudioError(
            f"The list of this browser's chats has {len(text):,} characters, and the page stores at most "
            f"{_MAX_JSON_CHARACTERS:,}. Delete this site's data in the browser, then reload the page."
        )
    try:
        found = json.loads(text or "[]")
    except (ValueError, TypeError, RecursionError):
        return []
    return list(dict.fromkeys(one for one in found if isinstance(one, str))) if isinstance(found, list) else []


def check_text(*values: Any) -> None:
    """Check that every text can be sent back: half of a surrogate pair has no UTF-8, and breaks the page's stream.

    Raises:
        StudioError: A text holds half of a surrogate pair.
    """
    pending = list(values)
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple)):
            pending += value
        elif isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                character = ascii(value[error.start])[1:-1]
                raise StudioError(
                    f"A text of this call contains {character}, which is half of a character. Remove it, and send the "
                    "text again."
                ) from error


def check_whole_numbers(function: BlockFunction, inputs: list[Any]) -> None:
    """Check that the fields of whole numbers hold no fractions: Gradio would round 1.5 to 2, and report nothing.

    Raises:
        StudioError: A field holds a fraction.
    """
    for field, value in zip(function.inputs, inputs, strict=False):
        if getattr(field, "precision", None) == 0 and isinstance(value, float) and not value.is_integer():
            raise StudioError(f"{field.label} must be a whole number (given: {value:g}). Type one without a fraction.")


def table_value(event: gr.EventData) -> Any:
    """Return the value that an event of a table carries: parsed if it is JSON, else the text.

    Raises:
        StudioError: The value is larger, or nested more deeply, than any that the page sends.
    """
    try:
        value = value_of(event)
    except ValueError as error:
        raise StudioError(f"The page never makes this call: {error}. Reload the page.") from error
    check_depth(value)
    # JSON within a text can hold what the text itself does not.
    check_text(value)
    return value


def parse_index(value: Any) -> int | None:
    """Return the index that a caller sent as a text or a number; None for anything else."""
    text = str(value)
    # Python takes digits of other scripts for digits, but cannot read all of them, nor thousands of digits.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


def row_number(event: gr.EventData) -> int:
    """Return the row number that an event of a table carries.

    Raises:
        StudioError: The event carries something else.
    """
    value = table_value(event)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MAX_ROW:
        raise StudioError(
            f"{str(value)[:_SHOWN_CHARACTERS]!r} is no row number. Reload the page and choose the row again."
        )
    return value


def name_of(event: gr.EventData) -> str:
    """Return the name that an event carries, such as that of a column or a run.

    Raises:
        StudioError: The event carries something else.
    """
    return names_of(event, "value")[0]


def names_of(event: gr.EventData, *fields: str) -> list[str]:
    """Return the names that an event carries in several fields; a name may be empty.

    Raises:
        StudioError: A field holds something else.
        AttributeError: The event lacks a field.
    """
    return [_checked_name(getattr(event, field)) for field in fields]


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or len(name) > _MAX_NAME_CHARACTERS:
        raise StudioError(
            f"{str(name)[:_SHOWN_CHARACTERS]!r} is no name of at most {_MAX_NAME_CHARACTERS:,} characters. "
            "Reload the page and choose again."
        )
    return name


def ticked_names(event: gr.EventData) -> list[str]:
    """Return the keys of all ticked rows that an event of a table carries, each once, in the order of the table.

    Raises:
        StudioError: They are no list of names, or too many.
        AttributeError: The event lacks them.
    """
    ticked = event.ticked
    if not isinstance(ticked, list):
        raise StudioError(f"{str(ticked)[:_SHOWN_CHARACTERS]!r} is no list of rows. Reload the page and tick again.")
    check_count(ticked, "rows")
    return list(dict.fromkeys(_checked_name(name) for name in ticked))


def step_range(event: gr.EventData) -> dict[str, float] | None:
    """Return the steps that a chart was zoomed to; None for all.

    Raises:
        StudioError: The event carries no two numbers.
    """
    if event.low is None:
        return None
    for step in (event.low, event.high):
        is_number = isinstance(step, (int, float)) and not isinstance(step, bool)
        if not is_number or not math.isfinite(step) or abs(step) > _MAX_ROW:
            raise StudioError(f"{str(step)[:_SHOWN_CHARACTERS]!r} is no step. Reload the page and zoom again.")
    return {"low": event.low, "high": event.high}


def check_queued(function: BlockFunction, event_id: str | None) -> None:
    """Refuse a call of a generator outside the queue: Gradio would run only its first part, and report success.

    Raises:
        StudioError: It has no id of the queue.
    """
    if event_id is None and function.types_generator:
        raise StudioError(
            "This call reports its progress, so it needs the queue. Call it with a client of Gradio, or POST to "
            f"/gradio_api/call/{function.api_name}."
        )
