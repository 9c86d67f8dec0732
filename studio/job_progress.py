"""Progress of a background job on a page.

The page follows the job; closing the page does not stop it, and other pages find it (`studio.job_bars`).
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from components.progress_bar import ProgressBar, hide_progress, show_progress
from core.errors import StudioError
from core.export.scratch import remove_leftovers
from core.runs.progress import duration
from core.system.jobs import Job, Jobs
from studio.handlers import info

UPDATE_SECONDS = 0.2
# A cancelled process ends at once.
_END_SECONDS = 5


def job_outputs(bar: ProgressBar, job: gr.State) -> dict[str, gr.blocks.Block]:
    """Return the components that `follow` updates, by name.

    Args:
        bar: Shows the progress.
        job: Holds the job's number, for Cancel.
    """
    return {**bar.outputs, "job": job}


def describe(job: Job) -> dict[str, Any]:
    """Return the updates of a progress bar that show a running job."""
    return show_progress(job.title, job.share, job.stage, duration(int(time.monotonic() - job.began)))


NOTHING_KEPT = "No partial result was kept."


def follow(job: Job, finish: Callable[[Job], dict[str, Any]], kept: str = NOTHING_KEPT) -> Iterator[dict[str, Any]]:
    """Yield updates of `job_outputs` until the job ends, then those of its result.

    Args:
        job: A job that was started.
        finish: Returns the updates of further outputs by name, once the job has succeeded.
        kept: What is left of a job that was cancelled, as a sentence.

    Raises:
        StudioError: The job failed.
    """
    shown = None
    while not job.ended.wait(UPDATE_SECONDS):
        # Sent only if it changed, which is once per second at least: each update costs the browser and the server.
        bar = describe(job)
        if bar != shown:
            shown = bar
            yield {**bar, "job": job.id}
    hidden = {**hide_progress(), "job": None}
    if job.status == "done":
        yield {**hidden, **finish(job)}
        return
    # The bar must go before the error is raised: an exception carries no updates.
    yield hidden
    if job.status == "failed":
        raise StudioError(job.error)
    info(f"{job.title}: cancelled. {kept}", title="Cancelled")


def cancel(jobs: Jobs, number: int | None) -> None:
    """Cancel the job with a number, if it still runs."""
    if job := jobs.find(number):
        jobs.cancel(job)


def cancel_and_clean(jobs: Jobs, number: int | None, folder: Path) -> None:
    """Cancel a job that writes into the folder of exports, and remove what it has written there.

    Args:
        jobs: The jobs.
        number: The job's number; None if none runs.
        folder: The folder of exports.
    """
    cancel(jobs, number)
    if job := jobs.find(number):
        job.ended.wait(_END_SECONDS)
    remove_leftovers(folder)
