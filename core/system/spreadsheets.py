"""Text from outside in files that people open in a spreadsheet, which would run it as a formula."""

from collections.abc import Mapping
from typing import Any

# OWASP, "CSV Injection": spreadsheets may run a cell that begins with one of these as a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def as_text(text: str) -> str:
    """Return a text that no spreadsheet runs: with an apostrophe before it if it begins like a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def as_text_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose names and texts no spreadsheet runs; numbers, also negative ones, stay numbers."""
    return {as_text(name): as_text(value) if isinstance(value, str) else value for name, value in row.items()}
