"""HTML of one run: its status, its latest metrics, its warnings, and what was decided for it."""

from core.runs import alerts
from core.runs.metrics_series import Timeline
from core.runs.progress import Progress, duration
from core.runs.store import ACTIVE, Run, RunState
from studio.html import render


def status_html(state: RunState, progress: Progress) -> str:
    """Return the status badge, the progress bar with the time left, and the cause if the run ended early."""
    text = f"step {progress.step} of {progress.total}" if progress.total else progress.stage or "starting the worker"
    if state.status == "queued":
        text = "waiting for the runs before it"
    elif state.status in ACTIVE and progress.seconds_left is not None:
        text += f", about {duration(progress.seconds_left)} left"
    elif state.status in ACTIVE and progress.total:
        # The total is known before the first step ends; until then the held-out rows are evaluated.
        text += ": evaluating the base model"
    elif state.ended:
        text += f", {duration(progress.seconds)} of training"
    return render(
        "train/status", status=state.status, text=text, share=progress.share, cause=state.cause, warnings=state.warnings
    )


def _number(value: float | str | None, form: str) -> str:
    """Format a metric; a loss that is not finite is stored as text, such as "nan"."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else format(value, form)


def tiles_html(progress: Progress) -> str:
    """Return the latest metrics as tiles, with the change of the held-out loss against the base model."""
    base, held_out, change = progress.base_loss, progress.held_out_loss, ""
    if isinstance(base, float) and isinstance(held_out, float) and held_out != base:
        change = f" ({held_out / base - 1:+.0%} against base)"
    tiles = [
        (_number(progress.loss, ".3f"), "loss"),
        (_number(held_out, ".3f"), f"held-out loss{change}"),
        (_number(progress.learning_rate, ".2e"), "learning rate"),
        (_number(progress.tokens_per_second, ",.0f"), "tokens/s"),
        (f"{progress.step} / {progress.total}" if progress.total else "–", "step"),
    ]
    return render("train/tiles", tiles=tiles)


def alerts_html(timeline: Timeline, progress: Progress) -> str:
    """Return the warnings about the course of the loss; empty if there are none."""
    return render("train/alerts", alerts=alerts.alerts(timeline, progress.total))


def notes_html(run: Run, progress: Progress) -> str:
    """Return the run's label, its rows, the decisions that were made for it with their reasons, and its versions."""
    subset, label = run.subset(), run.label()
    lines = [subset.describe()] if subset else []
    if prepared := progress.prepared:
        lines.append(
            f"{prepared.rows:,} rows, {prepared.tokens:,} tokens per epoch, of which "
            f"{prepared.answer_tokens:,} carry loss; {prepared.trainable:,} adapter weights; "
            f"{prepared.template}."
        )
        if prepared.truncated:
            lines.append(f"{prepared.truncated:,} rows are longer than the maximum length and were truncated.")
        lines += [f"{count:,} rows left out: {reason}." for reason, count in prepared.left_out.items()]
        lines += prepared.choices
        # Runs of earlier versions have no provenance.
        if provenance := prepared.lineage:
            packages = ", ".join(f"{name} {version}" for name, version in provenance.packages.items())
            lines.append(f"Made with code {provenance.code}, {packages}; on {provenance.hardware}.")
    return render("train/notes", title=run.title, label=label, lines=lines)
