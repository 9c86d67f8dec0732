"""Metrics of each task of a prompt set: the groups that are computed, and those that can decide a verdict."""

from dataclasses import dataclass

from core.evaluate.metrics.registry import GROUPS

CLASSIFICATION, SUMMARIZATION, GENERATION = "classification", "summarization", "generation"


@dataclass(frozen=True)
class TaskRules:
    """Metrics of a task.

    Attributes:
        groups: Names of the groups of metrics that are computed (`registry.GROUPS`).
        primary: Names of the metrics that can decide; the first one with a value does.
    """

    groups: tuple[str, ...]
    primary: tuple[str, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that are computed."""
        return tuple(metric.name for group in self.groups for metric in GROUPS[group])


_TEXTS = ("likelihood", "match", "overlap", "form", "source")
TASKS: dict[str, TaskRules] = {
    CLASSIFICATION: TaskRules(
        ("label", "likelihood", "match", "form"), ("accuracy", "choice", "choice_per_token", "loss", "word_f1")
    ),
    SUMMARIZATION: TaskRules(_TEXTS, ("rouge_l", "loss", "word_f1")),
    GENERATION: TaskRules(_TEXTS, ("loss", "word_f1")),
}
