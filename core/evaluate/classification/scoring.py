"""Scores of a classification: which rows are right, by the written answer and by constrained choice."""

import itertools
from dataclasses import dataclass

import numpy as np

from core.evaluate.classification.choice import choose, read_choices
from core.evaluate.classification.labels import LabelSet, find_labels
from core.evaluate.classification.tables import UNPARSED, ClassificationTable, tabulate
from core.evaluate.likelihood import LossReader
from core.evaluate.store import Evaluation


@dataclass(frozen=True)
class Classification:
    """Labels and answers of an evaluation.

    Attributes:
        labels: The labels.
        true: Number of the label of each prompt, (prompts,), int64; UNPARSED for a prompt without one.
        answered: Number of the label that each lane's answer names, (lanes, prompts), int64; UNPARSED for none.
        has_answer: Whether each lane has answered, (lanes, prompts), bool.
        chosen: Number of the likeliest label, (lanes, prompts), int64; UNPARSED where it was not computed.
        chosen_per_token: The same by the likelihood per token.
        probabilities: Probability of each label by likelihood, (lanes, prompts, labels), float64; NaN where unknown.
    """

    labels: LabelSet
    true: np.ndarray
    answered: np.ndarray
    has_answer: np.ndarray
    chosen: np.ndarray
    chosen_per_token: np.ndarray
    probabilities: np.ndarray

    def table(self, lane: int, way: str = "answered") -> ClassificationTable | None:
        """Return the tables of a lane; None if no labeled row was answered.

        Args:
            lane: The lane.
            way: "answered", "chosen" or "chosen_per_token".
        """
        predicted = getattr(self, way)[lane]
        known = self.true != UNPARSED
        known &= self.has_answer[lane] if way == "answered" else predicted != UNPARSED
        return tabulate(self.labels.names, self.true[known], predicted[known]) if known.any() else None


def read_classification(evaluation: Evaluation, prompts: int) -> Classification | None:
    """Return the labels and answers of an evaluation; None if its references are no labels.

    Args:
        evaluation: The evaluation.
        prompts: Number of its prompts, without the probes that follow them.
    """
    references = [prompt.reference for prompt in itertools.islice(evaluation.prompts(), prompts)]
    labels = find_labels(references)
    if labels is None:
        return None
    lanes, size = len(evaluation.config().lanes), len(labels.names)
    numbers = [labels.index_of(reference) for reference in references]
    true = np.array([UNPARSED if number is None else number for number in numbers])
    answered, has_answer = np.full((lanes, prompts), UNPARSED), np.zeros((lanes, prompts), bool)
    answers = evaluation.answers()
    for index in range(prompts):
        for lane, line in enumerate(answers.read(index)):
            if line is not None and line["end"] != "failed":
                has_answer[lane, index] = True
                number = labels.parse(line["text"])
                answered[lane, index] = UNPARSED if number is None else number
    reader = LossReader(evaluation.choices_file, lanes).update()
    found = [read_choices(reader, lane, prompts, size) for lane in range(lanes)]
    chosen = [choose(losses, tokens, per_token=False) for losses, tokens in found]
    per_token = [choose(losses, tokens, per_token=True)[0] for losses, tokens in found]
    return Classification(
        labels, true, answered, has_answer, np.stack([numbers for numbers, _ in chosen]), np.stack(per_token),
        np.stack([probabilities for _, probabilities in chosen]),
    )  # fmt: skip


def label_scores(evaluation: Evaluation, prompts: int) -> dict[str, np.ndarray]:
    """Return which rows are right, (lanes, prompts), 1, 0, or NaN without a value, by metric; empty without labels.

    Args:
        evaluation: The evaluation.
        prompts: Number of its prompts, without the probes.
    """
    found = read_classification(evaluation, prompts)
    if found is None:
        return {}
    is_labeled = found.true != UNPARSED
    ways = {
        "accuracy": (found.answered, found.has_answer & is_labeled),
        "choice": (found.chosen, (found.chosen != UNPARSED) & is_labeled),
        "choice_per_token": (found.chosen_per_token, (found.chosen_per_token != UNPARSED) & is_labeled),
    }
    scores = {name: np.where(known, predicted == found.true, np.nan) for name, (predicted, known) in ways.items()}
    return {name: values for name, values in scores.items() if np.isfinite(values).any()}
