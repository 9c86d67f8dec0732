"""A table of one page of rows, rendered on the server: histograms above the columns, rows to open and to tick.

A `gr.HTML` with events of its own. Each event's `gr.EventData` has the attribute `value`: the column to sort by, the
key of a row, or the value that the caller gave a bar or a filter.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from markupsafe import Markup

from components.highlight import excerpt, highlight
from components.html import read_static, render

CSS = read_static("data_table.css")
# Limit of an event's value; the largest that the page sends is a filter with one value of a cell.
_MAX_EVENT_CHARACTERS = 2**16


@dataclass(frozen=True)
class TableBar:
    """One bar of a column's histogram. A bar of no height cannot be clicked, unless it is on.

    Attributes:
        height: From 0 to 1.
        title: The tooltip.
        value: Sent when the bar is clicked.
        on: Whether the table is filtered by it.
    """

    height: float
    title: str
    value: str
    on: bool = False

    @property
    def percent(self) -> str:
        """Return the height as CSS takes it."""
        return f"{max(0.0, min(1.0, self.height)) * 100:.0f}"


@dataclass(frozen=True)
class TableColumn:
    """One column.

    Attributes:
        name: Sent when the table is to be sorted by it.
        title: The heading.
        numeric: Whether its cells are right-aligned.
        wide: Whether its cells are long texts, which take the width that is left.
        note: Small text below the heading.
        bars: The histogram above it.
        short: Whether its cells are a word or two that stay on one line.
    """

    name: str
    title: str
    numeric: bool = False
    wide: bool = False
    note: str = ""
    bars: Sequence[TableBar] = ()
    short: bool = False

    def cell_classes(self, row: "TableRow") -> str:
        """Return the CSS classes of this column's cell in a row."""
        classes = {"num": self.numeric, "wide": self.wide, "short": self.short, "warn": row.warn and self.wide}
        return " ".join(name for name, is_set in classes.items() if is_set)


@dataclass(frozen=True)
class TableRow:
    """One row.

    Attributes:
        key: Identifies the row in events.
        cells: Texts in the order of the columns.
        warn: Whether its long texts are shown as a warning.
    """

    key: int | str
    cells: Sequence[str]
    warn: bool = False


@dataclass(frozen=True)
class TablePage:
    """One page of a table.

    Attributes:
        columns: From left to right.
        rows: Rows of this page only.
        sort: Name of the column that the rows are sorted by.
        descending: Direction of the order.
        ticked: Keys of the ticked rows.
        opened: Key of the open row.
        filters: Text and value of each filter that is on.
        empty: Shown if there are no rows.
        clear: Title of a button below it, which sends `drop_filter` without a filter; empty for no button.
        plain: Whether rows can only be opened, not ticked or sorted; on a phone each is a card then.
        search: A text whose occurrences in long texts are highlighted.
    """

    columns: Sequence[TableColumn]
    rows: Sequence[TableRow]
    sort: str = ""
    descending: bool = False
    ticked: Collection[int | str] = field(default_factory=frozenset)
    opened: int | str | None = None
    filters: Sequence[tuple[str, str]] = ()
    empty: str = "No rows."
    clear: str = ""
    plain: bool = False
    search: str = ""

    @property
    def focus_key(self) -> int | str | None:
        """Return the key of the row that the Tab key reaches: the open one, or the first."""
        keys = [row.key for row in self.rows]
        return self.opened if self.opened in keys else next(iter(keys), None)

    def shown(self, text: str) -> str:
        """Return a long text with the occurrences of the search highlighted, the first of them in sight."""
        return highlight(excerpt(text, self.search), self.search)


def build_data_table(elem_id: str, detail: str, loading: str = "") -> gr.HTML:
    """Return the empty table with the events `sort_by`, `pick_bar`, `drop_filter`, `open_row`, `tick_row`, `step_row`.

    The arrow keys move between rows, and open them while one is open; beyond the page's ends they send `step_row` with
    1 or -1. Space ticks a row; `tick_row` also has `ticked`, the keys of all rows of the page that are ticked then.

    Args:
        elem_id: The table's id in the page.
        detail: Id of the element that shows an opened row; it is scrolled into view, or its drawer opens.
        loading: Shown until the first rows arrive.
    """
    first = render("text", css_class="qs-skeleton", direction="", text=loading) if loading else ""
    return gr.HTML(first, js_on_load=read_static("data_table.js"), elem_id=elem_id, padding=False, detail=detail)


def table_html(page: TablePage) -> Markup:
    """Return the table as HTML; every text in it is escaped."""
    return render("data_table", page=page)


def value_of(event: gr.EventData) -> Any:
    """Return the value that an event of the table carries: parsed if it is JSON, else the text.

    Raises:
        ValueError: The value is larger than any that the page sends.
    """
    if not isinstance(event.value, str):
        return event.value
    if len(event.value) > _MAX_EVENT_CHARACTERS:
        raise ValueError(f"the event has {len(event.value):,} characters, of at most {_MAX_EVENT_CHARACTERS:,}")
    try:
        return json.loads(event.value)
    except json.JSONDecodeError:
        return event.value
    # Python's parser descends into brackets by calling itself.
    except RecursionError as error:
        raise ValueError("the event is nested too deeply") from error
