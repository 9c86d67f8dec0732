"""A job followed from a page: its bar moves until it ends; whoever leaves does not stop it."""

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from components import progress_bar
from core.errors import StudioError
from core.system.jobs import Job, Jobs
from studio.handlers import info

_LOOKS_A_SECOND = 5


def follow(job: Job, others: int, ended: Callable[[Job], list[Any]]) -> Iterator[list[Any]]:
    """Updates of a progress bar's outputs, the job's number, and `others` more outputs.

    Args:
        ended: gives the updates of the other outputs once the job is done.

    Raises StudioError when the job failed.
    """
    skipped = [gr.skip()] * others
    while not job.ended.wait(1 / _LOOKS_A_SECOND):
        yield [*progress_bar.running(job.title, job.share, job.words), job.id, *skipped]
    if job.status == "cancelled":
        yield [*progress_bar.gone(), None, *skipped]
        info(f"{job.title}: cancelled. Nothing was left behind.", title="Cancelled")
        return
    if job.status == "failed":
        yield [*progress_bar.gone(), None, *skipped]
        raise StudioError(job.error)
    yield [*progress_bar.gone(), None, *ended(job)]


def cancel(jobs: Jobs, number: int | None) -> None:
    if job := jobs.find(number):
        jobs.cancel(job)
