"""Actions on an evaluation: pause, resume, stop, delete, download, open as a dataset."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from core.errors import StudioError
from core.evaluate import process, result, scoring
from core.evaluate.store import Evaluation
from core.system.jobs import Job, Jobs
from studio.choices import dataset_choices
from studio.evaluate.evaluation_view import EvaluationView
from studio.handlers import info
from studio.job_progress import follow

SCORES, ANSWERS = "scores", "answers"


class EvaluationActions:
    """Event handlers of the buttons of an evaluation."""

    def __init__(self, view: EvaluationView, jobs: Jobs):
        self.view, self.store, self.jobs = view, view.store, jobs

    def _find(self, evaluation_id: str | None) -> Evaluation:
        if not evaluation_id:
            raise StudioError("No evaluation is selected. Start one, or select one in the list.")
        return self.store.find(evaluation_id)

    def pause(self, evaluation_id: str | None) -> None:
        """Pause an evaluation after the answers that are being generated, and free its memory."""
        process.pause(self._find(evaluation_id))
        info("The evaluation finishes the answers that are being generated, then frees its memory.", title="Pausing")

    def resume(self, evaluation_id: str | None) -> None:
        """Resume a paused or interrupted evaluation."""
        process.resume(self.store, self._find(evaluation_id))
        info("It continues with the prompts that have no answer yet.", title="Resumed")

    def stop(self, evaluation_id: str | None) -> None:
        """Stop an evaluation; finished answers are kept."""
        process.stop(self._find(evaluation_id))
        info("Finished answers are kept. Answers that are being generated are discarded.", title="Stopping")

    def delete(self, evaluation_id: str | None, typed: str) -> dict[str, Any]:
        """Delete an ended evaluation with all its files; its id must be typed to confirm."""
        evaluation = self._find(evaluation_id)
        if (typed or "").strip() != evaluation.id:
            raise StudioError(f"To delete this evaluation with its answers, type its id: {evaluation.id}")
        process.delete(self.store, evaluation)
        self.view.forget(evaluation.id)
        info("Its prompts and answers are deleted.", title="Evaluation deleted")
        return {**self.view.list_evaluations(None), "typed": ""}

    def write_file(self, evaluation_id: str | None, kind: str) -> str:
        """Write the finished prompts as a file and return its path.

        Args:
            evaluation_id: The selected evaluation.
            kind: One of `core.evaluate.result.FILE_KINDS`.
        """
        return str(result.write(self.store, self._find(evaluation_id), kind))

    def score(self, evaluation_id: str | None) -> Iterator[dict[str, Any]]:
        """Score an evaluation that has no scores of this version; the page shows its verdict at the next poll."""
        evaluation = self._find(evaluation_id)
        job = self.jobs.start(f"{SCORES}/{evaluation.id}", "Scoring the answers", scoring.load, evaluation)
        yield from follow(job, lambda done: {"score": gr.update(visible=False)})

    def open_as_dataset(self, evaluation_id: str | None) -> Iterator[dict[str, Any]]:
        """Open the finished prompts as a dataset, and show it in the Data tab."""
        evaluation = self._find(evaluation_id)
        name = f"{ANSWERS}/{evaluation.id}"
        job = self.jobs.start(name, "Opening the answers", result.open_as_dataset, self.store, evaluation)

        def finish(done: Job) -> dict[str, Any]:
            opened = gr.update(choices=dataset_choices(self.store.settings), value=done.result.id)
            return {"dataset": opened, "tabs": gr.update(selected="data")}

        yield from follow(job, finish)

    def finish_elsewhere(self, done: Job) -> dict[str, Any]:
        """Return the updates of a page that did not start the job: it stays where it is."""
        if done.kind.startswith(SCORES):
            return {"score": gr.update(visible=False)}
        info("They are in the list of datasets.", title="Opened the answers")
        return {"dataset": gr.update(choices=dataset_choices(self.store.settings))}
