"""Curves: what is no number is not drawn, and a real 0 is."""

import math

import gradio as gr
from hypothesis import given, settings
from hypothesis import strategies as st

from components.curve_plot import COLUMNS, build_curve_plot, curve_frame


def drawn(points):
    frame = curve_frame(points)
    assert list(frame.columns) == COLUMNS
    rows = frame.itertuples(index=False, name=None)
    return [(step, value, series) for step, value, series in rows if not math.isnan(value)]


def test_nan_as_text_leaves_a_gap_and_zero_stays():
    points = [(1, 2.5, "loss"), (2, "nan", "loss"), (3, "NaN", "loss"), (4, 0.0, "loss"), (5, math.nan, "loss")]
    assert drawn(points) == [(1, 2.5, "loss"), (4, 0.0, "loss")]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**6),
            st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.just("nan"), st.just("NaN")),
            st.sampled_from(["loss", "held-out loss"]),
        )
    )
)
def test_every_number_is_drawn_as_it_is_and_nothing_else(points):
    assert drawn(points) == [point for point in points if not isinstance(point[1], str)]


def test_no_points_are_an_empty_frame_that_a_plot_can_show():
    assert drawn([]) == []
    plot = build_curve_plot("loss", {"loss": "#0f9488"})
    assert isinstance(plot, gr.LinePlot)
    assert (plot.x, plot.y, plot.color) == tuple(COLUMNS)


def test_a_plot_takes_the_frame():
    plot = build_curve_plot("loss", {"loss": "#0f9488"})
    sent = plot.postprocess(curve_frame([(1, 2.5, "loss"), (2, "nan", "loss"), (3, 0.0, "loss")]))
    assert [row for row in sent.data if row[1] is not None] == [[1, 2.5, "loss"], [3, 0.0, "loss"]]


def test_an_empty_frame_has_the_types_of_a_full_one():
    """The plot keeps the axes of what it drew first: text there would leave later numbers undrawn."""
    assert curve_frame([]).dtypes.astype(str).to_dict() == curve_frame([(1, 2.0, "loss")]).dtypes.astype(str).to_dict()
