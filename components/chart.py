"""Line chart over steps, tokens or time.

Axes, smoothing, zoom and hidden curves are state of the browser and stay when new points arrive; the points come from
the server. Events: `zoomed` (`low` and `high` in steps; None for all) and `picked` (`step`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.html import read_static, render

CSS = read_static("chart.css")
_JS = read_static("chart.js")


@dataclass(frozen=True)
class Curve:
    """One curve.

    Attributes:
        name: Shown in the legend.
        color: A CSS color.
        points: Rows of (step, tokens, seconds, value).
        dashed: Whether the line is dashed; a dashed curve is never smoothed.
    """

    name: str
    color: str
    points: Sequence[Sequence[float]]
    dashed: bool = False


def build_chart(elem_id: str, height: int = 300) -> gr.HTML:
    """Build an empty chart in the open layout.

    Args:
        elem_id: The chart's id in the page.
        height: Height of the plot, in CSS pixels.
    """
    html = render("chart", height=height)
    return gr.HTML(chart_value("", []), html_template=html, js_on_load=_JS, elem_id=elem_id, padding=False)


def chart_value(
    title: str, curves: Sequence[Curve], is_zoomed: bool = False, empty: str = "No points yet."
) -> dict[str, Any]:
    """Return the value of a chart's component.

    Args:
        title: Shown above the plot.
        curves: Plotted in this order.
        is_zoomed: Whether the curves are the part of a zoom only, so that the chart offers to show all.
        empty: Shown as long as no curve has a point.
    """
    series = [
        {"name": c.name, "color": c.color, "dashed": c.dashed, "points": [list(point) for point in c.points]}
        for c in curves
    ]
    return {"title": title, "series": series, "zoomed": is_zoomed, "empty": empty}
