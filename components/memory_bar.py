"""Memory bar: the parts of a memory forecast as one stacked bar on the scale of the free memory."""

from collections.abc import Mapping

from markupsafe import Markup

from components.html import read_static, render

CSS = read_static("memory_bar.css")
_COLORS = ("#0f766e", "#5b7fd6", "#8b6fd6", "#c26a9b", "#e07b28", "#94a3b8", "#64748b")
_MIB, _GIB = 2**20, 2**30


def memory_html(parts: Mapping[str, float], free: float, text: str) -> Markup:
    """Return the bar with a legend.

    Args:
        parts: Bytes by name; parts of zero bytes are left out, and so is what follows the seventh part.
        free: Free memory in bytes. If the parts need more, the bar's scale is their sum, and the bar is marked.
        text: Shown above the bar.
    """
    total = sum(parts.values())
    # At least 1, so that the widths are defined if nothing is known.
    scale = max(total, free, 1.0)
    shown = [
        {"name": name, "size": _size(size), "width": f"{100 * size / scale:.2f}", "color": color}
        for (name, size), color in zip(parts.items(), _COLORS, strict=False)
        if size > 0
    ]
    return render("memory_bar", parts=shown, text=text, is_over=total > free)


def _size(value: float) -> str:
    return f"{value / _GIB:.1f} GiB" if value >= _GIB / 10 else f"{value / _MIB:.0f} MiB"
