"""Preflight checks of a run: all problems at once, a memory forecast, and a dry run of two real steps.

The forecast is computed from the model's sizes; the dry run measures memory and time on the longest rows, in a
process of its own, and keeps nothing.
"""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from components.conversation import chips_html
from components.memory_bar import memory_html
from core.errors import StudioError
from core.runs import checks, fit
from core.runs.config import TITLES
from core.runs.findings import Finding
from core.runs.fit import Fit
from core.runs.progress import duration
from core.runs.store import RunStore
from core.runs.time_estimate import TimeEstimates
from core.system.jobs import Job, Jobs
from core.train import dry_run
from studio.handlers import info
from studio.html import render
from studio.job_progress import follow
from studio.stages import follow_stages
from studio.train.marking import parse_config

DRY_RUN = "dry-run"
_GIB = 2**30


class Preflight:
    """Event handlers of the preflight checks; `values` are the form's values by field name."""

    def __init__(self, runs: RunStore, jobs: Jobs, estimates: TimeEstimates):
        self.runs, self.jobs, self.estimates = runs, jobs, estimates

    def check(self, **values: Any) -> Iterator[dict[str, Any]]:
        """Return the findings and the memory forecast, and offer a change when the run does not fit."""
        config, settings = parse_config(values), self.runs.settings
        findings, fitted = yield from follow_stages(
            {"stage": ""},
            lambda on_stage: (checks.check(settings, config, on_stage), fit.fit(settings, config)),
            "Checking the settings",
        )
        can_change = fitted is not None and bool(fitted.changes)
        label = f"Make it fit: {change_text(fitted)}" if can_change else ""
        yield {
            "findings": findings_html(findings),
            "memory": forecast_html(fitted) if fitted else "",
            "make_fit": gr.update(visible=can_change, value=label),
            "checked": gr.update(visible=True),
            "stage": "",
        }

    def make_fit(self, **values: Any) -> dict[str, Any]:
        """Return the smallest change of fields with which the run fits into memory."""
        fitted = fit.fit(self.runs.settings, parse_config(values))
        if fitted is None or not fitted.changes:
            raise StudioError("There is nothing to change: the run fits, or no change makes it fit.")
        info(f"{change_text(fitted)}: {fitted.why}.", title="Settings changed")
        return dict(fitted.changes)

    def dry_run(self, **values: Any) -> Iterator[dict[str, Any]]:
        """Run two real steps on the longest rows in a process of their own, and return memory and time."""
        config = parse_config(values)
        if active := self.runs.active():
            # Two trainings share the cores or the GPU, so neither memory nor time would be those of one run.
            raise StudioError(
                f"The run {active.id} trains on this machine, so a dry run would measure both. "
                "Wait until it ends, or stop it."
            )
        job = self.jobs.start(DRY_RUN, f"Dry run of {config.model}", dry_run.perform, self.runs.settings, config)
        yield from follow(job, self.show_measured)

    def show_measured(self, done: Job) -> dict[str, Any]:
        """Return the updates that show the memory and the time of a dry run."""
        self.estimates.add_dry_run(done.result.speed)
        return {"measured": dry_run_html(done.result), "checked": gr.update(visible=True)}


def change_text(fitted: Fit) -> str:
    """Return the proposed changes, such as "Batch size 4, Gradient accumulation 4"."""
    return ", ".join(f"{TITLES[name]} {value}" for name, value in fitted.changes.items())


def findings_html(findings: list[Finding]) -> str:
    """Return the findings as a list, each with the mark of its level."""
    return render("train/findings", findings=findings)


def forecast_html(fitted: Fit) -> str:
    """Return the memory that the run needs as a bar on the scale of the free memory."""
    per_gpu = f" on each of {fitted.gpus} GPUs" if fitted.gpus > 1 else ""
    memory = f"GPU memory{per_gpu}" if fitted.on_gpu else "memory"
    text = f"About {fitted.needed / _GIB:.1f} GiB of {memory} needed, {fitted.free / _GIB:.1f} GiB free"
    if not fitted.on_gpu:
        text += "; this machine has no GPU"
    if not fitted.fits and not fitted.changes:
        # Changes are searched on a GPU only, so without one nothing is known about smaller batches.
        text += (
            ". No smaller batch or length makes it fit: choose a smaller model or a larger GPU" if fitted.on_gpu
            else ". Lower the batch size or the maximum length, or choose a smaller model"
        )  # fmt: skip
    parts = dict(fitted.forecast.parts)
    if fitted.on_gpu:
        # `device` is the tensors' `total` plus fragmentation and the CUDA context, which belong to no part.
        parts["CUDA and the allocator"] = fitted.forecast.device - fitted.forecast.total
    return memory_html(parts, fitted.free, text)


def dry_run_html(found: dry_run.DryRunResult) -> str:
    """Return the results of a dry run as chips."""
    return chips_html(
        [
            (f"{found.peak_bytes / _GIB:.2f} GiB", f"peak {'GPU ' if found.on_gpu else ''}memory, measured", False),
            (f"{found.step_seconds:.2f} s", "per step on the longest rows", False),
            (duration(found.run_seconds), "for the whole run at most, if all rows were as long as those", False),
        ]
    )
