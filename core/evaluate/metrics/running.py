"""Running sums over the answers of one lane, shown while answers are still being written.

The scores of all metrics (`core.evaluate.scores`) take their place once the evaluation has ended.
"""

from dataclasses import dataclass


@dataclass
class LaneMetrics:
    """Running sums over the answers of one lane.

    Attributes:
        answers: Number of answers.
        completed: Answers that ended at an end token or a stop word, not at a limit.
        tokens: Sum of their lengths.
        referenced: Answers that were compared with a reference.
        exact: Sum of exact matches.
        f1: Sum of word F1.
    """

    answers: int = 0
    completed: int = 0
    tokens: int = 0
    referenced: int = 0
    exact: int = 0
    f1: float = 0.0

    def add(self, line: dict) -> None:
        """Add one line of answers.jsonl."""
        self.answers += 1
        self.completed += line["end"] in ("end", "stop word")
        self.tokens += line["tokens"]
        if line.get("f1") is not None:
            self.referenced += 1
            self.exact += bool(line["exact"])
            self.f1 += line["f1"]

    @property
    def completed_share(self) -> float | None:
        """Return the share of answers that ended before the limit; None without answers."""
        return self.completed / self.answers if self.answers else None

    @property
    def mean_tokens(self) -> float | None:
        """Return the mean length in tokens; None without answers."""
        return self.tokens / self.answers if self.answers else None

    @property
    def exact_share(self) -> float | None:
        """Return the share of exact matches; None without references."""
        return self.exact / self.referenced if self.referenced else None

    @property
    def mean_f1(self) -> float | None:
        """Return the mean word F1; None without references."""
        return self.f1 / self.referenced if self.referenced else None
