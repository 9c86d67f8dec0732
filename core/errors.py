"""StudioError: an error whose message the user can act on.

The message names the value, what was expected, and the next step. The page shows it unchanged; the command line prints
it and exits with code 2. Any other exception is a bug of the studio. Exceptions of libraries that stand for a user's
mistake (a mistyped model id, a file that is not JSON) are converted to StudioError where they are raised;
`core.hub.client` converts those of the Hub.
"""

import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

# How a rejected value is shown; the rest of a long or deeply nested one is shown as dots.
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 200
_SHOWN.maxlist = _SHOWN.maxtuple = 20
# The limits above hold per list: 20 items on each of many levels would still be far too many.
_SHOWN.maxlevel = 3
_SHOWN_CHARACTERS = 500


class StudioError(Exception):
    """Error with a message for the user."""


def reason_of(error: Exception) -> str:
    """Return the message of a library's exception as a part of a sentence: on one line, and without a full stop.

    Of an error of the system, the words without its number and the path of this machine.
    """
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).rstrip(".")


# Predicates by pydantic's type of an error; the names in braces are filled in from the error's context.
_REASONS = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text",
    "string_too_long": "must have at most {max_length} characters",
    "literal_error": "must be {expected}",
    "missing": "is missing",
    "extra_forbidden": "is not known here",
}


def plain_reason(problem: Mapping[str, Any]) -> str:
    """Return what is wrong with a value, without pydantic's words.

    Args:
        problem: One entry of `ValidationError.errors()`.

    Returns:
        A predicate that follows the name of the field ("must be at least 1"), or a sentence without its full stop.
    """
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "string_too_short":
        least = context["min_length"]
        return "must not be empty" if least == 1 else f"must have at least {least} characters"
    if kind in _REASONS:
        # A bound of a float setting is 1.0 for pydantic, and 1 for a reader.
        return _REASONS[kind].format(**{key: f"{v:g}" if isinstance(v, float) else v for key, v in context.items()})
    return problem["msg"].removeprefix("Value error, ").replace("Input should ", "must ", 1)


def shorten_value(given: Any) -> str:
    """Return a rejected value as a message shows it."""
    try:
        shown = _SHOWN.repr(given)
    # Python converts no number of more than 4,300 digits to text.
    except ValueError:
        return f"a number of {given.bit_length():,} bits" if isinstance(given, int) else type(given).__name__
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"


def sentence(title: str, problem: Mapping[str, Any]) -> str:
    """Return one problem of a pydantic error as a sentence with the rejected value.

    Args:
        title: Label by which the reader knows the field.
        problem: One entry of `ValidationError.errors()`.
    """
    reason = plain_reason(problem)
    separator = "" if reason.startswith(("must ", "is ")) else ":"
    given = problem.get("input")
    # A whole configuration is no value that anybody entered.
    shown = "" if isinstance(given, (dict, BaseModel)) else f" (given: {shorten_value(given)})"
    return f"{title}{separator} {reason}{shown}."


def sentences(error: ValidationError, name: Callable[[str], str] = str) -> str:
    """Return all problems of a pydantic error, one per line, each with the field and the rejected value.

    Args:
        error: The error.
        name: Returns the label by which the reader knows a field.
    """
    lines = []
    for problem in error.errors():
        fields = fields_of(problem)
        lines.append(sentence(name(fields[-1]) if fields else "input", problem))
    return "\n".join(lines)


def fields_of(problem: Mapping[str, Any]) -> list[str]:
    """Return the fields that a problem is about: its location, or the "fields" of an error across fields."""
    return [str(part) for part in problem["loc"]] or list(problem.get("ctx", {}).get("fields", []))
