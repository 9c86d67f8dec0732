"""Values of MongoDB's extended JSON, such as {"$oid": "64b7…"} and {"$numberInt": "3"}, as the values they stand for.

Only rows with such a value in one of their own fields are converted: objects of this form elsewhere, such as the
arguments of a tool that queries MongoDB, are text to learn.
"""

import re
from typing import Any

_INTEGER = re.compile(r"[+-]?\d{1,19}")
_NUMBER = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?")
_INTEGERS, _NUMBERS = ("$numberInt", "$numberLong"), ("$numberDouble", "$numberDecimal")
_TEXTS = ("$oid", "$date", "$symbol", "$uuid")
# Fields whose objects are written out as they are.
_KEPT_FIELDS = frozenset(
    ("arguments", "parameters", "tools", "functions", "tool_calls", "function_call", "input_schema")
)
NOTE = "values of MongoDB's extended JSON, such as {'$oid': …}, are read as plain values"


def plain_row(row: dict[str, Any]) -> dict[str, Any] | None:
    """Return a row with the values that its extended JSON stands for, or None if it holds none."""
    if not any(isinstance(value, dict) and len(value) == 1 and _plain(value) is not value for value in row.values()):
        return None
    return {name: _plain_inside(name, value) for name, value in row.items()}


def _plain_inside(name: str, value: Any) -> Any:
    if name in _KEPT_FIELDS:
        return value
    if isinstance(value, list):
        return [_plain_inside("", item) for item in value]
    if isinstance(value, dict):
        found = _plain(value)
        return found if found is not value else {key: _plain_inside(key, item) for key, item in value.items()}
    return value


def _plain(value: dict[str, Any]) -> Any:
    """Return the value for which an object stands; the object itself if it stands for none."""
    if len(value) != 1:
        return value
    key, inner = next(iter(value.items()))
    if key == "$date" and isinstance(inner, dict):
        return _plain(inner) if "$numberLong" in inner else value
    if key in _TEXTS and isinstance(inner, (str, int)):
        return inner
    if key in _INTEGERS and isinstance(inner, str) and _INTEGER.fullmatch(inner):
        return int(inner)
    if key in _NUMBERS and isinstance(inner, str):
        # "NaN" and "Infinity" stay texts, which JSON can hold.
        return float(inner) if _NUMBER.fullmatch(inner) else inner
    return value
