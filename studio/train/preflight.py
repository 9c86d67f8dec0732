"""Know before you start: every problem at once, the memory a run will take, and two real steps to be sure."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.conversation import chips_html
from components.memory_bar import memory_html
from components.progress_bar import ProgressBar, build_progress_bar
from core.errors import StudioError
from core.runs import checks, fit
from core.runs.checks import Finding
from core.runs.config import TITLES
from core.runs.fit import Fit
from core.runs.progress import duration
from core.runs.store import RunStore
from core.system.jobs import Job, Jobs
from core.train import dry_run
from studio.handlers import info
from studio.job_progress import follow
from studio.train.values import KNOBS, config_of

_MARKS = {"problem": "✗", "warning": "⚠", "fine": "✓"}


class Checking:
    """What this part does; names no widget's layout."""

    def __init__(self, runs: RunStore, jobs: Jobs):
        self.runs, self.jobs = runs, jobs

    def check(self, **values: Any) -> list[Any]:
        """The findings, the memory bar, and whether there is a change to offer."""
        config = config_of(values)
        found = checks.check(self.runs.settings, config)
        room = fit.fit(self.runs.settings, config)
        offered = room is not None and bool(room.changes)
        label = f"Make it fit: {change_words(room)}" if offered else ""
        return [findings_html(found), room_html(room) if room else "", gr.update(visible=offered, value=label)]

    def make_fit(self, **values: Any) -> list[Any]:
        """The form with the smallest change that fits."""
        room = fit.fit(self.runs.settings, config_of(values))
        if room is None or not room.changes:
            raise StudioError("There is nothing to change: the run fits, or no change makes it fit.")
        info(f"{change_words(room)}: {room.why}.", title="Changed")
        return [room.changes.get(name, gr.skip()) for name in KNOBS]

    def measure(self, **values: Any) -> Iterator[list[Any]]:
        """Two real steps on the longest rows, in a process of their own."""
        config = config_of(values)
        if active := self.runs.active():
            raise StudioError(f"The run {active.id} trains on this machine: two steps beside it would measure neither.")
        job = self.jobs.start("measure", f"Two steps of {config.model}", dry_run.perform, self.runs.settings, config)

        def ended(done: Job) -> list[Any]:
            return [measured_html(done.result)]

        yield from follow(job, 1, ended)


def change_words(room: Fit) -> str:
    return ", ".join(f"{TITLES[name]} {value}" for name, value in room.changes.items())


def findings_html(found: list[Finding]) -> str:
    parts = (f'<li class="{f.level}">{_MARKS[f.level]} {html.escape(f.text)}</li>' for f in found)
    return f'<ul class="qs-findings">{"".join(parts)}</ul>'


def room_html(room: Fit) -> str:
    each = f" on each of {room.gpus} GPUs" if room.gpus > 1 else ""
    where = f"of GPU memory{each}" if room.on_gpu else "of this machine's memory; there is no GPU"
    words = f"About {room.needed / 2**30:.1f} GiB needed, {room.free / 2**30:.1f} GiB free {where}"
    if not room.fits and not room.changes:
        words += ". No smaller batch or length makes it fit: choose a smaller model or a larger card"
    parts = dict(room.forecast.parts)
    if room.on_gpu:
        parts["CUDA and the allocator"] = room.forecast.device - room.forecast.total
    return memory_html(parts, room.free, words)


def measured_html(found: dry_run.DryRunResult) -> str:
    return chips_html(
        [
            (f"{found.peak_bytes / 2**30:.2f} GiB", f"most {'GPU ' if found.on_gpu else ''}memory, measured", False),
            (f"{found.step_seconds:.2f} s", "a step on the longest rows", False),
            (duration(found.run_seconds), "for the whole run, at most", False),
        ]
    )


@dataclass(frozen=True)
class CheckWidgets:
    check: gr.Button
    findings: gr.HTML
    memory: gr.HTML
    make_fit: gr.Button
    measure: gr.Button
    bar: ProgressBar
    measured: gr.HTML


def build_checks() -> CheckWidgets:
    with gr.Row():
        check = gr.Button("Check first", size="sm", elem_id="check", min_width=110)
        measure = gr.Button("Measure two steps", size="sm", elem_id="measure-steps", min_width=110)
    findings = gr.HTML(elem_id="findings", padding=False)
    memory = gr.HTML(elem_id="memory", padding=False)
    make_fit = gr.Button("Make it fit", visible=False, size="sm", elem_id="make-fit")
    measured = gr.HTML(elem_id="measured", padding=False)
    bar = build_progress_bar("measuring")
    return CheckWidgets(check, findings, memory, make_fit, measure, bar, measured)
