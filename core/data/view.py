"""Views of a dataset: a search, filters and an order, translated to SQL.

Column names are quoted, and every other value is passed as a query parameter, so no input of a user becomes SQL.
"""

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from core.data.parse_rows import fold_text
from core.errors import StudioError

Kind = Literal["integer", "number", "flag", "text"]
# Bounds of a view, far above those of the page, since every value is a parameter of each query of the table.
MAX_FILTERS = 20
MAX_FILTER_VALUES = 200
_Name = Annotated[str, StringConstraints(max_length=2_000)]
_Value = Annotated[str, StringConstraints(max_length=20_000)]


class Filter(BaseModel):
    """Condition on a column: a range of numbers or of lengths, or a set of values.

    Attributes:
        column: Name of the column.
        low: Lower limit, included; None for no limit.
        high: Upper limit, excluded unless `closed`; None for no limit.
        closed: Whether the upper limit is included.
        by_length: Whether the range is one of text lengths in characters.
        values: Accepted values instead of a range; None in it stands for an empty cell.
    """

    model_config = ConfigDict(extra="forbid")

    column: _Name
    low: float | None = None
    high: float | None = None
    closed: bool = False
    by_length: bool = False
    values: list[_Value | None] | None = Field(None, max_length=MAX_FILTER_VALUES)

    @model_validator(mode="after")
    def _has_condition(self) -> "Filter":
        if self.values is None and self.low is None and self.high is None:
            raise ValueError(f"the filter on {self.column!r} has no condition: give it a limit or values")
        return self

    def describe(self) -> str:
        """Return the condition in words."""
        name = f"length of {self.column}" if self.by_length else self.column.replace("_", " ")
        if self.values is not None:
            return f"{name} is " + " or ".join("empty" if value is None else repr(value) for value in self.values)
        if self.low is not None and self.high is not None:
            return f"{name} from {self.low:g} to {'' if self.closed else 'below '}{self.high:g}"
        if self.low is not None:
            return f"{name} at least {self.low:g}"
        return f"{name} {'at most' if self.closed else 'below'} {self.high:g}"


class View(BaseModel):
    """Search, filters and order of rows."""

    model_config = ConfigDict(extra="forbid")

    search: _Value = Field("", title="Search", description="Any text, in any turn; case makes no difference.")
    filters: list[Filter] = Field(default_factory=list, max_length=MAX_FILTERS)
    sort: _Name = Field("", title="Sort by", description="A column; empty: the source's order.")
    descending: bool = False

    def describe(self) -> str:
        """Return the search and the filters in words; "" if all rows are included."""
        parts = [f.describe() for f in self.filters]
        return ", ".join([f"with {self.search!r} in them", *parts] if self.search else parts)

    def without_columns(self, names: Collection[str]) -> "View":
        """Return the view without filters on some columns, and without an order by one of them."""
        filters = [f for f in self.filters if f.column not in names]
        return self.model_copy(update={"filters": filters, "sort": "" if self.sort in names else self.sort})

    def toggle(self, chosen: Filter) -> "View":
        """Return the view with a filter added in place of another on its column, or removed if it was there."""
        rest = [f for f in self.filters if f.column != chosen.column]
        added = [] if chosen in self.filters else [chosen]
        return self.model_copy(update={"filters": [*rest, *added]})


class ViewField(BaseModel):
    """Column by which rows can be sorted and filtered.

    Attributes:
        name: Name of the column.
        kind: Type of its values.
        file: File of the dataset that contains it.
        sql: SQL expression of its value.
        length: SQL expression of the length of its text; "" if it is not text.
    """

    name: str
    kind: Kind
    file: Literal["rows", "reading", "duplicates", "near", "lengths", "losses"]
    sql: str
    length: str = ""


Fields = dict[str, ViewField]


def quote_name(name: str) -> str:
    """Return a column name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def get_field(fields: Fields, name: str) -> ViewField:
    """Return a column by name.

    Raises:
        StudioError: There is no such column.
    """
    if name not in fields:
        known = ", ".join(fields)
        raise StudioError(f"There is no column {name!r} to sort or filter by. The columns are: {known}.")
    return fields[name]


def where_clause(view: View, fields: Fields) -> tuple[str, dict[str, Any], set[str]]:
    """Return the condition of a view, its parameters, and the files that it reads."""
    parts, values, files = [], {}, set()
    if view.search:
        parts.append("contains(reading.search, $search)")
        values["search"] = fold_text(view.search)
        files.add("reading")
    for number, chosen in enumerate(view.filters):
        column = get_field(fields, chosen.column)
        files.add(column.file)
        condition, given = _condition(chosen, column, f"f{number}")
        parts.append(condition)
        values |= given
    return " AND ".join(parts) or "true", values, files


def _condition(chosen: Filter, column: ViewField, name: str) -> tuple[str, dict[str, Any]]:
    if chosen.values is not None:
        present = [value for value in chosen.values if value is not None]
        parameters = ", ".join(f"${name}_{i}" for i in range(len(present)))
        parts = [f"CAST({column.sql} AS VARCHAR) IN ({parameters})"] if present else []
        if None in chosen.values:
            parts.append(f"{column.sql} IS NULL")
        return f"({' OR '.join(parts) or 'false'})", {f"{name}_{i}": value for i, value in enumerate(present)}
    measured = column.length if chosen.by_length else column.sql
    if not measured or (column.kind == "text" and not chosen.by_length):
        raise StudioError(f"The column {chosen.column!r} is text, which has no range. Filter it by its values.")
    parts, values = [], {}
    if chosen.low is not None:
        parts.append(f"{measured} >= ${name}_low")
        values[f"{name}_low"] = chosen.low
    if chosen.high is not None:
        parts.append(f"{measured} {'<=' if chosen.closed else '<'} ${name}_high")
        values[f"{name}_high"] = chosen.high
    return f"({' AND '.join(parts)})", values


def order_clause(view: View, fields: Fields) -> tuple[str, set[str]]:
    """Return the ORDER BY of a view, with ties in the order of the source, and the files that it reads."""
    if not view.sort:
        return "row", set()
    column = get_field(fields, view.sort)
    return f"{column.sql} {'DESC' if view.descending else 'ASC'} NULLS LAST, row", {column.file}
