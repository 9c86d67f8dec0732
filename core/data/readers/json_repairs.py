"""Lines that are nearly JSON: those that are certainly an object are read, for the others the next step is named."""

import ast
import json
import re
from typing import Any

from core.data.depth import is_too_deep

# `ast` needs many times the memory of the text.
_MAX_LITERAL_CHARACTERS = 2**20
# With the quotes of JSON around its first name, a line is rather JSON with an error.
_PYTHON = re.compile(r"\{\s*'")
# Comments of JavaScript and JSON5, behind which JSON goes on.
_COMMENT = re.compile(r"[\s,]*(?://|/\*|#)")
_CURLY = re.compile(r"[\[{\s]*[“”„]")
# Next steps by the beginning of the decoder's message.
_STEPS = {
    "Extra data": "put each object on a line of its own",
    "Invalid control character": r"write a line end or a tab inside a text as \n or \t",
    "Unterminated string": r"write a line end inside a text as \n, and a quote as \"",
    "Invalid \\escape": "double each backslash inside a text",
    "Illegal trailing comma": "remove the comma before the closing bracket",
}


def repair(text: str) -> tuple[dict[str, Any] | str, str] | None:
    """Return the object in a line that is not JSON, with a sentence about such lines; None if it is not certain.

    The object may be spelled by a text.

    Args:
        text: The line without surrounding spaces.
    """
    plain = text.removesuffix(",").rstrip()
    value = _json(plain) if plain != text else None
    if isinstance(value, dict) or (isinstance(value, str) and unwrap(value) is not None):
        return value, "lines end in a comma, as in a list; the commas are left out"
    if _PYTHON.match(plain) and isinstance(value := _literal(plain), dict):
        return value, "lines are written as Python writes a dict, not as JSON; they are read as such"
    return None


def unwrap(text: str) -> dict[str, Any] | None:
    """Return the object that a decoded text spells as JSON again, or None."""
    value = _json(text) if text.lstrip().startswith("{") else None
    return value if isinstance(value, dict) else None


def describe(text: str, message: str, at: int) -> str:
    """Return the trouble of a text that is not JSON, with the next step if one is known.

    Args:
        text: The text, or its beginning.
        message: The message of the decoder.
        at: Position of the error in the text.
    """
    trouble = f"is not JSON ({message})"
    if _PYTHON.match(text):
        return f"{trouble}; it looks like a Python dict: write each row with json.dumps"
    if _CURLY.match(text):
        return f'{trouble}; replace the curly quotes by straight ones (")'
    if is_comment(text[at:]):
        return f"{trouble}; remove the comments, which JSON does not have"
    if re.search(r",\s*[}\]]", text[max(0, at - 20) : at + 1]):
        return f"{trouble}; remove the comma before the closing bracket"
    step = next((step for begin, step in _STEPS.items() if message.startswith(begin)), "")
    return f"{trouble}; {step}" if step else trouble


def is_comment(text: str) -> bool:
    """Return whether a text begins with a comment, which JSON does not have."""
    return _COMMENT.match(text) is not None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _literal(text: str) -> Any:
    """Return a Python literal as JSON stores it, or None for other texts and for values that JSON has no form for."""
    if len(text) > _MAX_LITERAL_CHARACTERS:
        return None
    try:
        value = ast.literal_eval(text)
        return None if is_too_deep(value) else json.loads(json.dumps(value))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
