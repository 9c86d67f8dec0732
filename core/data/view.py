"""What of a data set is looked at: a search, filters and an order, as SQL with every value a parameter."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.data.parse_rows import fold_text
from core.errors import StudioError

Kind = Literal["integer", "number", "flag", "text"]


class Filter(BaseModel):
    """Rows whose `column` lies in a range or has one of some values.

    `low` belongs to the range and `high` does not, unless `closed`. A value of None stands for an empty cell. With
    `by_length`, the range is one of lengths of text in characters.
    """

    model_config = ConfigDict(extra="forbid")

    column: str
    low: float | None = None
    high: float | None = None
    closed: bool = False
    by_length: bool = False
    values: list[str | None] | None = None

    def describe(self) -> str:
        name = f"length of {self.column}" if self.by_length else self.column.replace("_", " ")
        if self.values is not None:
            return f"{name} is " + " or ".join("empty" if value is None else repr(value) for value in self.values)
        if self.low is not None and self.high is not None:
            return f"{name} from {self.low:g} to {'' if self.closed else 'below '}{self.high:g}"
        if self.low is not None:
            return f"{name} at least {self.low:g}"
        return f"{name} {'at most' if self.closed else 'below'} {self.high:g}"


class View(BaseModel):
    """Which rows, in which order."""

    model_config = ConfigDict(extra="forbid")

    search: str = Field("", title="Search", description="Any text, in any turn; case makes no difference.")
    filters: list[Filter] = Field(default_factory=list)
    sort: str = Field("", title="Sort by", description="A column; empty: the source's order.")
    descending: bool = False

    def describe(self) -> str:
        """What is chosen; empty when everything is."""
        said = [f.describe() for f in self.filters]
        return ", ".join([f"with {self.search!r} in them", *said] if self.search else said)

    def toggle(self, chosen: Filter) -> "View":
        """The view with `chosen` added, in the place of another on the same column, or taken away if it is there."""
        rest = [f for f in self.filters if f.column != chosen.column]
        added = [] if chosen in self.filters else [chosen]
        return self.model_copy(update={"filters": [*rest, *added]})


class ViewField(BaseModel):
    """A column that rows can be sorted and filtered by.

    Attributes:
        file: which of the data set's files holds it.
        sql: how it is written in a query.
        length: how the length of its text is written, when it is text.
    """

    name: str
    kind: Kind
    file: Literal["rows", "reading", "duplicates", "near", "lengths"]
    sql: str
    length: str = ""


Fields = dict[str, ViewField]


def quote_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def get_field(fields: Fields, name: str) -> ViewField:
    if name not in fields:
        known = ", ".join(fields)
        raise StudioError(f"There is no column {name!r} to sort or filter by. There are: {known}.")
    return fields[name]


def where_clause(view: View, fields: Fields) -> tuple[str, dict[str, Any], set[str]]:
    """The condition of a view, its parameters, and the files that it reads."""
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
        parts = [f"CAST({column.sql} AS VARCHAR) IN ({', '.join(f'${name}_{i}' for i in range(len(present)))})"] * bool(
            present
        )
        parts += [f"{column.sql} IS NULL"] * (None in chosen.values)
        return f"({' OR '.join(parts) or 'false'})", {f"{name}_{i}": value for i, value in enumerate(present)}
    measured = column.length if chosen.by_length else column.sql
    if not measured or (column.kind == "text" and not chosen.by_length):
        raise StudioError(f"The column {chosen.column!r} holds text: it has no range. Filter it by its values.")
    parts, values = [], {}
    if chosen.low is not None:
        parts.append(f"{measured} >= ${name}_low")
        values[f"{name}_low"] = chosen.low
    if chosen.high is not None:
        parts.append(f"{measured} {'<=' if chosen.closed else '<'} ${name}_high")
        values[f"{name}_high"] = chosen.high
    return f"({' AND '.join(parts) or 'true'})", values


def order_clause(view: View, fields: Fields) -> tuple[str, set[str]]:
    """The ORDER BY of a view, ties in the source's order, and the files that it reads."""
    if not view.sort:
        return "row", set()
    column = get_field(fields, view.sort)
    return f"{column.sql} {'DESC' if view.descending else 'ASC'} NULLS LAST, row", {column.file}
