"""A chart of curves over steps, tokens or time: axes, smoothing and zoom are the browser's, points the server's.

Listen to .zoomed (`value` with low and high in steps, None for all) and .picked (`value` with step).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

_JS = (Path(__file__).parent / "chart.js").read_text(encoding="utf-8")

CSS = """
.ch { border: 1px solid var(--border-color-primary); border-radius: 10px; padding: 8px 10px 4px; position: relative;
  background: var(--background-fill-primary); }
.ch-none .ch-plot::after { content: 'No points yet.'; display: block; padding: 30px; text-align: center;
  color: var(--body-text-color-subdued); }
.ch-head { display: flex; flex-wrap: wrap; gap: 4px 10px; align-items: center; font-size: 12.5px; }
.ch-title { font-weight: 650; font-size: 14px; margin-right: auto; }
.ch-legend { display: flex; flex-wrap: wrap; gap: 2px 10px; }
.ch-legend button { all: unset; cursor: pointer; display: inline-flex; align-items: center; gap: 5px; }
.ch-legend button.off { opacity: .45; text-decoration: line-through; }
.ch-legend i { width: 10px; height: 10px; border-radius: 2px; }
.ch-head label { display: inline-flex; align-items: center; gap: 4px; color: var(--body-text-color-subdued); }
.ch-head input, .ch-head select { accent-color: #0f9488; }
.ch-head select { background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary);
  border-radius: 6px; padding: 0 22px 0 6px; font-size: 12.5px; line-height: 20px; }
.ch-head input[type=range] { width: 70px; }
.ch-head button.ch-tool { all: unset; cursor: pointer; padding: 0 6px; border-radius: 6px; line-height: 20px;
  border: 1px solid var(--border-color-primary); }
.ch-head button.ch-tool[hidden] { display: none; }
.ch button:focus-visible, .ch svg:focus-visible { outline: 2px solid #0f9488; outline-offset: 1px; }
.ch-plot { position: relative; touch-action: pan-y; }
.ch-plot svg { display: block; cursor: crosshair; }
.ch-plot text { font-size: 11px; fill: var(--body-text-color-subdued); font-family: var(--font); }
.ch-plot .grid { stroke: var(--border-color-primary); stroke-opacity: .7; }
.ch-plot .curve { stroke-width: 1.8; stroke-linejoin: round; }
.ch-cursor { stroke: var(--body-text-color-subdued); stroke-dasharray: 2 3; }
.ch-drag { fill: #0f9488; fill-opacity: .12; }
.ch-tip { display: none; position: absolute; top: 6px; pointer-events: none; font-size: 12px; padding: 4px 8px;
  border-radius: 6px; background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary); }
"""
_TEMPLATE = """
<div class="ch ch-none" data-height="{height}">
  <div class="ch-head">
    <span class="ch-title"></span><span class="ch-legend"></span>
    <label>over <select name="axis" aria-label="What is along the chart"><option value="step">steps</option>
      <option value="tokens">tokens</option><option value="seconds">time</option></select></label>
    <label><input type="checkbox" name="logX">log x</label><label><input type="checkbox" name="logY">log y</label>
    <label title="Exponential moving average; the raw curve stays behind it">smooth
      <input type="range" name="smooth" min="0" max="0.98" step="0.02" value="{smooth}" aria-label="Smoothing"></label>
    <button type="button" class="ch-tool ch-reset" hidden>show all</button>
    <button type="button" class="ch-tool ch-png" title="Download as a picture">PNG</button>
  </div>
  <div class="ch-plot"></div>
</div>
"""


@dataclass(frozen=True)
class Curve:
    """One curve. Attributes: points: rows of (step, tokens, seconds, value); dashed: drawn so, and never smoothed."""

    name: str
    colour: str
    points: Sequence[Sequence[float]]
    dashed: bool = False


def build_chart(elem_id: str, height: int = 300) -> gr.HTML:
    return gr.HTML(
        chart_value("", []), html_template=_TEMPLATE.format(height=height, smooth=0), js_on_load=_JS, elem_id=elem_id,
        padding=False,
    )  # fmt: skip


def chart_value(title: str, curves: Sequence[Curve]) -> dict[str, Any]:
    """What the chart draws."""
    series = [
        {"name": c.name, "colour": c.colour, "dashed": c.dashed, "points": [list(point) for point in c.points]}
        for c in curves
    ]
    return {"title": title, "series": series}
