"""Columns of the source that group the prompts of an evaluation: small sets of values, such as a topic or a label."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.data import parse_rows, subset, table
from core.errors import StudioError
from core.settings import Settings

MAX_VALUES = 20
MAX_COLUMNS = 30
_MAX_CHARACTERS = 60


class SourceColumns:
    """Collects the columns of the rows of prompts, and drops each one that has too many values.

    Attributes:
        left_out: Why a column cannot group the prompts, by its name.
        texts: Names of columns that hold the conversation. They may group the prompts, such as an answer that is a
            label; where they cannot, `notes` does not mention them.
    """

    def __init__(self, texts: Iterable[str] = ()):
        self.texts = set(texts)
        self.left_out: dict[str, str] = {}
        self._values: dict[str, dict[int, str]] = {}
        self._distinct: dict[str, set[str]] = {}

    def add(self, row: int, cells: Mapping[str, Any]) -> None:
        """Add the cells of a row; empty cells and nested values are no groups.

        Args:
            row: Its number in the source.
            cells: By column.
        """
        for name, value in cells.items():
            if name in self.left_out or (text := _category(value)) is None:
                continue
            self._values.setdefault(name, {})[row] = text
            distinct = self._distinct.setdefault(name, set())
            distinct.add(text)
            if len(text) > _MAX_CHARACTERS:
                self._leave_out(name, "long values")
            elif len(distinct) > MAX_VALUES:
                self._leave_out(name, f"more than {MAX_VALUES} values")

    def __bool__(self) -> bool:
        return bool(self._values)

    def _leave_out(self, name: str, reason: str) -> None:
        self.left_out[name] = reason
        self._values.pop(name, None)

    def finish(self) -> "SourceColumns":
        """Drop the columns that make no groups, and return self."""
        for name, values in list(self._values.items()):
            count = len(self._distinct[name])
            if count == 1:
                # All rows are one group, which is the whole.
                del self._values[name]
            elif 2 * count > len(values):
                self._leave_out(name, "nearly as many values as rows")
        for name in list(self._values)[MAX_COLUMNS:]:
            self._leave_out(name, f"more than {MAX_COLUMNS} such columns")
        return self

    def of_row(self, row: int) -> dict[str, str]:
        """Return the values of a row, by column."""
        return {name: values[row] for name, values in self._values.items() if row in values}

    def notes(self) -> list[str]:
        """Return sentences about the columns that group the prompts and those that cannot."""
        notes = [f"Results are grouped by {_join(self._values)}."] if self._values else []
        reasons = [f"{name} ({reason})" for name, reason in self.left_out.items() if name not in self.texts]
        if reasons:
            notes.append(f"Results are not grouped by: {', '.join(reasons)}.")
        return notes


def _join(names: Iterable[str]) -> str:
    names = list(names)
    return f"the column{'s' * (len(names) > 1)} {', '.join(names)}"


def _category(value: Any) -> str | None:
    """Return a cell as the label of a group; None for an empty cell or a nested value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return " ".join(value.split()) or None
    return repr(value) if isinstance(value, (int, float)) and value == value else None


def read_columns(settings: Settings, name: str, rows: set[int]) -> tuple[SourceColumns, list[str]]:
    """Return the columns of the dataset that a subset was created from, and sentences about them.

    Args:
        settings: The studio's settings.
        name: Name of the subset.
        rows: Numbers of the rows of the prompts.
    """
    recipe = subset.find(settings, name).recipe
    dataset = recipe.dataset
    try:
        data = table.find(settings, dataset)
    except StudioError:
        note = f"The dataset {dataset} is not open any more, so results are not grouped by its columns."
        return SourceColumns(), [note]
    names, wanted_rows = [column.name for column in data.columns], pa.array(sorted(rows), pa.int64())
    unread = parse_rows.parse_dataset(settings, data, recipe.reading or data.detected).unread
    columns = SourceColumns(set(names) - unread.keys())
    with pq.ParquetFile(table.folder(settings, dataset) / "rows.parquet") as file:
        for group in range(file.num_row_groups):
            numbers = file.read_row_group(group, ["row"])["row"]
            wanted = pc.is_in(numbers, value_set=wanted_rows)
            if not pc.any(wanted).as_py():
                continue
            # Texts are left out with the first rows, and not read again.
            left = [name for name in names if name not in columns.left_out]
            found = file.read_row_group(group, ["row", *(table.COLUMN_PREFIX + name for name in left)]).filter(wanted)
            for record in found.to_pylist():
                row = record.pop("row")
                columns.add(row, {name.removeprefix(table.COLUMN_PREFIX): value for name, value in record.items()})
    return columns.finish(), columns.notes()
