"""A table of differences with their intervals: a row per measure, a bar per interval, and a line at no difference.

A `gr.HTML` with the event `pick_row`, whose `gr.EventData` has the row's key as `value`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import gradio as gr
from markupsafe import Markup

from components.html import read_static, render

CSS = read_static("interval_table.css")
_JS = read_static("interval_table.js")

Tone = Literal["better", "worse", "unclear"]


@dataclass(frozen=True)
class Interval:
    """A difference and its interval on a row's scale.

    A value on the right is better; if neither direction of the measure is better, it is higher.

    Attributes:
        value: The difference.
        low: Lower end of the interval.
        high: Upper end of the interval.
        extent: The scale goes from -extent to extent.
        is_judged: Whether the side of zero can be called better or worse. It cannot if neither direction of the measure
            is better, or if a test does not confirm the difference.
        text: The ends of the interval with their unit, as a tooltip.
    """

    value: float
    low: float
    high: float
    extent: float
    is_judged: bool = True
    text: str = ""

    def percent(self, value: float) -> float:
        """Return the position of a value on the scale, 0 to 100; beyond the scale, its end."""
        if not self.extent:
            return 50.0
        return 50 + 50 * max(-1.0, min(1.0, value / self.extent))

    @property
    def tone(self) -> Tone:
        """Return the side of zero that holds the whole interval; "unclear" if none does, or if it is not judged."""
        if not self.is_judged or self.low <= 0 <= self.high:
            return "unclear"
        return "better" if self.low > 0 else "worse"


@dataclass(frozen=True)
class IntervalRow:
    """One row.

    Attributes:
        key: Sent when the row is chosen; empty for a row that cannot be.
        title: Name of the measure or the group.
        cells: Texts of the columns between the title and the plot.
        interval: None for a row without a plot.
        note: Text in place of the plot, such as the reason why there is none, or below the title if there is one.
        is_main: Whether the row is emphasized.
        help: Explanation of the measure, as a tooltip.
        direction: Which values of the measure are better, below the title; empty if that needs no words.
    """

    key: str
    title: str
    cells: Sequence[str]
    interval: Interval | None = None
    note: str = ""
    is_main: bool = False
    help: str = ""
    direction: str = ""


@dataclass(frozen=True)
class IntervalTable:
    """The table.

    Attributes:
        columns: Titles of the first column and of the cells.
        rows: From top to bottom.
        left: Meaning of a bar on the left of the line.
        right: Meaning of a bar on the right of the line.
    """

    columns: Sequence[str]
    rows: Sequence[IntervalRow]
    left: str = "worse"
    right: str = "better"

    @property
    def is_judged(self) -> bool:
        """Return whether the right side is better, so that colors mean something."""
        return self.right == "better"


def build_interval_table(elem_id: str) -> gr.HTML:
    """Build an empty table in the open layout.

    Args:
        elem_id: The table's id in the page.
    """
    return gr.HTML("", js_on_load=_JS, elem_id=elem_id, padding=False)


def interval_table_html(table: IntervalTable) -> Markup:
    """Return the table as HTML; every text in it is escaped."""
    return render("interval_table", table=table)
