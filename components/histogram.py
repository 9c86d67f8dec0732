"""Histograms as inline SVG: one or two sets of bars over the same edges, and a line at a limit."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from components.html import read_static, render

CSS = read_static("histogram.css")
# In units of the SVG's own coordinates; the page scales it to the width it has.
_WIDTH, _HEIGHT = 420, 150
_MARGIN, _BOTTOM, _TOP = 4, 20, 14
_BASE = _HEIGHT - _BOTTOM
# The colors of the classes a and b in histogram.css.
_COLORS = ("#0f9488", "#e07b28")


@dataclass(frozen=True)
class _Scale:
    """Maps values between the first and the last edge to x, and counts up to `largest` to heights."""

    first: int
    last: int
    largest: int

    def x(self, value: float) -> float:
        span = max(1, self.last - self.first)
        return _MARGIN + (value - self.first) / span * (_WIDTH - 2 * _MARGIN)

    def height(self, count: int) -> float:
        return count / self.largest * (_BASE - _TOP)


def histogram_svg(
    edges: Sequence[int],
    counts: Sequence[int],
    others: Sequence[int] = (),
    limit: int | None = None,
    unit: str = "",
    title: str = "",
    is_open: bool = False,
) -> Markup:
    """Return a histogram as SVG.

    Args:
        edges: Edges of the bars, ascending.
        counts: Rows per bar, one fewer than edges.
        others: A second set of counts, laid over the first on the same scale.
        limit: Position of a line; bars past it get another color.
        unit: Unit of the edges, for the texts.
        title: Title for screen readers.
        is_open: Whether the last bar also has values past the last edge.
    """
    scale = _Scale(edges[0], edges[-1], max([*counts, *others, 1]))
    return render(
        "histogram",
        width=_WIDTH,
        height=_HEIGHT,
        left=_MARGIN,
        base=_BASE,
        title=title,
        first=_bars(scale, edges, counts, limit, unit, is_open),
        second=_bars(scale, edges, others, limit, unit, is_open),
        ticks=_ticks(scale, is_open),
        limit=_limit_line(scale, limit) if limit is not None and edges[0] < limit < edges[-1] else None,
    )


def _bars(
    scale: _Scale, edges: Sequence[int], counts: Sequence[int], limit: int | None, unit: str, is_open: bool
) -> list[dict[str, str | bool]]:
    bars: list[dict[str, str | bool]] = []
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        height = scale.height(count)
        more = " and more" if is_open and high == edges[-1] else ""
        bars.append(
            {
                "x": f"{scale.x(low):.1f}",
                "y": f"{_BASE - height:.1f}",
                "width": f"{max(1.0, scale.x(high) - scale.x(low) - 1):.1f}",
                "height": f"{height:.1f}",
                "is_past": limit is not None and low >= limit,
                "text": f"{low:,} to {high:,}{more} {unit}: {count:,} row{'s' * (count != 1)}",
            }
        )
    return bars


def _ticks(scale: _Scale, is_open: bool) -> list[dict[str, str]]:
    middle = (scale.first + scale.last) // 2
    return [
        {
            "x": f"{scale.x(value):.1f}",
            "anchor": anchor,
            "text": f"{value:,}{'+' if is_open and value == scale.last else ''}",
        }
        for value, anchor in ((scale.first, "start"), (middle, "middle"), (scale.last, "end"))
    ]


def _limit_line(scale: _Scale, limit: int) -> dict[str, str]:
    """Return the line at a limit; its text is on the side that has more space."""
    x = scale.x(limit)
    offset, anchor = (-4, "end") if x > _WIDTH / 2 else (4, "start")
    return {"x": f"{x:.1f}", "text_x": f"{x + offset:.1f}", "anchor": anchor, "text": f"truncated at {limit:,}"}


def legend_html(names: Sequence[str]) -> Markup:
    """Return the names of the two sets beside their colors."""
    return render("histogram_legend", entries=list(zip(_COLORS, names, strict=False)))
