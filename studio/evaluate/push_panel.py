"""Push of an evaluation's results to the Hub as a dataset: the panel and its handlers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.progress_bar import ProgressBar, build_progress_bar
from core.errors import StudioError
from core.evaluate.store import EvaluationStore
from core.export.push import push_evaluation
from core.system.jobs import Jobs
from studio.hub_push import PushWidgets, build_push, pushed_html, read_target
from studio.job_progress import cancel, follow, job_outputs
from studio.wiring import UNLIMITED, connect

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
        yield from follow(job, lambda done: {"account": pushed_html(done.result)}, _NOTHING_CHANGED)

    def cancel(self, job: int | None) -> None:
        """Cancel a push."""
        cancel(self.jobs, job)


@dataclass(frozen=True)
class PushPanelWidgets:
    """Widgets of the panel."""

    push: PushWidgets
    bar: ProgressBar


def build_push_panel() -> PushPanelWidgets:
    """Build the panel in the open layout."""
    with gr.Accordion("Push to the Hub", open=False, elem_id="evaluation-push-box", elem_classes="qs-quiet"):
        return PushPanelWidgets(build_push(_FORM), build_progress_bar(f"{_FORM}-progress"))


def connect_push(do: PushActions, panel: PushPanelWidgets, evaluation: gr.Dropdown) -> None:
    """Connect the push of the selected evaluation.

    Args:
        do: The handlers.
        panel: The widgets.
        evaluation: The list of evaluations.
    """
    job = gr.State(None)
    followed = {**job_outputs(panel.bar, job), "account": panel.push.account}
    connect(
        panel.push.push.click, do.push, {"evaluation_id": evaluation, **panel.push.fields}, followed,
        show_progress="hidden", api_name="answers_push",
    )  # fmt: skip
    connect(panel.bar.cancel.click, do.cancel, {"job": job}, **UNLIMITED)
