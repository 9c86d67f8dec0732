"""Comparison of the files of one model in several GGUF types: a table, a picture, and which file is marked.

A file is good enough if the compared rows show hardly any difference from the model as trained. Either of two
conditions suffices (`Fidelity.is_alike`), and the page states them:

- the interval of its loss difference (95 %, paired over rows) contains 0, and its mean KL divergence is close;
- its grade is "same", by its KL divergence and next tokens. Its interval may then be so narrow that it excludes 0.

The smallest good file is marked.
"""

from io import BytesIO
from typing import TYPE_CHECKING, Any

from core.export.result import CLOSE_KL, SAME_KL, SAME_SHARE, ExportedType
from core.system.markdown import table
from core.system.sizes import format_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RULE = (
    f"the interval of its loss difference (95 %, paired over rows) contains 0 and its mean KL divergence is below "
    f"{CLOSE_KL:g}, or that divergence is below {SAME_KL:g} with at least {SAME_SHARE:.0%} equal next tokens"
)
HEAD = ["type", "size", "same next token", "KL, mean", "KL, 99th percentile", "loss difference (95 %)"]
_COLOR, _MARKED_COLOR = "#0f9488", "#d97706"
PICTURE = "types.png"


def find_smallest(types: list[ExportedType]) -> ExportedType | None:
    """Return the smallest good file, which is marked; None if none is good enough, or none was compared."""
    return min((one for one in types if one.fidelity and one.fidelity.is_alike), key=lambda one: one.size, default=None)


def choose(written: list[ExportedType]) -> ExportedType:
    """Return the marked file, or else the one that is closest to the model as trained, or else the largest."""
    closest = min(written, key=lambda one: (one.fidelity.mean_kl if one.fidelity else 0, -one.size))
    return find_smallest(written) or closest


def describe_choice(types: list[ExportedType]) -> str:
    """Return which file is marked and why, or why none is, as sentences for the user."""
    compared = [one for one in types if one.fidelity]
    if not compared:
        return "The files were not compared, so none is marked."
    if smallest := find_smallest(types):
        name = smallest.quantization
        return (
            f"{name} is the smallest file with hardly any difference from the model as trained on these rows: {RULE}."
        )
    if all(one.fidelity.difference is None for one in compared if one.fidelity):
        return "No file is marked: 20 compared rows are needed for an interval of the loss. Set Compared rows to 32."
    return (
        "No file is marked, because these rows show a difference between each and the model as trained. A file is "
        f"marked if {RULE}."
    )


def row(one: ExportedType) -> list[str]:
    """Return the cells of a file in the table under `HEAD`."""
    found = one.fidelity
    if found is None:
        return [one.quantization, format_size(one.size), "", "", "", ""]
    difference = f"{found.exported_loss - found.loss:+.4f}"
    if found.difference:
        difference += f" ({found.difference[0]:+.4f} to {found.difference[1]:+.4f})"
    return [
        one.quantization, format_size(one.size), f"{found.same_choice:.1%}", f"{found.mean_kl:.2g}",
        f"{found.high_kl:.2g}", difference,
    ]  # fmt: skip


def to_markdown(types: list[ExportedType]) -> str:
    """Return the table, the choice and the picture as Markdown."""
    smallest = find_smallest(types)
    rows = [[f"**{cell}**" if one is smallest and cell else cell for cell in row(one)] for one in by_size(types)]
    lines = ["## Files", "", *table(HEAD, rows), "", describe_choice(types)]
    if any(one.fidelity for one in types):
        lines += ["", f"![Size, KL divergence and loss of each type]({PICTURE})"]
    return "\n".join(lines)


def by_size(types: list[ExportedType]) -> list[ExportedType]:
    """Return the files, the largest first."""
    return sorted(types, key=lambda one: -one.size)


def picture(types: list[ExportedType]) -> bytes:
    """Return the picture as PNG: KL divergence and loss difference over the size of the file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    compared, smallest = [one for one in by_size(types) if one.fidelity], find_smallest(types)
    for one in compared:
        color, size = (_MARKED_COLOR if one is smallest else _COLOR), one.size / 2**20
        found: Any = one.fidelity
        left.plot(size, max(found.mean_kl, 1e-7), "o", color=color)
        difference = found.exported_loss - found.loss
        low, high = found.difference or (difference, difference)
        right.errorbar(
            size, difference, [[max(0, difference - low)], [max(0, high - difference)]], fmt="o", color=color
        )
        for axes, value in ((left, max(found.mean_kl, 1e-7)), (right, difference)):
            axes.annotate(one.quantization, (size, value), xytext=(5, 5), textcoords="offset points", fontsize=8)
    left.set_yscale("log")
    left.axhline(CLOSE_KL, color="gray", linestyle=":", linewidth=1)
    right.axhline(0, color="gray", linestyle=":", linewidth=1)
    for axes, title in ((left, "KL divergence, mean"), (right, "Loss, exported minus trained")):
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("size in MiB")
        _frame(axes)
    figure.savefig(png := BytesIO(), dpi=120)
    return png.getvalue()


def _frame(axes: "Axes") -> None:
    axes.grid(alpha=0.3)
    axes.margins(x=0.15, y=0.15)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
