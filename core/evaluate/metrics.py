"""Metrics of answers by counting: how they ended, how long they are, and their overlap with a reference.

Exact match and word F1 are those of SQuAD (Rajpurkar et al. 2016, section 6.1), but English articles are not removed.
They measure how similar two texts are, not which is better.
"""

import re
from collections import Counter
from dataclasses import dataclass

_WORD = re.compile(r"\w+")


def split_words(text: str) -> list[str]:
    """Return the words of a text, without case and punctuation."""
    return _WORD.findall(text.casefold())


def exact_match(answer: str, reference: str) -> bool:
    """Return whether both texts have the same words in the same order, ignoring case and punctuation."""
    return split_words(answer) == split_words(reference)


def word_f1(answer: str, reference: str) -> float:
    """Return the harmonic mean of word precision and recall, 0 to 1; repeated words count as often as they occur."""
    predicted, expected = split_words(answer), split_words(reference)
    if not predicted or not expected:
        # Precision or recall would divide by zero: two empty texts agree, and one empty text shares nothing.
        return float(predicted == expected)
    common = sum((Counter(predicted) & Counter(expected)).values())
    # 2PR / (P + R) with P = common / predicted and R = common / expected.
    return 2 * common / (len(predicted) + len(expected))


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
