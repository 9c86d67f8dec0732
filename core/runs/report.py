"""Report of a run: results, rows, settings and versions, as Markdown with plots.

runs/<id>/report/report.md    runs/<id>/report/loss.png    runs/<id>/report/metrics.png
"""

import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

from core.runs import alerts, plots
from core.runs.config import TITLES, QLoRAConfig, group_of
from core.runs.events import PreparedEvent
from core.runs.metrics_series import CLASSIFIER_METRICS, HELD_OUT_LOSS, Timeline
from core.runs.progress import RunProgress, duration
from core.runs.store import Run, RunState
from core.runs.yaml_io import command_line
from core.system.counting import counted
from core.system.files import replacing, write_text
from core.system.markdown import fenced, plain, table

FILE = "report.md"


def write(run: Run, state: RunState) -> Path:
    """Write the report of a run, finished or not, and return the path of its Markdown file.

    Args:
        run: The run.
        state: Its state; the worker reports before it writes its last state.

    Raises:
        StudioError: The run's settings cannot be read.
    """
    timeline = Timeline(run.events_file)
    timeline.update()
    config, now = run.config(), timeline.progress()
    folder = run.folder / "report"
    folder.mkdir(exist_ok=True)
    plots = _plot(folder, timeline)
    parts = [
        _head(run, state, now),
        _result(timeline, now),
        [f"![{title}]({name})" for name, title in plots],
        _warnings(timeline, now),
        _rows(run, now),
        _settings(config),
        _answers(timeline),
        _made_with(config, now),
    ]
    path = folder / FILE
    write_text(path, "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n")
    return path


def pack(folder: Path, archive: Path) -> None:
    """Write the files of a report as a zip that is the same for the same files: `ZipInfo` dates each to 1980."""
    with replacing(archive) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            entry = zipfile.ZipInfo(path.name)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            packed.writestr(entry, path.read_bytes())


def _head(run: Run, state: RunState, now: RunProgress) -> list[str]:
    label = run.label()
    made = datetime.fromtimestamp(state.created).strftime("%Y-%m-%d %H:%M")
    steps = f"{now.step:,} of {counted(now.total, 'step')}"
    words = f"{state.status.capitalize()}, {steps} in {duration(now.seconds)}; created {made}."
    lines = [f"# {plain(run.title)}", "", words]
    if state.cause:
        lines.append(plain(state.cause))
    if label.tags:
        lines += ["", "Tags: " + ", ".join(plain(tag) for tag in label.tags)]
    return [*lines, "", plain(label.note)] if label.note else lines


def _result(timeline: Timeline, now: RunProgress) -> list[str]:
    steps, held_out = timeline.values(HELD_OUT_LOSS)
    _, losses = timeline.values("loss")
    rows = []
    if len(held_out):
        best = int(held_out.argmin())
        rows += [
            ["Held-out loss before training", f"{held_out[0]:.4f}"],
            ["Held-out loss, best", f"{held_out[best]:.4f} at step {steps[best]:,}"],
            ["Held-out loss, last", f"{held_out[-1]:.4f} ({held_out[-1] / held_out[0] - 1:+.1%})"],
        ]
    for title in CLASSIFIER_METRICS:
        _, shares = timeline.values(title)
        if len(shares):
            rows.append([f"{title[0].upper()}{title[1:]}, first and last", f"{shares[0]:.1%}, {shares[-1]:.1%}"])
    if len(losses):
        rows.append(["Loss, first and last step", f"{losses[0]:.4f}, {losses[-1]:.4f}"])
        spent = timeline.curve("loss", max_points=2)[-1]
        rate = f" ({spent[1] / now.seconds:,.0f} per second)" if now.seconds else ""
        rows.append(["Tokens trained on", f"{spent[1]:,}{rate}"])
    _, memory = timeline.values("memory_gib")
    if len(memory):
        rows.append(["Memory, at most", f"{memory.max():.2f} GiB"])
    return ["## Result", "", *table(["", ""], rows)] if rows else []


def _warnings(timeline: Timeline, now: RunProgress) -> list[str]:
    found = alerts.alerts(timeline, now.total)
    return ["## Warnings", "", *(f"- {plain(alert.text)}" for alert in found)] if found else []


def _rows(run: Run, now: RunProgress) -> list[str]:
    subset, prepared = run.subset(), now.prepared
    lines = [f"- {plain(subset.describe())}", f"- SHA-256 of the conversations: `{subset.sha256}`"] if subset else []
    if prepared:
        with_loss = f", {prepared.answer_tokens:,} of them carry loss" if prepared.answer_tokens else ""
        lines.append(
            f"- {counted(prepared.rows, 'row')}, {counted(prepared.tokens, 'token')} per epoch{with_loss}; "
            f"{plain(prepared.template)}"
        )
        lines += [f"- {counted(count, 'row')} left out: {plain(reason)}" for reason, count in prepared.left_out.items()]
        if prepared.truncated:
            truncated = counted(prepared.truncated, "row was", "rows were")
            lines.append(f"- {truncated} longer than the maximum length, and truncated")
    return ["## Rows", "", *lines] if lines else []


def _settings(config: QLoRAConfig) -> list[str]:
    """Return the settings that differ from their defaults; config.json has all of them."""
    defaults = {name: field.default for name, field in QLoRAConfig.model_fields.items()}
    changed = [(name, value) for name, value in config.model_dump().items() if value != defaults[name]]
    rows = [[group_of(n), plain(TITLES[n]), _cell(value), _cell(defaults[n])] for n, value in changed]
    lines = (
        table(["Group", "Setting", "Here", "Default"], rows) if rows else ["All settings have their default values."]
    )
    return ["## Configuration", "", *lines]


def _cell(value: Any) -> str:
    return plain(str(value)) or "–"


def _answers(timeline: Timeline) -> list[str]:
    """Return the answers to the sample prompts at the first and the last evaluation pass."""
    if not timeline.samples:
        return []
    first, last = timeline.samples[0], timeline.samples[-1]
    shown = [first] if first is last else [first, last]
    lines = ["## Sample answers"]
    for at, prompt in enumerate(last.prompts):
        lines += ["", f"**{plain(prompt)}**"]
        for event in shown:
            answer = event.answers[at] if at < len(event.answers) else ""
            lines += ["", f"Step {event.step:,}:", "", fenced(answer)]
    return lines


def _made_with(config: QLoRAConfig, now: RunProgress) -> list[str]:
    prepared = now.prepared or PreparedEvent()
    lines = [f"- {plain(choice)}" for choice in prepared.choices]
    if provenance := prepared.lineage:
        packages = ", ".join(f"{name} {version}" for name, version in provenance.packages.items())
        lines += [
            f"- Base: {plain(config.model)}, commit {plain(provenance.base_commit or 'unknown: a local folder')}",
            f"- Code {plain(provenance.code)}; Python {provenance.python}; {plain(packages)}",
            f"- {plain(provenance.hardware)}",
        ]
    return ["## Made with", "", *lines, "", "Command that starts the same run:", "", fenced(command_line(config))]


def _plot(folder: Path, timeline: Timeline) -> list[tuple[str, str]]:
    """Write the plots; return their file names and titles."""
    if not plots.plot_loss(timeline, folder / plots.LOSS_FILE):
        return []
    plots.plot_metrics(timeline, folder / plots.METRICS_FILE)
    return [(plots.LOSS_FILE, plots.LOSS_TITLE), (plots.METRICS_FILE, plots.METRICS_TITLE)]
