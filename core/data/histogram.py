"""Histograms of a column over the rows of a view; each bar has the filter that a click applies."""

from typing import Literal

from pydantic import BaseModel

from core.data.listing import number_range
from core.data.rows import Rows
from core.data.view import Filter, View, ViewField, get_field, where_clause

BARS = 16
_MAX_VALUE_BARS = 12
_MAX_VALUE_CHARACTERS = 60


class Bar(BaseModel):
    """One bar of a histogram.

    Attributes:
        label: The value or the range in words.
        count: Number of rows.
        chosen: Filter that selects these rows.
    """

    label: str
    count: int
    chosen: Filter


class Histogram(BaseModel):
    """Distribution of the values of a column.

    Attributes:
        column: Name of the column.
        kind: Whether the bars are ranges of numbers, ranges of text lengths, or single values.
        bars: The bars.
        empty: Number of rows without a value.
    """

    column: str
    kind: Literal["numbers", "lengths", "values"]
    bars: list[Bar]
    empty: int = 0


def histogram(rows: Rows, column: str, view: View | None = None) -> Histogram:
    """Return the histogram of a column over the rows of a view.

    Filters on the column itself are ignored, so that the bars stay while one of them is selected.

    Args:
        rows: The dataset.
        column: Name of the column.
        view: Search and filters; None for all rows.

    Raises:
        StudioError: There is no such column.
    """
    view = view or View()
    others = view.model_copy(update={"filters": [f for f in view.filters if f.column != column]})
    chosen = get_field(rows.fields, column)
    if chosen.kind in ("text", "flag"):
        return _values(rows, chosen, others) or _numbers(rows, chosen, others, by_length=True)
    return _numbers(rows, chosen, others)


def _values(rows: Rows, column: ViewField, view: View) -> Histogram | None:
    """Return one bar per value if there are few values or the frequent ones cover most rows; None otherwise."""
    condition, values, files = where_clause(view, rows.fields)
    # Prompts and answers are texts even where a few of them repeat.
    if column.name in ("prompt", "answer"):
        return None
    found = rows.query(
        f"CAST({column.sql} AS VARCHAR) AS value, count(*) AS rows",
        files | {column.file},
        values,
        f"WHERE {condition} AND coalesce(length(CAST({column.sql} AS VARCHAR)), 0) <= {_MAX_VALUE_CHARACTERS} "
        f"GROUP BY value ORDER BY rows DESC, value LIMIT 200",
    ).fetchall()
    total = rows.count(view)
    bars = [(value, count) for value, count in found if value is not None]
    empty = sum(count for value, count in found if value is None)
    covered = sum(count for _, count in bars[:_MAX_VALUE_BARS])
    if not bars or (len(bars) > _MAX_VALUE_BARS and covered < 0.5 * (total - empty)) or covered + empty < 0.5 * total:
        return None
    shown = [
        Bar(label=value, count=count, chosen=Filter(column=column.name, values=[value]))
        for value, count in bars[:_MAX_VALUE_BARS]
    ]
    return Histogram(column=column.name, kind="values", bars=shown, empty=empty)


def _numbers(rows: Rows, column: ViewField, view: View, by_length: bool = False) -> Histogram:
    """Return bars of equal width up to the 99th percentile; the last bar includes all greater values."""
    measured = column.length if by_length else column.sql
    whole = by_length or column.kind == "integer"
    condition, values, files = where_clause(view, rows.fields)
    files = files | {column.file} | ({"reading"} if by_length else set())
    low, high, far, present, total = rows.query(
        f"min({measured}), max({measured}), approx_quantile({measured}, 0.99), count({measured}), count(*)",
        files, values, f"WHERE {condition} AND NOT coalesce(isinf(CAST({measured} AS DOUBLE)), false)",
    ).fetchone()  # fmt: skip
    kind = "lengths" if by_length else "numbers"
    if not present:
        return Histogram(column=column.name, kind=kind, bars=[], empty=total)
    low, high = float(low), float(high)
    last = high if high - low <= BARS or float(far) <= low else float(far)
    width = (last - low) / BARS or 1.0
    # Ranges of integers begin at integers.
    if whole:
        width = max(1.0, -(-(last - low + 1) // BARS))
    count = int(min(BARS, (last - low) // width + 1))
    found = dict(
        rows.query(
            f"CAST(least(floor(({measured} - $low) / $width), $last) AS INTEGER) AS bar, count(*)",
            files, {**values, "low": low, "width": width, "last": count - 1},
            f"WHERE {condition} AND {measured} IS NOT NULL GROUP BY bar",
        ).fetchall()
    )  # fmt: skip
    bars = [_bar(column.name, low + i * width, width, i + 1 == count, high, found.get(i, 0), whole, by_length)
            for i in range(count)]  # fmt: skip
    return Histogram(column=column.name, kind=kind, bars=bars, empty=total - present)


def _bar(name: str, low: float, width: float, last: bool, high: float, count: int, whole: bool, by_length: bool) -> Bar:
    end = high if last else low + width
    shown_end = end if last else end - 1 if whole else end
    label = number_range(_shown(low, whole), _shown(shown_end, whole))
    return Bar(
        label=label,
        count=count,
        chosen=Filter(column=name, low=low, high=end, closed=last, by_length=by_length),
    )


def format_number(number: float) -> str:
    """Return a number with four significant digits, or all digits of its integer part if it has more."""
    return f"{number:,.4g}" if abs(number) < 10_000 else f"{number:,.0f}"


def _shown(number: float, whole: bool) -> str:
    return f"{number:,.0f}" if whole else f"{number:,.3g}"
