"""Groups of the prompts of an evaluation, to find where tuning helped: one label per prompt and grouping.

A grouping in which all prompts have the same label is left out. Lengths are counted in words and split at their
quartiles; the label has the bounds of its quarter.
"""

from collections.abc import Callable

import numpy as np

from core.evaluate.classification.labels import LabelSet
from core.evaluate.metrics.words import split_words
from core.evaluate.prompts import Prompt

LABEL, LANGUAGE, TURNS = "label", "language", "turns"
PROMPT_LENGTH, REFERENCE_LENGTH = "prompt length", "reference length"
# Prefix of groupings by a column of the source, so that a column named "turns" is not confused with the turns.
COLUMN = "column "
NO_VALUE, NO_REFERENCE, NO_LABEL, UNKNOWN = "no value", "no reference", "no label", "unknown"
_MAX_TURNS = 5


class Traits:
    """Collects the labels of prompts, in their order."""

    def __init__(self, detect_language: Callable[[str], str | None], labels: LabelSet | None = None):
        """Start without prompts.

        Args:
            detect_language: Returns the language of a text, or None (`core.data.languages`).
            labels: The labels of a classification, which group the prompts in the spelling that counts.
        """
        self._detect, self._label_set = detect_language, labels
        self._labels: list[int | None] = []
        self._languages: list[str] = []
        self._turns: list[str] = []
        self._prompt_words: list[int] = []
        self._reference_words: list[int] = []
        self._columns: list[dict[str, str]] = []

    def add(self, prompt: Prompt) -> str | None:
        """Add a prompt, and return the language of its question; None if it is unknown."""
        language = self._detect(prompt.question)
        self._languages.append(language or UNKNOWN)
        self._turns.append(_turns_label(sum(message["role"] == "user" for message in prompt.messages)))
        self._prompt_words.append(sum(len(split_words(message["content"])) for message in prompt.messages))
        self._reference_words.append(len(split_words(prompt.reference)) if prompt.reference.strip() else -1)
        self._columns.append(prompt.columns)
        self._labels.append(self._label_set.index_of(prompt.reference) if self._label_set else None)
        return language

    def groups(self) -> dict[str, np.ndarray]:
        """Return the labels of all prompts, (prompts,), by the name of the grouping."""
        names = dict.fromkeys(name for columns in self._columns for name in columns)
        found = {
            LABEL: self._label_names(),
            LANGUAGE: self._languages,
            TURNS: self._turns,
            PROMPT_LENGTH: quartile_labels(np.array(self._prompt_words)),
            REFERENCE_LENGTH: quartile_labels(np.array(self._reference_words)),
            **{
                COLUMN + name: [columns.get(name, NO_VALUE) for columns in self._columns]
                for name in names
                if not self._is_label(name)
            },
        }
        return {name: np.array(labels, dtype=object) for name, labels in found.items() if len(set(labels)) > 1}

    def _label_names(self) -> list[str]:
        """Return the label of each prompt in its usual spelling."""
        names = self._label_set.names if self._label_set else []
        return [NO_LABEL if label is None else names[label] for label in self._labels]

    def _is_label(self, column: str) -> bool:
        """Return whether a column holds the labels, in whatever spelling."""
        return self._label_set is not None and all(
            column in columns and self._label_set.index_of(columns[column]) == label
            for columns, label in zip(self._columns, self._labels, strict=True)
            if label is not None
        )


def _turns_label(count: int) -> str:
    if count >= _MAX_TURNS:
        return f"{_MAX_TURNS} or more turns"
    return f"{count} turn" + "s" * (count != 1)


def quartile_labels(lengths: np.ndarray) -> list[str]:
    """Return the quarter of each length as a label with its bounds, such as "4 to 12 words".

    Args:
        lengths: (prompts,), int64; -1 where there is no reference.
    """
    known = lengths[lengths >= 0]
    if not len(known):
        return [NO_REFERENCE] * len(lengths)
    # Equal lengths are never split: a quarter ends with the length at the quartile.
    edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75], method="lower"))
    quarters = np.searchsorted(edges, lengths)  # (prompts,)
    labels = {}
    for quarter in np.unique(quarters[lengths >= 0]):
        inside = lengths[(quarters == quarter) & (lengths >= 0)]
        low, high = int(inside.min()), int(inside.max())
        labels[quarter] = f"{low:,} to {high:,} words" if low < high else f"{low:,} word" + "s" * (low != 1)
    return [NO_REFERENCE if length < 0 else labels[quarter] for length, quarter in zip(lengths, quarters, strict=True)]
