"""A run in HTML: its status, its figures, its warnings, what was decided for it."""

import html

from core.runs import alerts
from core.runs.metrics_series import Timeline
from core.runs.progress import Progress, duration
from core.runs.store import ACTIVE, Run, RunState


def status_html(run: Run, state: RunState, now: Progress) -> str:
    """Badge, progress bar with the time left, and the cause where something went wrong."""
    words = f"step {now.step} of {now.total}" if now.total else now.stage or "starting the worker"
    if state.status == "queued":
        words = "waits for the runs before it"
    elif state.status in ACTIVE and now.seconds_left is not None:
        words += f", about {duration(now.seconds_left)} left"
    elif state.status in ACTIVE and now.total:
        words += ": measuring the base model first"
    elif state.ended:
        words += f", {duration(now.seconds)} of training"
    cause = f'<div class="qs-cause">{html.escape(state.cause)}</div>' if state.cause else ""
    return (
        f'<div class="qs-status"><span class="qs-badge {state.status}">{state.status}</span>'
        f"<span>{html.escape(words)}</span>"
        f'<div class="qs-bar" role="progressbar" aria-valuenow="{now.share:.0%}" aria-label="progress">'
        f'<i style="width:{now.share:.1%}"></i></div>{cause}</div>'
    )


def _figure(value: float | str | None, form: str) -> str:
    if value is None:
        return "–"
    return html.escape(value) if isinstance(value, str) else format(value, form)


def tiles_html(now: Progress) -> str:
    change = ""
    if isinstance(now.base_loss, float) and isinstance(now.held_out_loss, float) and now.held_out_loss != now.base_loss:
        change = f" ({now.held_out_loss / now.base_loss - 1:+.0%} against base)"
    tiles = [
        (_figure(now.loss, ".3f"), "loss"),
        (_figure(now.held_out_loss, ".3f"), f"held-out loss{change}"),
        (_figure(now.learning_rate, ".2e"), "learning rate"),
        (_figure(now.tokens_per_second, ",.0f"), "tokens/s"),
        (f"{now.step} / {now.total}" if now.total else "–", "step"),
    ]
    parts = (f'<div class="qs-tile"><b>{value}</b><small>{label}</small></div>' for value, label in tiles)
    return f'<div class="qs-tiles">{"".join(parts)}</div>'


def alerts_html(timeline: Timeline, now: Progress) -> str:
    return "".join(
        f'<div class="qs-alert" role="alert">⚠ {html.escape(alert.text)}</div>'
        for alert in alerts.alerts(timeline, now.total)
    )


def notes_html(run: Run, now: Progress) -> str:
    """What the run trains on, what was decided for it, each with its reason, and what it was made with."""
    trained_on, label = run.subset(), run.label()
    lines = [trained_on.describe()] if trained_on else []
    told = now.prepared
    if told:
        lines.append(
            f"{told.rows:,} rows, {told.tokens:,} tokens a pass, {told.answer_tokens:,} of them learned; "
            f"{told.trainable:,} adapter weights; {told.template}."
        )
        if told.truncated:
            lines.append(f"{told.truncated:,} rows are longer than the maximum length and were cut.")
        lines += [f"{count:,} rows left out: {reason}." for reason, count in told.left_out.items()]
        lines += told.choices
        if made := told.lineage:
            packages = ", ".join(f"{name} {version}" for name, version in made.packages.items())
            lines.append(f"Made with code {made.code}, {packages}; on {made.hardware}.")
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    tags = "".join(f'<span class="qs-chip">{html.escape(tag)}</span> ' for tag in label.tags)
    note = f"<p>{html.escape(label.note)}</p>" if label.note else ""
    return f'<div class="qs-note"><b>{html.escape(run.title)}</b> {tags}{note}<ul>{items}</ul></div>'
