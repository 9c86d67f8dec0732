"""Plots of a run as PNG files, for its report and its cards."""

from pathlib import Path
from typing import Any

from core.runs.metrics_series import HELD_OUT_COLOR, HELD_OUT_LOSS, LOSS_COLOR, METRIC_COLOR, METRIC_TITLES, Timeline

# Metrics that are plotted beside the loss.
METRICS = ("learning_rate", "grad_norm", "tokens_per_second")
LOSS_FILE, METRICS_FILE = "loss.png", "metrics.png"
LOSS_TITLE = "Loss and held-out loss over steps"
METRICS_TITLE = "Learning rate, gradient norm, tokens per second"
# A plot is about 1,000 pixels wide.
_MAX_POINTS = 4000


def plot_loss(timeline: Timeline, target: Any, last_step: int | None = None) -> bool:
    """Write the plot of the loss and the held-out loss, and return whether there is anything to plot.

    Args:
        timeline: The run's metrics.
        target: Path or binary stream of the PNG file.
        last_step: The last step that is plotted; None for all.
    """
    if not timeline.steps:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    for metric, color, style in (("loss", LOSS_COLOR, "-"), (HELD_OUT_LOSS, HELD_OUT_COLOR, "o--")):
        points = [p for p in timeline.curve(metric, max_points=_MAX_POINTS) if last_step is None or p[0] <= last_step]
        axes.plot([p[0] for p in points], [p[3] for p in points], style, color=color, label=metric, markersize=4)
    axes.set_xlabel("step")
    axes.legend(frameon=False)
    _frame(axes)
    figure.savefig(target, dpi=120, format="png")
    return True


def plot_metrics(timeline: Timeline, path: Path) -> None:
    """Write the plots of the other metrics, side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.4), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(METRICS)), METRICS, strict=True):
        points = timeline.curve(metric, max_points=_MAX_POINTS)
        axes.plot([p[0] for p in points], [p[3] for p in points], color=METRIC_COLOR)
        axes.set_title(METRIC_TITLES[metric], fontsize=10)
        _frame(axes)
    figure.savefig(path, dpi=120)


def _frame(axes: Any) -> None:
    axes.grid(alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
