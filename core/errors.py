"""StudioError: an error whose message the user can act on.

The message names the value, what was expected, and the next step. The page shows it unchanged; the command line prints
it and exits with code 2. Any other exception is a bug of the studio. Exceptions of libraries that stand for a user's
mistake (a mistyped model id, a file that is not JSON) are converted to StudioError where they are raised;
`core.hub.client` converts those of the Hub.
"""

import reprlib
from collections.abc import Callable

from pydantic import ValidationError

# Of a rejected value; the rest of a long or deeply nested one is shown as dots.
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 200
_SHOWN.maxlist = _SHOWN.maxtuple = 20


class StudioError(Exception):
    """Error with a message for the user."""


def sentences(error: ValidationError, name: Callable[[str], str] = str) -> str:
    """Return all problems of a pydantic error, one per line, each with the field and the rejected value.

    Args:
        error: The error.
        name: Returns the label of a field that the reader knows it by.
    """
    lines = []
    for problem in error.errors():
        field = name(str(problem["loc"][-1])) if problem["loc"] else "input"
        reason = problem["msg"].removeprefix("Value error, ")
        given = problem.get("input")
        shown = "" if isinstance(given, dict) else f" (given: {_SHOWN.repr(given)})"
        lines.append(f"{field}: {reason}{shown}.")
    return "\n".join(lines)
