"""Running means over the answers of one lane, shown while answers are still being written.

The scores of all metrics (`core.evaluate.scores`) take their place once the evaluation has ended.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from core.evaluate.metrics.form import ended_by_itself

# Values of one answer by the names of the metrics in the registry.
LaneValues = dict[str, float]


def values_of(line: dict[str, Any]) -> LaneValues:
    """Return the known values of a line of answers.jsonl; as in the scores, a failed answer has none."""
    if line["end"] == "failed":
        return {}
    values = {
        "tokens": line["tokens"], "ended": ended_by_itself(line["end"]), "exact_match": line.get("exact"),
        "word_f1": line.get("f1"),
    }  # fmt: skip
    return {name: value for name, value in values.items() if value is not None}


@dataclass
class LaneMetrics:
    """Running sums over the answers of one lane.

    Attributes:
        sums: Sum of each metric, by its name in the registry.
        counts: Number of answers that have a value of it.
    """

    sums: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, values: LaneValues) -> None:
        """Add the values of one answer."""
        self.sums.update(values)
        self.counts.update(values.keys())

    def means(self) -> dict[str, float]:
        """Return the mean of each metric that has a value, by its name in the registry."""
        return {name: self.sums[name] / count for name, count in self.counts.items()}
