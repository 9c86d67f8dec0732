"""Task of a prompt set: classification, summarization or generation, stated in the settings or found in the references.

The task decides which groups of metrics are computed, and which metric decides in a verdict. Summaries are not found
by themselves: a short answer to a question about a long text looks the same. A note proposes that task where it may
apply.
"""

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.errors import StudioError
from core.evaluate.classification.labels import MAX_LABELS, LabelSet, find_labels, label_set
from core.evaluate.config import AUTO_TASK, Task
from core.evaluate.metrics.tasks import CLASSIFICATION, GENERATION, TASKS
from core.evaluate.metrics.words import split_words
from core.evaluate.prompts import Prompt
from core.system.counting import counted

# Prompts that are read to see whether the references may be summaries.
_COUNTED_PROMPTS = 200
# References may be summaries if the median question has this many words, and this many times as many as its reference.
_MIN_SOURCE_WORDS, _MIN_COMPRESSION = 100, 3


@dataclass(frozen=True)
class FoundTask:
    """Task of a prompt set.

    Attributes:
        name: The task.
        why: What was stated or found, as a sentence.
        labels: The labels of a classification; None for another task.
    """

    name: Task
    why: str
    labels: LabelSet | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that are computed."""
        return TASKS[self.name].metrics


def find_task(setting: str, prompts: Iterable[Prompt]) -> FoundTask:
    """Return the task of a prompt set; the probes among its prompts do not count.

    Args:
        setting: A task, or "auto".
        prompts: The prompts.

    Raises:
        StudioError: The set is stated to be a classification, and its references cannot be labels.
    """
    asked = iter(prompt for prompt in prompts if prompt.probe is None)
    first = list(itertools.islice(asked, _COUNTED_PROMPTS))
    references = (prompt.reference for prompt in itertools.chain(first, asked))
    if setting == CLASSIFICATION:
        labels = _stated_labels([reference for reference in references if reference.strip()])
        return FoundTask(
            CLASSIFICATION, f"Task: classification, as chosen, with {counted(len(labels.names), 'label')}.", labels
        )
    if setting != AUTO_TASK:
        return FoundTask(setting, f"Task: {setting}, as chosen.")
    if labels := find_labels(references):
        found = f"the references are {len(labels.names):,} short texts that occur again and again"
        return FoundTask(CLASSIFICATION, f"Task: classification, because {found}.", labels)
    if not any(prompt.reference.strip() for prompt in first):
        return FoundTask(GENERATION, f"Task: generation, because {_describe_none(len(first))} has a reference.")
    found = "the references are not a few short texts that occur again and again"
    return FoundTask(GENERATION, " ".join([f"Task: generation, because {found}.", *_propose_summaries(first)]))


def _describe_none(rows: int) -> str:
    return "no row" if rows < _COUNTED_PROMPTS else f"none of the first {rows:,} rows"


def _stated_labels(references: Sequence[str]) -> LabelSet:
    """Return the different references as labels, also if they are long or seldom repeated."""
    labels = label_set(references)
    count, expected = len(labels.names), "Choose prompts with labels, or another task."
    if not count:
        raise StudioError(f"The task is classification, but no row has a reference, which is its label. {expected}")
    if count == 1:
        raise StudioError(
            f"The task is classification, but all references are the label {labels.names[0][:80]!r}, and every answer "
            f"can be compared with that one only. {expected}"
        )
    if count > MAX_LABELS:
        raise StudioError(
            f"The task is classification, but the rows have {count:,} different references, and a classification has "
            f"at most {MAX_LABELS:,} labels. {expected}"
        )
    return labels


def _propose_summaries(prompts: Sequence[Prompt]) -> list[str]:
    """Return a sentence if the references may be summaries: much shorter than long texts that they follow."""
    counts = [(len(split_words(p.question)), len(split_words(p.reference))) for p in prompts if p.reference.strip()]
    sources = statistics.median(source for source, _ in counts)
    shares = statistics.median(source / max(1, reference) for source, reference in counts)
    if sources < _MIN_SOURCE_WORDS or shares < _MIN_COMPRESSION:
        return []
    return ["If they are summaries of the prompts, choose Task summarization: ROUGE-L then decides."]
