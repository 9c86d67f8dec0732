"""HTML of one run: its status, its latest metrics, its warnings, and what was decided for it."""

from core.runs import alerts
from core.runs.metrics_series import Timeline
from core.runs.names import changes, format_changes
from core.runs.progress import Progress, duration
from core.runs.store import ACTIVE, Run, RunState
from core.system.files import modified_ns
from studio.html import render


def skeleton_html() -> str:
    """Return what stands in the place of a run until the page knows whether there is one."""
    return render("train/skeleton")


def status_html(run: Run, state: RunState, progress: Progress) -> str:
    """Return the status badge, the progress bar with the time left, and the cause if the run ended early."""
    text = f"step {progress.step} of {progress.total}" if progress.total else progress.stage or "starting the worker"
    if state.status == "queued":
        text = "waiting for the runs before it"
    elif state.status == "stopping":
        text = _stopping_text(run, progress)
    elif state.status in ACTIVE and progress.total and progress.stage:
        text += f": {progress.stage[0].lower()}{progress.stage[1:]}"
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


def _stopping_text(run: Run, progress: Progress) -> str:
    """Return what the worker still does before it ends, by the files of the run."""
    # The request ends the step in progress, so an event after it says that this step is done.
    if progress.step and modified_ns(run.events_file) > modified_ns(run.stop_request):
        return f"step {progress.step} is done, saving the checkpoint and the adapter"
    return f"finishing step {progress.step + 1}, then saving"


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


def label_html(run: Run) -> str:
    """Return the tags and the note that the user gave the run; empty if there are none."""
    return render("train/label", label=run.label())


def _parent_lines(run: Run) -> list[str]:
    if (parent := run.parent()) is None:
        return []
    changed = format_changes(changes(run.config(), parent.config))
    return [f"Copy of {parent.title} ({parent.run}): {', '.join(changed) or 'no setting differs'}."]


def notes_html(run: Run, progress: Progress) -> str:
    """Return the run's rows, the decisions that were made for it with their reasons, its versions and its folder."""
    subset = run.subset()
    lines = _parent_lines(run) + ([subset.describe()] if subset else [])
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
    return render("train/notes", lines=[*lines, f"Folder: runs/{run.id}"])
