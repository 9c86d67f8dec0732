"""Classifiers beside the models of an evaluation: the labels that they predict for the same prompts.

evaluations/<id>/classifiers/<run>-<adapter>.json    label and its probability per prompt, null without a prediction
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from core.errors import StudioError
from core.evaluate.classification.scoring import Classification
from core.evaluate.classification.tables import UNPARSED, ClassificationTable, tabulate
from core.evaluate.metrics import METRICS
from core.evaluate.statistics.paired import PairedScores, compare
from core.evaluate.store import Evaluation, EvaluationStore
from core.evaluate.verdict_groups import outcome_of
from core.evaluate.verdict_text import describe_outcome
from core.runs import classifier
from core.settings import slug
from core.system.counting import counted
from core.system.files import read_json, write_json
from core.system.jobs import Progress, ignore_progress


class Predicted(BaseModel):
    """Predictions of one classifier.

    Attributes:
        run: Id of the run.
        adapter: "final", or "step N" for a checkpoint.
        labels: Label of each prompt of the set; None without a prediction.
        shares: Probability of that label.
        notes: Sentences about prompts that were truncated or have no prediction.
    """

    run: str
    adapter: str
    labels: list[str | None]
    shares: list[float | None]
    notes: list[str]


def list_classifiers(store: EvaluationStore) -> list[str]:
    """Return the ids of runs that have trained a classifier, the newest first."""
    return [run.id for run in store.runs.runs() if classifier.is_classifier(run.folder) and "final" in run.adapters()]


def predict(
    store: EvaluationStore, evaluation: Evaluation, run: str, adapter: str = "final",
    progress: Progress = ignore_progress,
) -> None:  # fmt: skip
    """Let a classifier label the prompts of an evaluation, and keep its predictions.

    Args:
        store: The evaluations.
        evaluation: The evaluation.
        run: The run.
        adapter: "final", or "step N" for a checkpoint.
        progress: Called with the current step.

    Raises:
        StudioError: The run is no classifier, or a run or a chat needs the memory.
    """
    from core.evaluate.classification import predict as prediction

    asked = list(itertools.islice(evaluation.prompts(), evaluation.set_size()))
    found = prediction.predict(store.runs, run, asked, adapter, lambda text: progress(0.5, text))
    notes = []
    if found.truncated:
        notes.append(f"Truncated at the classifier's maximum length: {counted(found.truncated, 'text')}.")
    if found.failures:
        reason = next(iter(found.failures.values()))
        notes.append(f"Without a prediction: {counted(len(found.failures), 'text')}. {reason}")
    known = [int(number) for number in found.predicted]
    labels = [found.labels[number] if number >= 0 else None for number in known]
    shares = [float(found.probabilities[row, number]) if number >= 0 else None for row, number in enumerate(known)]
    saved = Predicted(run=run, adapter=adapter, labels=labels, shares=shares, notes=notes)
    folder = _folder(evaluation)
    folder.mkdir(exist_ok=True)
    write_json(folder / f"{slug(run)}-{slug(adapter)}.json", saved.model_dump())


def _folder(evaluation: Evaluation) -> Path:
    return evaluation.folder / "classifiers"


def read_predicted(evaluation: Evaluation) -> list[Predicted]:
    """Return the predictions of all classifiers that labeled an evaluation.

    Raises:
        StudioError: A file is damaged.
    """
    found = []
    for path in sorted(_folder(evaluation).glob("*.json")):
        try:
            found.append(Predicted.model_validate(read_json(path)))
        except (OSError, ValueError) as error:
            raise StudioError(f"{path.name} of {evaluation.id} is damaged. Delete it, and classify again.") from error
    return found


@dataclass(frozen=True)
class ClassifierResult:
    """A classifier on the rows of an evaluation.

    Attributes:
        predicted: Its predictions.
        table: Accuracy and the other tables; None if no labeled row has a prediction.
        compared: A sentence about its accuracy beside that of the reference lane; empty without answers.
    """

    predicted: Predicted
    table: ClassificationTable | None
    compared: str


def compare_classifier(
    found: Classification, predicted: Predicted, reference: int, clusters: np.ndarray
) -> ClassifierResult:
    """Return the tables of a classifier, and its comparison with the written answers of a lane on the same rows.

    Args:
        found: Labels and answers of the evaluation.
        predicted: The predictions.
        reference: The lane.
        clusters: Row in the source of each prompt, (prompts,).
    """
    numbers = [UNPARSED if label is None else found.labels.index_of(label) for label in predicted.labels]
    chosen = np.array([UNPARSED if number is None else number for number in numbers])
    known = (found.true != UNPARSED) & np.array([label is not None for label in predicted.labels])
    table = tabulate(found.labels.names, found.true[known], chosen[known]) if known.any() else None
    both = known & found.has_answer[reference]
    if not both.any():
        return ClassifierResult(predicted, table, "")
    first, second = ((labels[both] == found.true[both]).astype(float) for labels in (found.answered[reference], chosen))
    metric, change = METRICS["accuracy"], compare(PairedScores(first, second, clusters[both]), seed=0)
    return ClassifierResult(predicted, table, describe_outcome(metric, change, outcome_of(metric, change)))
