"""Constrained choice: the label that a model finds most likely as the answer, without generating anything.

    choices.jsonl    like losses.jsonl, but of every label; `prompt` is prompt · number of labels + label

The likelihood of a label is that of all its tokens with the one that ends the answer, so "not" does not profit from
being the beginning of "not spam". Long labels have lower likelihoods by nature; therefore both are known: the label of
the highest likelihood, and that of the highest likelihood per token.
"""

from collections.abc import Iterator

import numpy as np

from core.evaluate.classification.labels import LabelSet, find_labels
from core.evaluate.classification.tables import UNPARSED
from core.evaluate.likelihood import LossReader
from core.evaluate.prompts import Prompt, Prompts

# Each label costs a pass over the whole prompt.
MAX_CHOICE_LABELS = 20


class LabelPrompts:
    """The prompts of a set, once per label, with the label as their reference."""

    def __init__(self, prompts: Prompts, labels: LabelSet):
        self._prompts, self._labels = prompts, labels

    def __len__(self) -> int:
        return len(self._prompts) * len(self._labels.names)

    def __getitem__(self, number: int) -> Prompt:
        prompt, label = divmod(number, len(self._labels.names))
        return self._with_label(self._prompts[prompt], label)

    def __iter__(self) -> Iterator[Prompt]:
        for prompt in self._prompts:
            for label in range(len(self._labels.names)):
                yield self._with_label(prompt, label)

    def _with_label(self, prompt: Prompt, label: int) -> Prompt:
        # A prompt that has no label is not asked about: without a reference, it gets no loss.
        is_labeled = self._labels.index_of(prompt.reference) is not None
        return Prompt(prompt.messages, self._labels.names[label] if is_labeled else "", prompt.row)


def choice_labels(prompts: Prompts) -> tuple[LabelSet | None, str]:
    """Return the labels among which models choose, and why there are none.

    Args:
        prompts: The prompts of the evaluation.

    Returns:
        The labels, or None with a sentence; the sentence is empty if the references are no labels.
    """
    found = find_labels(prompt.reference for prompt in prompts)
    if found is None:
        return None, ""
    if len(found.names) > MAX_CHOICE_LABELS:
        return None, (
            f"The set has {len(found.names):,} labels. Constrained choice reads every prompt once per label, so it is "
            f"left out beyond {MAX_CHOICE_LABELS}; free answers are scored."
        )
    return found, ""


def read_choices(reader: LossReader, lane: int, prompts: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the losses of all labels and their numbers of tokens, (prompts, labels) each; NaN where one is missing.

    Args:
        reader: A reader of choices.jsonl.
        lane: The lane.
        prompts: Number of prompts.
        labels: Number of labels.
    """
    losses, tokens = np.full(prompts * labels, np.nan), np.full(prompts * labels, np.nan)
    for (number, of_lane), (loss, count) in reader.sums.items():
        if of_lane == lane and number < len(losses):
            losses[number], tokens[number] = loss, count
    return losses.reshape(prompts, labels), tokens.reshape(prompts, labels)


def choose(losses: np.ndarray, tokens: np.ndarray, per_token: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the chosen label of each prompt, (prompts,), or UNPARSED, and the probabilities, (prompts, labels).

    The probabilities are those of the labels among each other: exp(-loss) divided by its sum over the labels, with the
    loss per token if `per_token`. A prompt that lacks the loss of a label has neither.

    Args:
        losses: (prompts, labels) in nats.
        tokens: (prompts, labels).
        per_token: Whether losses are divided by the number of tokens.
    """
    scores = -(losses / tokens if per_token else losses)
    known = ~np.isnan(scores).any(axis=1)
    probabilities = np.full_like(scores, np.nan)
    shifted = np.exp(scores[known] - scores[known].max(axis=1, keepdims=True)) if known.any() else scores[known]
    probabilities[known] = shifted / shifted.sum(axis=1, keepdims=True)
    chosen = np.full(len(scores), UNPARSED)
    chosen[known] = probabilities[known].argmax(axis=1)
    return chosen, probabilities
