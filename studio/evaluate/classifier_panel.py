"""Panel of classifiers: a run with a classification head labels the prompts of an evaluation."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import gradio as gr

from components.progress_bar import ProgressBar, build_progress_bar
from core.errors import StudioError
from core.evaluate import scores as scores_file
from core.evaluate.classification import classifiers
from core.evaluate.classification.scoring import read_classification
from core.evaluate.task import find_task
from core.system.jobs import Jobs
from studio.evaluate.evaluation_view import EvaluationView
from studio.html import render
from studio.job_bars import JobBars
from studio.job_progress import follow
from studio.wiring import UNLIMITED, connect

KIND = "classify"


class ClassifierActions:
    """Event handlers of the classifiers' panel."""

    def __init__(self, view: EvaluationView, jobs: Jobs):
        self.view, self.store, self.jobs = view, view.store, jobs

    def list_classifiers(self) -> dict[str, Any]:
        """Return the runs that have trained a classifier; without one, the panel is hidden."""
        titles = self.store.runs.titles()
        runs = [(titles.get(run, run), run) for run in classifiers.list_classifiers(self.store)]
        return {"run": gr.update(choices=runs), "panel": gr.update(visible=bool(runs))}

    def classify(self, evaluation_id: str | None, run: str | None) -> Iterator[dict[str, Any]]:
        """Let a classifier label the prompts, and show its tables beside the written answers."""
        if not evaluation_id or not run:
            raise StudioError("Select an evaluation and a classifier first.")
        evaluation = self.store.find(evaluation_id)
        if read_classification(evaluation, self._count_prompts(evaluation_id)) is None:
            why = find_task(evaluation.config().task, evaluation.prompts()).why
            raise StudioError(f"The references are no labels, so a classifier cannot be compared with them. {why}")
        title = "Classifying the prompts"
        job = self.jobs.start(f"{KIND}/{evaluation.id}", title, classifiers.predict, self.store, evaluation, run)
        yield from follow(job, lambda done: self.show(evaluation_id))

    def _count_prompts(self, evaluation_id: str) -> int:
        """Return the number of scored prompts.

        Raises:
            StudioError: The evaluation has no scores.
        """
        found = scores_file.find(self.store.find(evaluation_id))
        if found is None:
            raise StudioError("This evaluation has no scores yet. Wait for its end, or press “Compute the verdict”.")
        return found.prompts

    def show(self, evaluation_id: str | None) -> dict[str, Any]:
        """Return the tables of all classifiers that labeled an evaluation."""
        if not evaluation_id:
            return {"classified": ""}
        evaluation = self.store.find(evaluation_id)
        found, predicted = scores_file.find(evaluation), classifiers.read_predicted(evaluation)
        labels = read_classification(evaluation, found.prompts) if found and predicted else None
        if labels is None:
            return {"classified": ""}
        compared = self.view.verdicts.compare(evaluation, None, None, None, None)
        titles, runs = evaluation.lane_titles(self.store.runs), self.store.runs.titles()
        results = [classifiers.compare_classifier(labels, each, compared.first, found.clusters) for each in predicted]
        named = [(runs.get(result.predicted.run, result.predicted.run), result) for result in results]
        return {"classified": render("evaluate/classifiers", results=named, reference=titles[compared.first])}


class ClassifierWidgets(NamedTuple):
    """Widgets of the classifiers' panel."""

    panel: gr.Accordion
    run: gr.Dropdown
    start: gr.Button
    bar: ProgressBar
    classified: gr.HTML


def build_classifier_panel() -> ClassifierWidgets:
    """Build the panel in the open layout."""
    with gr.Accordion("Classifiers", open=False, visible=False, elem_id="evaluate-classifiers") as panel:
        run = gr.Dropdown(label="Classifier", info="A run whose task is “classify”.", elem_id="classifier-run")
        start = gr.Button("Classify the same prompts", size="sm", elem_id="classifier-start")
        bar = build_progress_bar("classifier-progress")
        classified = gr.HTML(elem_id="evaluate-classified", padding=False)
    return ClassifierWidgets(panel, run, start, bar, classified)


def connect_classifiers(
    do: ClassifierActions, widgets: ClassifierWidgets, evaluation: gr.Dropdown, demo: gr.Blocks,
    changes: list[Callable[..., Any]], bars: JobBars,
) -> None:  # fmt: skip
    """Connect the panel.

    Args:
        do: The handlers.
        widgets: The panel's widgets.
        evaluation: Selects the evaluation.
        demo: The page, for its load event.
        changes: Events after which runs may have changed.
        bars: Progress bars of all jobs.
    """
    selected, shown = {"evaluation_id": evaluation}, {"classified": widgets.classified}
    job = bars.add(widgets.bar, KIND, shown=shown, box=widgets.panel)
    listed = {"run": widgets.run, "panel": widgets.panel}
    connect(partial(gr.on, [demo.load, *changes]), do.list_classifiers, outputs=listed, **UNLIMITED)
    connect(partial(gr.on, [evaluation.change, job.ended.change]), do.show, selected, shown, **UNLIMITED)
    connect(
        widgets.start.click,
        do.classify,
        {**selected, "run": widgets.run},
        job.outputs,
        show_progress="hidden",
        api_name="classify_prompts",
    )
