"""Curves over steps: one series or several, as a frame with columns step, value and series."""

import math

import gradio as gr
import pandas as pd

COLUMNS = ["step", "value", "series"]


def build_curve_plot(title: str, colours: dict[str, str], height: int = 300, elem_id: str | None = None) -> gr.LinePlot:
    return gr.LinePlot(
        curve_frame([]),
        x="step",
        y="value",
        color="series",
        color_map=colours,
        x_title="step",
        y_title=title,
        color_title=" ",
        title=title,
        height=height,
        show_label=False,
        buttons=["fullscreen"],
        elem_id=elem_id,
    )


def curve_frame(points: list[tuple[float, float, str]]) -> pd.DataFrame:
    """Points (step, value, series) as a plot reads them. One that is no number (NaN, inf) is left out, not 0."""
    frame = pd.DataFrame(points, columns=COLUMNS)
    frame["value"] = pd.to_numeric(frame["value"], errors="coerce").replace([math.inf, -math.inf], math.nan)
    # the types must be right in an empty frame, too: the plot keeps the axes of what it drew first
    return frame.astype({"step": float, "value": float, "series": str}).dropna()
