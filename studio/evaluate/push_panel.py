"""Push of an evaluation's results to the Hub as a dataset: the panel and its handlers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.progress_bar import ProgressBar, build_progress_bar
from core.errors import StudioError
from core.evaluate.store import EvaluationStore
from core.export.push import push_evaluation
from core.system.jobs import Job, Jobs
from studio.hub_push import PushWidgets, build_push, pushed_html, read_target
from studio.job_bars import JobBars
from studio.job_progress import follow
from studio.wiring import connect

_FORM = "evaluation-push"
_NOTHING_CHANGED = "The repository is unchanged."


class PushActions:
    """Event handlers of the panel. They hold no widgets, so tests call them directly."""

    def __init__(self, store: EvaluationStore, jobs: Jobs):
        self.store, self.jobs = store, jobs

    def push(self, evaluation_id: str | None, **values: Any) -> Iterator[dict[str, Any]]:
        """Push the answers, metrics and verdict; the values are those of `hub_push.read_target`."""
        if not evaluation_id:
            raise StudioError("No evaluation is selected. Start one, or select one in the list.")
        evaluation = self.store.find(evaluation_id)
        target, source = read_target(**values)
        job = self.jobs.start(
            f"{_FORM}/{evaluation.id}", f"Pushing the evaluation to {target.repo}", push_evaluation, self.store,
            evaluation.id, target, source=source,
        )  # fmt: skip
        yield {"account": ""}
        yield from follow(job, show_pushed, _NOTHING_CHANGED)


def show_pushed(done: Job) -> dict[str, Any]:
    """Return the update that shows where an evaluation was pushed."""
    return {"account": pushed_html(done.result)}


@dataclass(frozen=True)
class PushPanelWidgets:
    """Widgets of the panel."""

    box: gr.Accordion
    push: PushWidgets
    bar: ProgressBar


def build_push_panel() -> PushPanelWidgets:
    """Build the panel in the open layout."""
    with gr.Accordion("Push to the Hub", open=False, elem_id="evaluation-push-box", elem_classes="qs-quiet") as box:
        return PushPanelWidgets(box, build_push(_FORM), build_progress_bar(f"{_FORM}-progress"))


def connect_push(do: PushActions, panel: PushPanelWidgets, evaluation: gr.Dropdown, bars: JobBars) -> None:
    """Connect the push of the selected evaluation.

    Args:
        do: The handlers.
        panel: The widgets.
        evaluation: The list of evaluations.
        bars: Progress bars of all jobs.
    """
    job = bars.add(panel.bar, _FORM, shown={"account": panel.push.account}, finish=show_pushed, box=panel.box)
    connect(
        panel.push.push.click, do.push, {"evaluation_id": evaluation, **panel.push.fields}, job.outputs,
        show_progress="hidden", api_name="push_evaluation",
    )  # fmt: skip
