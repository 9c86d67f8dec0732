"""Histograms as inline SVG: one or two sets of bars over the same edges, with a line where rows are cut off."""

import html
from collections.abc import Sequence

CSS = """
.qs-bars { width: 100%; height: auto; display: block; }
.qs-bars .a { fill: #0f9488; fill-opacity: .75; } .qs-bars .b { fill: #e07b28; fill-opacity: .55; }
.qs-bars .past { fill: #d97706; fill-opacity: .85; }
.qs-bars text { fill: var(--body-text-color-subdued); font-size: 11px; font-family: var(--font); }
.qs-bars line { stroke: var(--border-color-primary); } .qs-bars line.cut { stroke: var(--qs-warn); stroke-width: 1.5;
  stroke-dasharray: 4 3; }
.qs-bars text.cut { fill: var(--qs-warn); }
.qs-key { display: flex; gap: 14px; font-size: 12.5px; } .qs-key i { display: inline-block; width: 10px; height: 10px;
  border-radius: 2px; margin-right: 5px; }
"""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 420, 150, 4, 20, 14


def bars_svg(
    edges: Sequence[int],
    counts: Sequence[int],
    others: Sequence[int] = (),
    cut: int | None = None,
    unit: str = "",
    title: str = "",
) -> str:
    """Bars between `edges`; what lies past the last edge is in the last bar.

    Args:
        counts: the height of each bar, one fewer than edges.
        others: a second set, drawn over the first.
        cut: where a line is drawn; bars past it are coloured.
    """
    most = max([*counts, *others, 1])
    span = max(1, edges[-1] - edges[0])

    def x(value: float) -> float:
        return _LEFT + (value - edges[0]) / span * (_WIDTH - 2 * _LEFT)

    def drawn(heights: Sequence[int], kind: str) -> str:
        parts = []
        for low, high, count in zip(edges, edges[1:], heights, strict=False):
            tall = count / most * (_HEIGHT - _BOTTOM - _TOP)
            past = " past" if cut is not None and low >= cut else ""
            words = f"{low:,} to {high:,}{' and more' if high == edges[-1] else ''} {unit}: {count:,} rows"
            parts.append(
                f'<rect class="{kind}{past}" x="{x(low):.1f}" y="{_HEIGHT - _BOTTOM - tall:.1f}" '
                f'width="{max(1.0, x(high) - x(low) - 1):.1f}" height="{tall:.1f}"><title>{html.escape(words)}</title>'
                "</rect>"
            )
        return "".join(parts)

    base = _HEIGHT - _BOTTOM
    marks = f'<line x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{base}" y2="{base}"/>'
    for value, anchor in ((edges[0], "start"), ((edges[0] + edges[-1]) // 2, "middle"), (edges[-1], "end")):
        more = "+" if value == edges[-1] else ""
        marks += f'<text x="{x(value):.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{value:,}{more}</text>'
    if cut is not None and edges[0] < cut < edges[-1]:
        side, anchor = (-4, "end") if x(cut) > _WIDTH / 2 else (4, "start")
        marks += (
            f'<line class="cut" x1="{x(cut):.1f}" x2="{x(cut):.1f}" y1="2" y2="{base}"/>'
            f'<text class="cut" x="{x(cut) + side:.1f}" y="11" text-anchor="{anchor}">cut at {cut:,}</text>'
        )
    return (
        f'<svg class="qs-bars" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{html.escape(title, quote=True)}">'
        f"{drawn(counts, 'a')}{drawn(others, 'b')}{marks}</svg>"
    )


def key_html(names: Sequence[str]) -> str:
    """What the colours of two sets stand for."""
    colours = ("#0f9488", "#e07b28")
    parts = (
        f'<span><i style="background:{colour}"></i>{html.escape(name)}</span>'
        for colour, name in zip(colours, names, strict=False)
    )
    return f'<div class="qs-key">{"".join(parts)}</div>'
