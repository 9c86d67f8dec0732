"""Push of a run's exports, and of its settings and curves, to the Hub: the part of the Export tab and its handlers."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from components.progress_bar import build_progress_bar
from core.access import roles
from core.errors import StudioError
from core.export.push import push_export, push_run
from core.runs.exported import list_exports
from core.runs.store import RunStore
from core.system.jobs import Job, Jobs
from core.system.sizes import format_size
from studio.export_import import build_export_import
from studio.hub_push import build_push, pushed_html, read_target
from studio.job_bars import JobBars
from studio.job_progress import cancel_and_clean, follow
from studio.wiring import UNLIMITED, connect

_FORM = "hub"
_KIND = "push-model"
_RUN = "run"
_WHAT = "A finished export of the run, or its settings, report and curves."
_NO_RUN = "There is none, because no run has an adapter yet. Train one first."
_NOTHING_CHANGED = "The repository is unchanged. Files that have arrived are not sent again by the next push."


class HubActions:
    """Event handlers of pushes. They hold no widgets, so tests call them directly."""

    def __init__(self, runs: RunStore, jobs: Jobs):
        self.runs, self.settings, self.jobs = runs, runs.settings, jobs

    def list_files(self, run_id: str | None, chosen: str | None = None) -> dict[str, Any]:
        """List what can be pushed of a run, and keep what is chosen or propose the newest export."""
        if not run_id or not roles.caller().is_owner:
            return {"what": gr.update(choices=[], value=None, info=_NO_RUN)}
        found = list_exports(self.settings, self.runs.run(run_id))
        choices = [(f"{path.name} ({format_size(path.stat().st_size)})", path.name) for path in found]
        choices.append(("Settings and curves of the run", _RUN))
        kept = chosen if chosen in [value for _, value in choices] and chosen != _RUN else choices[0][1]
        return {"what": gr.update(choices=choices, value=kept, info=_WHAT)}

    def push(self, run_id: str | None, what: str | None, **values: Any) -> Iterator[dict[str, Any]]:
        """Push an export or the run itself; the values are those of `hub_push.read_target`."""
        run = self.runs.run(run_id or "")
        if not what:
            raise StudioError("Nothing is chosen to push. Export the adapter first, or choose the run's settings.")
        if what != _RUN and what not in [path.name for path in list_exports(self.settings, run)]:
            raise StudioError(f"The run {run.title} has no export {what[:80]!r}. Export it first.")
        target, source = read_target(**values)
        work, name = (push_run, run.id) if what == _RUN else (push_export, what)
        title = f"Pushing {run.title if what == _RUN else what} to {target.repo}"
        kind = f"{_KIND}/{target.repo}/{name}"
        yield from self._follow(self.jobs.start(kind, title, work, self.settings, name, target, source=source))

    def cancel(self, job: int | None) -> None:
        """Cancel a push, and remove the files that were laid out for it."""
        cancel_and_clean(self.jobs, job, self.settings.exports_dir)

    def _follow(self, job: Job) -> Iterator[dict[str, Any]]:
        yield {"account": ""}
        yield from follow(job, show_pushed, _NOTHING_CHANGED)


def show_pushed(done: Job) -> dict[str, Any]:
    """Return the update that shows where something was pushed."""
    return {"account": pushed_html(done.result)}


def build_hub_parts(runs: RunStore, bars: JobBars, demo: gr.Blocks, run: gr.Dropdown) -> None:
    """Build the parts of the Export tab that speak to the Hub, in the open layout, and connect them.

    Args:
        runs: All runs.
        bars: Progress bars of all jobs.
        demo: The page, for its load event.
        run: The tab's list of runs.
    """
    with gr.Accordion("Push to the Hub", open=False, elem_id="hub-box", elem_classes="qs-quiet") as box:
        what = gr.Dropdown(
            label="What", info=_WHAT, elem_id="hub-what",
            filterable=False,
        )  # fmt: skip
        push = build_push(_FORM)
        bar = build_progress_bar("hub-progress")
    do = HubActions(runs, bars.jobs)
    # An export that was made meanwhile is listed when the user comes to the list.
    for event in (run.change, box.expand, what.focus):
        connect(event, do.list_files, {"run_id": run, "chosen": what}, {"what": what}, visitor=True, **UNLIMITED)
    shown = {"account": push.account}
    job = bars.add(bar, _KIND, shown=shown, finish=show_pushed, box=box, cancel=do.cancel)
    connect(
        push.push.click, do.push, {"run_id": run, "what": what, **push.fields}, job.outputs, show_progress="hidden",
        api_name="push_model",
    )  # fmt: skip
    build_export_import(runs.settings, bars, demo)
