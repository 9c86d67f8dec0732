"""Columns of the board beside its metrics: the settings and the steps of the recipe that differ between its runs."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from core.data.formats import Reading, get_format
from core.data.recipe import Recipe
from core.data.view import View
from core.errors import StudioError
from core.evaluate.board import PARENT, TREE, BoardRow, gain
from core.evaluate.metrics import METRICS
from core.runs.comparison import SETTING, names_that_differ
from core.runs.config import TITLES
from core.runs.names import format_value

RECIPE = "recipe."
SUBSET = "subset"
_NAMED_ROWS = 4


@dataclass(frozen=True)
class BoardColumn:
    """A setting or a step of the recipe.

    Attributes:
        name: Key for sorting.
        title: Heading.
        values: Text of each row.
    """

    name: str
    title: str
    values: list[str]


def columns_that_differ(rows: Sequence[BoardRow]) -> list[BoardColumn]:
    """Return the subset, the steps of its recipe and the settings, those with several values among the rows."""
    found = [BoardColumn(SUBSET, "Subset", [row.config.subset for row in rows])]
    for name, about in Recipe.model_fields.items():
        values = [getattr(row.subset.recipe, name) if row.subset else None for row in rows]
        texts = [_format_step(value) if row.subset else "unknown" for row, value in zip(rows, values, strict=True)]
        keys = [json.dumps(_plain(value), sort_keys=True) for value in values]
        if len(set(keys)) > len(set(texts)):
            # The texts are the same for other turns of the same edited rows; the hash tells them apart.
            texts = [f"{text} ({hashlib.sha256(key.encode()).hexdigest()[:4]})"
                     for text, key in zip(texts, keys, strict=True)]  # fmt: skip
        found.append(BoardColumn(RECIPE + name, about.title, texts))
    for name in names_that_differ([row.config for row in rows]):
        texts = [format_value(getattr(row.config, name)) for row in rows]
        found.append(BoardColumn(SETTING + name, TITLES[name], texts))
    return [column for column in found if len(set(column.values)) > 1]


def sort_rows(rows: Sequence[BoardRow], by: str = TREE, descending: bool = False) -> list[BoardRow]:
    """Return the rows in another order; those without a value come last in both directions.

    Args:
        rows: The rows of a board, in the order of the tree.
        by: "tree", "title", "created", a metric or "parent" (the best gain is the highest), or a column that differs.
        descending: The direction; the tree has only one.
    """
    if by == TREE:
        return list(rows)
    values = {row.lane: _sort_value(row, by) for row in rows}
    there = [row for row in rows if values[row.lane] is not None]
    rest = [row for row in rows if values[row.lane] is None]
    return [*sorted(there, key=lambda row: values[row.lane], reverse=descending), *rest]


def _sort_value(row: BoardRow, by: str) -> Any:
    if by in ("title", "created"):
        return getattr(row, by)
    if by == PARENT:
        return row.parent_gain
    if by in METRICS:
        return gain(METRICS[by], row.cells[by].difference) if by in row.cells else None
    if by.startswith(SETTING) and by.removeprefix(SETTING) in TITLES:
        return getattr(row.config, by.removeprefix(SETTING))
    if by.startswith(RECIPE) and by.removeprefix(RECIPE) in Recipe.model_fields:
        return _format_step(getattr(row.subset.recipe, by.removeprefix(RECIPE))) if row.subset else None
    if by == SUBSET:
        return row.config.subset
    raise StudioError(
        f"The board cannot be sorted by {by!r}. Choose 'tree', 'title', 'created', 'subset', 'parent', a metric, or "
        "a setting such as 'setting.lora_rank'."
    )


def _format_step(value: Any) -> str:
    """Return a field of a recipe as text: row numbers by the first of them, other lists by their length."""
    plain = _plain(value)
    if value is None:
        return "as detected"
    if isinstance(value, Reading):
        return get_format(value.format).label
    if isinstance(value, View):
        return value.describe() or "all rows"
    if isinstance(plain, (dict, list)):
        if not plain:
            return "none"
        if isinstance(plain, list) and not all(isinstance(number, int) for number in plain):
            return f"{len(plain):,} row{'s' * (len(plain) != 1)}"
        named = ", ".join(f"{int(number):,}" for number in list(plain)[:_NAMED_ROWS])
        return f"{'rows' if len(plain) > 1 else 'row'} {named}{', …' * (len(plain) > _NAMED_ROWS)}"
    return format_value(plain)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {str(key): _plain(found) for key, found in value.items()}
    return [_plain(found) for found in value] if isinstance(value, (list, tuple)) else value
