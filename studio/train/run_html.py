"""HTML of one run: its status, its latest metrics, its warnings, and what was decided for it."""

import time

from core.runs import alerts
from core.runs.metrics_series import Timeline
from core.runs.names import changes, format_changes
from core.runs.progress import RunProgress, duration
from core.runs.store import ACTIVE, Run, RunState
from core.system.counting import counted
from core.system.files import file_size, modified_ns
from studio.html import render

# Statuses of runs that did not end as the user wanted.
_BAD = ("failed", "interrupted", "unreadable")


def skeleton_html() -> str:
    """Return a placeholder that is shown until the page knows whether there is a run."""
    return render("train/skeleton")


def status_html(run: Run, state: RunState, progress: RunProgress) -> str:
    """Return the status badge, the progress bar with the time left, and the cause if the run ended early."""
    at, since = f"step {progress.step} of {progress.total}" if progress.total else "", 0.0
    if state.status == "queued":
        text = "Waiting for the runs before it"
    elif state.status in ACTIVE:
        doing, since = _activity(run, state, progress)
        text = f"{at}{': ' if doing else ''}{_lower_first(doing)}" if at else doing
        if state.status != "stopping" and not doing and progress.seconds_left is not None:
            text += f", about {duration(progress.seconds_left)} left"
        elif state.status == "stopping":
            text += _until_the_end(run, progress)
    elif at:
        text = f"{at}, {duration(progress.seconds)} of training"
    else:
        text = "Ended before the first step" if file_size(run.events_file) else "Never started"
    return render(
        "train/status", status=state.status, text=text, since=since, age=max(0.0, time.time() - since),
        share=progress.share, cause=state.cause, is_bad=state.status in _BAD,
        warnings=state.warnings,
    )  # fmt: skip


def _activity(run: Run, state: RunState, progress: RunProgress) -> tuple[str, float]:
    """Return what the worker of an active run does, and since when; empty and 0 while it computes steps.

    The time is 0, too, for what takes a moment only.
    """
    launched = modified_ns(run.folder / "state.json") / 1e9
    # Until the worker reports, a run that is resumed has the events of its last attempt only.
    if run.saved_state().status == "preparing" and progress.activity.since < launched:
        return "Starting the worker", launched
    if progress.activity.stage:
        return progress.activity.stage, progress.activity.since
    if progress.is_over:
        return "Writing the report", 0.0
    return ("", 0.0) if progress.step else ("Computing the first step", progress.activity.since)


def _until_the_end(run: Run, progress: RunProgress) -> str:
    """Return what a run that was asked to stop still does, by the times of the request and of its last step."""
    if progress.activity.stage.startswith("Downloading"):
        return "; it stops at once"
    # The worker reads the request at the end of each step.
    if progress.stepped * 1e9 <= modified_ns(run.stop_request):
        return f"; it stops after step {progress.step + 1} and saves"
    return "" if progress.is_over or progress.activity.stage.startswith("Saving") else "; then it saves and ends"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def format_number(value: float | str | None, form: str) -> str:
    """Format a metric; a loss that is not finite is stored as text, such as "nan"."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else format(value, form)


def _learning_rate(value: float | str | None) -> str:
    """Format a learning rate as people write it: "2e-3", "1.43e-3"."""
    mantissa, _, exponent = format_number(value, ".2e").partition("e")
    if not exponent:
        return mantissa
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}" if float(mantissa) else "0"


def tiles_html(progress: RunProgress) -> str:
    """Return the latest metrics as tiles, with the change of the held-out loss against the base model."""
    base, held_out, change = progress.base_loss, progress.held_out_loss, ""
    # A classifier begins with a head of random numbers, so its start is not what the base model can do.
    since = "the base" if progress.accuracy is None else "its start"
    if isinstance(base, float) and isinstance(held_out, float) and held_out != base:
        sides = ("below", "better") if held_out < base else ("above", "worse")
        change = f", {abs(held_out / base - 1):.0%} {sides[0]} {since}: {sides[1]}"
    tiles = [
        (format_number(progress.loss, ".3f"), "loss"),
        (format_number(held_out, ".3f"), f"held-out loss{change}"),
        *_classifier_tiles(progress),
        (_learning_rate(progress.learning_rate), "learning rate"),
        (format_number(progress.tokens_per_second, ",.0f"), "tokens/s"),
        (f"{progress.step} / {progress.total}" if progress.total else "–", "step"),
    ]
    return render("train/tiles", tiles=tiles)


def _classifier_tiles(progress: RunProgress) -> list[tuple[str, str]]:
    """Return accuracy and macro-F1 of a classifier; nothing for other runs."""
    if progress.accuracy is None:
        return []
    start = progress.base_accuracy
    change = f" ({format_number(start, '.1%')} at the start)" if progress.step else ""
    return [
        (format_number(progress.accuracy, ".1%"), f"held-out accuracy{change}"),
        (format_number(progress.macro_f1, ".1%"), "held-out macro-F1"),
    ]


def alerts_html(timeline: Timeline, progress: RunProgress) -> str:
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


def notes_html(run: Run, progress: RunProgress) -> str:
    """Return the run's rows, the decisions that were made for it with their reasons, its versions and its folder."""
    subset = run.subset()
    lines = _parent_lines(run) + ([subset.describe()] if subset else [])
    if prepared := progress.prepared:
        # The tokens of a classifier's texts carry no loss; its labels do.
        with_loss = f", of which {prepared.answer_tokens:,} carry loss" if prepared.answer_tokens else ""
        lines.append(
            f"{counted(prepared.rows, 'row')}, {counted(prepared.tokens, 'token')} per epoch{with_loss}; "
            f"{prepared.trainable:,} adapter weights; {prepared.template}."
        )
        if prepared.truncated:
            truncated = counted(prepared.truncated, "row was", "rows were")
            lines.append(f"{truncated} longer than the maximum length, and truncated.")
        lines += [f"{counted(count, 'row')} left out: {reason}." for reason, count in prepared.left_out.items()]
        lines += prepared.choices
        # Runs of earlier versions have no provenance.
        if provenance := prepared.lineage:
            packages = ", ".join(f"{name} {version}" for name, version in provenance.packages.items())
            lines.append(f"Made with code {provenance.code}, {packages}; on {provenance.hardware}.")
    return render("train/notes", lines=[*lines, f"Folder: runs/{run.id}"])
