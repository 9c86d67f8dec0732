"""Progress bars of all background jobs: Cancel, and the jobs that a page has not started itself.

A handler that starts a job follows it by `studio.job_progress.follow`. Every other page, and the same page after it was
loaded again, looks for jobs when it is loaded and when one of its tabs is opened, and follows them here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.progress_bar import ProgressBar, hide_progress
from core.access import roles
from core.system.jobs import Job, Jobs
from studio import job_progress
from studio.handlers import info, shows_visitors_nothing, warn
from studio.wiring import UNLIMITED, Named, connect


@dataclass(frozen=True)
class JobBar:
    """A progress bar and the jobs that it shows.

    Attributes:
        kinds: Kinds of these jobs, as `Jobs.all_running` takes them.
        bar: The progress bar.
        job: The number of the job that it shows.
        ended: The number of the last job of another page that has ended. When it changes, the tab shows the result, as
            far as this depends on what is chosen in the page.
        shown: Further outputs of a handler that starts such a job, by name.
        finish: Returns the updates of `shown` for a finished job, as far as they depend on nothing chosen in the page.
        box: The closed part of the page that the bar is in.
    """

    kinds: tuple[str, ...]
    bar: ProgressBar
    job: gr.State
    ended: gr.State
    shown: Named = field(default_factory=dict)
    finish: Callable[[Job], dict[str, Any]] | None = None
    box: gr.Accordion | None = None

    @property
    def outputs(self) -> dict[str, Block]:
        """Return all outputs of a handler that starts a job and follows it, by name."""
        return {**job_progress.job_outputs(self.bar, self.job), **self.shown}

    @property
    def all_outputs(self) -> dict[str, Block]:
        """Return the outputs of `JobBars.watch` for this bar, by name."""
        return {**self.outputs, "ended": self.ended, **({"box": self.box} if self.box else {})}


class JobBars:
    """All progress bars of jobs of a page."""

    def __init__(self, jobs: Jobs):
        self.jobs, self.bars = jobs, list[JobBar]()
        # Numbers of the jobs that a page follows here, by its session.
        self._followed: dict[str | None, set[int]] = {}

    def add(
        self, bar: ProgressBar, *kinds: str, shown: Named | None = None,
        finish: Callable[[Job], dict[str, Any]] | None = None, box: gr.Accordion | None = None,
        cancel: Callable[[int | None], None] | None = None,
    ) -> JobBar:  # fmt: skip
        """Add a bar, and connect its Cancel; arguments as the attributes of `JobBar`.

        Args:
            bar: The progress bar.
            kinds: Kinds of the jobs that it shows.
            shown: Further outputs.
            finish: Returns their updates.
            box: The closed part that the bar is in.
            cancel: Cancels the job of a number; None if the job needs nothing but to be ended.
        """
        made = JobBar(kinds, bar, gr.State(None), gr.State(None), shown or {}, finish, box)
        cancels = cancel or partial(job_progress.cancel, self.jobs)
        connect(bar.cancel.click, lambda job: cancels(job), {"job": made.job}, **UNLIMITED)
        self.bars.append(made)
        return made

    def connect(self, events: list[Callable[..., Any]]) -> None:
        """Look for jobs of other pages at some events, once all bars are added."""
        outputs = {
            f"{number} {name}": output
            for number, one in enumerate(self.bars)
            for name, output in one.all_outputs.items()
        }
        shown = {f"job_{number}": one.job for number, one in enumerate(self.bars)}
        # A page that follows a job may find another one, hence each event has a call of its own.
        options = {"trigger_mode": "multiple", **UNLIMITED}
        connect(partial(gr.on, events), self.watch, shown, outputs, visitor=True, **options)

    @shows_visitors_nothing
    def watch(self, request: gr.Request | None = None, **shown: int | None) -> Iterator[dict[str, Any]]:
        """Show the running jobs that a page does not show yet, until all of them have ended.

        Args:
            request: The call, for the page's session.
            shown: Number of the job that each bar shows, as `job_0`, `job_1` and so on.
        """
        if not roles.caller().is_owner:
            # Visitors start no jobs.
            return
        session = request.session_hash if request else None
        followed = self._followed.setdefault(session, set())
        found = {
            number: job
            for number, one in enumerate(self.bars)
            if (job := self._running(one)) and job.id not in (shown.get(f"job_{number}"), *followed)
        }
        mine = {job.id for job in found.values()}
        followed |= mine
        try:
            yield from self._follow(found)
        finally:
            followed -= mine
            if not followed:
                self._followed.pop(session, None)

    def _running(self, one: JobBar) -> Job | None:
        """Return the newest running job that a bar shows."""
        found = [job for kind in one.kinds for job in self.jobs.all_running(kind)]
        return max(found, key=lambda job: job.id, default=None)

    def _follow(self, found: dict[int, Job]) -> Iterator[dict[str, Any]]:
        """Yield the updates of jobs by the number of their bar; the names of the outputs begin with it."""
        texts: dict[int, dict[str, Any]] = {}
        opened = {number: {"box": gr.update(open=True)} for number in found if self.bars[number].box}
        while found:
            updates: dict[int, dict[str, Any]] = opened
            opened = {}
            for number, job in list(found.items()):
                if job.ended.is_set():
                    del found[number]
                    changed = self._end(self.bars[number], job)
                elif (text := job_progress.describe(job)) != texts.get(number):
                    texts[number], changed = text, {**text, "job": job.id}
                else:
                    continue
                updates[number] = updates.get(number, {}) | changed
            if updates:
                yield {f"{number} {name}": value for number, one in updates.items() for name, value in one.items()}
            for job in list(found.values())[:1]:
                job.ended.wait(job_progress.UPDATE_SECONDS)

    def _end(self, one: JobBar, job: Job) -> dict[str, Any]:
        """Return the updates of a bar whose job has ended, and say how."""
        hidden = {**hide_progress(), "job": None}
        if job.status == "failed":
            # No exception, because the page may follow other jobs.
            warn(job.error, title=job.title)
        elif job.status == "cancelled":
            info("It was cancelled.", title=job.title)
        else:
            return {**hidden, "ended": job.id, **(one.finish(job) if one.finish else {})}
        return hidden
