"""What takes memory, as one stacked bar against what there is."""

import html
from collections.abc import Mapping

CSS = """
.mb { font-size: 12.5px; color: var(--body-text-color-subdued); }
.mb-bar { display: flex; height: 12px; border-radius: 6px; overflow: hidden; margin: 4px 0; position: relative;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-secondary); }
.mb-bar.over { border-color: var(--qs-bad); }
.mb-bar i { height: 100%; }
.mb-key { display: flex; flex-wrap: wrap; gap: 2px 12px; }
.mb-key i { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 4px; }
"""
_COLOURS = ("#0f766e", "#5b7fd6", "#8b6fd6", "#c26a9b", "#e07b28", "#94a3b8", "#64748b")


def memory_html(parts: Mapping[str, float], free: float, words: str) -> str:
    """A bar of `parts` (bytes by name) on the scale of `free`, or of their sum where that is more."""
    total = sum(parts.values())
    scale = max(total, free, 1.0)
    shown = [(name, size, colour) for (name, size), colour in zip(parts.items(), _COLOURS, strict=False) if size > 0]
    bars = "".join(
        f'<i style="width:{size / scale:.2%};background:{colour}" title="{html.escape(name)}"></i>'
        for name, size, colour in shown
    )
    key = "".join(
        f'<span><i style="background:{colour}"></i>{html.escape(name)} {_size(size)}</span>'
        for name, size, colour in shown
    )
    over = " over" if total > free else ""
    return (
        f'<div class="mb"><div>{html.escape(words)}</div><div class="mb-bar{over}" role="img" '
        f'aria-label="{html.escape(words, quote=True)}">{bars}</div><div class="mb-key">{key}</div></div>'
    )


def _size(value: float) -> str:
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 / 10 else f"{value / 2**20:.0f} MiB"
