"""What can be said of answers by counting: how they ended, how long they are, and how near to a reference they come.

Exact match and the F1 of words are those of SQuAD (Rajpurkar et al. 2016, section 6.1), without its dropping of English
articles. They tell how alike two texts are, not which is better.
"""

import re
from collections import Counter
from dataclasses import dataclass

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def exact_match(answer: str, reference: str) -> bool:
    """Whether both have the same words in the same order, whatever their case and punctuation."""
    return words(answer) == words(reference)


def word_f1(answer: str, reference: str) -> float:
    """Harmonic mean of precision and recall of the words, each counted as often as it is there; 0 to 1."""
    said, wanted = words(answer), words(reference)
    if not said or not wanted:
        return float(said == wanted)
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted))


@dataclass
class LaneMetrics:
    """Running sums over one lane's answers."""

    answers: int = 0
    ended: int = 0
    tokens: int = 0
    referenced: int = 0
    exact: int = 0
    f1: float = 0.0

    def add(self, line: dict) -> None:
        """One line of answers.jsonl."""
        self.answers += 1
        self.ended += line["end"] in ("end", "stop word")
        self.tokens += line["tokens"]
        if line.get("f1") is not None:
            self.referenced += 1
            self.exact += bool(line["exact"])
            self.f1 += line["f1"]

    @property
    def ended_share(self) -> float | None:
        return self.ended / self.answers if self.answers else None

    @property
    def mean_tokens(self) -> float | None:
        return self.tokens / self.answers if self.answers else None

    @property
    def exact_share(self) -> float | None:
        return self.exact / self.referenced if self.referenced else None

    @property
    def mean_f1(self) -> float | None:
        return self.f1 / self.referenced if self.referenced else None
