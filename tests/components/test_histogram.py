"""Histograms as SVG: bars, two sets on one scale, and hostile titles."""

import re

from hypothesis import given
from hypothesis import strategies as st

from components.histogram import histogram_svg, legend_html
from tests.helpers.hostile_text import HOSTILE, ParsedHtml

COUNTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=12)


@given(counts=COUNTS, low=st.integers(0, 5), step=st.integers(1, 50), limit=st.none() | st.integers(0, 700))
def test_histogram_bars_match_edges_and_counts(counts, low, step, limit):
    edges = [low + step * i for i in range(len(counts) + 1)]
    shown = histogram_svg(edges, counts, limit=limit, unit="tokens")
    rects = re.findall(r'<rect class="a( past)?" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', shown)
    assert len(rects) == len(counts)
    most = max([*counts, 1])
    tallest = max(float(rect[4]) for rect in rects)
    for count, edge, (past, x, y, width, height) in zip(counts, edges, rects, strict=False):
        assert 0 <= float(x) <= float(x) + float(width) <= 421
        assert 0 <= float(y) <= 150
        assert bool(past) == (limit is not None and edge >= limit)
        assert abs(float(height) - tallest * count / most) < 0.2 or not tallest
    assert ('class="cut"' in shown) == (limit is not None and edges[0] < limit < edges[-1])


def test_histogram_of_two_sets_has_one_scale_and_a_legend():
    shown = histogram_svg([0, 1, 2], [4, 0], [0, 2])
    assert re.findall(r'class="(a|b)"[^>]*height="([\d.]+)"', shown) == [
        ("a", "116.0"), ("a", "0.0"), ("b", "0.0"), ("b", "58.0")
    ]  # fmt: skip
    assert ParsedHtml(legend_html(["one", "two"])).text == "onetwo"


@given(st.sampled_from(HOSTILE))
def test_histogram_hostile_titles_stay_text(text):
    assert {tag for tag, _ in ParsedHtml(legend_html([text])).tags} <= {"div", "span", "i"}
    tags = ParsedHtml(histogram_svg([0, 1], [1], unit=text, title=text)).tags
    assert {tag for tag, _ in tags} <= {"svg", "rect", "title", "line", "text"}
