"""StudioError: a problem told so that a person can act on it.

The message names the value, what was expected, and the next step. The page shows it as it is, the command line
prints it and exits with 2. Any other exception is a defect of the studio. Foreign exceptions that stand for
something a person did (a mistyped model id, a file that is not JSON) are turned into a StudioError where they
arise; `core.hub.client` does so for the Hub's.
"""

from collections.abc import Callable

from pydantic import ValidationError


class StudioError(Exception):
    """A message fit to show the user, with the next step in it."""


def sentences(error: ValidationError, name: Callable[[str], str] = str) -> str:
    """All problems of a pydantic error, one line each: the field, what is wrong with it, the value given.

    Args:
        name: what the reader knows a field by.
    """
    lines = []
    for problem in error.errors():
        field = name(str(problem["loc"][-1])) if problem["loc"] else "input"
        reason = problem["msg"].removeprefix("Value error, ")
        given = problem.get("input")
        shown = "" if isinstance(given, dict) else f" (given: {given!r})"
        lines.append(f"{field}: {reason}{shown}.")
    return "\n".join(lines)
