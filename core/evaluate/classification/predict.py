"""Predictions of a classifier for the prompts of an evaluation, with the true label of each where it has one.

The label of a prompt is its reference. A reference that is none of the classifier's labels has no class and is not
counted as wrong here; the tables decide what to do with it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.chat import arbiter
from core.chat.classify import BATCH_TEXTS, LoadedClassifier, find_adapter
from core.chat.types import BaseIdentity
from core.errors import StudioError
from core.evaluate.prompts import Prompt
from core.runs.store import RunStore

# A prompt without a class, or without a prediction.
NONE = -1
_BATCHES_PER_REPORT = 8


@dataclass(frozen=True)
class Predictions:
    """Predictions for n prompts among k labels.

    Attributes:
        labels: The labels in the order of their classes.
        probabilities: (n, k) float64; rows of prompts without a prediction are NaN.
        predicted: (n,) int64, the most probable class; `NONE` without a prediction.
        true: (n,) int64, the class of the reference; `NONE` if it is empty or none of the labels.
        truncated: Number of prompts whose end was not read.
        failures: Why prompts have no prediction, by index.
    """

    labels: list[str]
    probabilities: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    truncated: int
    failures: dict[int, str]


def predict(
    store: RunStore, run_id: str, prompts: Sequence[Prompt], adapter: str = "final",
    report: Callable[[str], None] = lambda stage: None,
) -> Predictions:  # fmt: skip
    """Return the predictions of a run's classifier.

    Args:
        store: The runs.
        run_id: A run that trained a classifier.
        prompts: The prompts; of a conversation, the last question is read.
        adapter: "final", or "step N" for a checkpoint.
        report: Called with a text at the beginning of each stage, and while texts are classified.

    Raises:
        StudioError: There is no such run, it is no classifier, it has no such adapter, or a run or a chat needs the
            memory.
    """
    run = store.run(run_id)
    folder, base = find_adapter(run, adapter), BaseIdentity.from_config(run.config())
    arbiter.check_fits_for_evaluation(store, base.config)
    loaded = LoadedClassifier(store.settings, base, folder, report)
    classes, count = loaded.about.classes, len(prompts)
    true = np.array([NONE if (found := classes.class_of(p.reference)) is None else found for p in prompts], np.int64)
    probabilities = np.full((count, len(loaded.about.labels)), np.nan)
    texts, indices, failures = [], [], {}
    for index, prompt in enumerate(prompts):
        try:
            texts.append(loaded.read(prompt.question))
            indices.append(index)
        except StudioError as error:
            failures[index] = str(error)
    at = np.array(indices, dtype=np.int64)
    for rows, shares in _reported(loaded.classify(texts), len(texts), report):
        probabilities[at[rows]] = shares
    predicted = np.full(count, NONE, dtype=np.int64)
    predicted[at] = probabilities[at].argmax(axis=1)
    truncated = sum(text.is_truncated for text in texts)
    return Predictions(loaded.about.labels, probabilities, predicted, true, truncated, failures)


def _reported(
    batches: Iterator[tuple[list[int], np.ndarray]], total: int, report: Callable[[str], None]
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yield batches, and report how far they are."""
    for number, batch in enumerate(batches):
        if number % _BATCHES_PER_REPORT == 0:
            report(f"Classifying text {number * BATCH_TEXTS:,} of {total:,}")
        yield batch
