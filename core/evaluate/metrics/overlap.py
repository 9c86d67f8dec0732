"""Metrics of an answer against its reference, by counting what both texts share.

BLEU and chrF come from sacrebleu, ROUGE-1 and ROUGE-2 from rouge-score. Both libraries take a second to import, so they
are loaded when the first answer is scored.
"""

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from core.evaluate.metrics.words import is_unspaced, split_words

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU, CHRF

_ROUGE = {"rouge1": "rouge_1", "rouge2": "rouge_2"}


def exact_match(answer: str, reference: str) -> bool:
    """Return whether both texts have the same words in the same order, ignoring case and punctuation.

    A reference without words, such as an emoji or a sign, is compared as text.
    """
    if expected := split_words(reference):
        return split_words(answer) == expected
    return answer.strip() == reference.strip()


def word_f1(answer: str, reference: str) -> float | None:
    """Return the harmonic mean of word precision and recall, 0 to 1; repeated words count as often as they occur.

    None if the reference has no words.
    """
    predicted, expected = split_words(answer), split_words(reference)
    if not expected:
        return None
    common = sum((Counter(predicted) & Counter(expected)).values())
    # 2PR / (P + R) with P = common / predicted and R = common / expected.
    return 2 * common / (len(predicted) + len(expected))


def overlap_scores(answer: str, reference: str) -> dict[str, float]:
    """Return the overlap metrics of one answer that need no sums of other rows, by name; {} for a blank reference."""
    if not reference.strip():
        return {}
    scores = {"exact_match": float(exact_match(answer, reference))}
    expected = split_words(reference)
    if not expected:
        return scores
    scores["word_f1"] = word_f1(answer, reference)
    scores["length_ratio"] = len(split_words(answer)) / len(expected)
    scores["rouge_l"] = rouge_l(answer, reference)
    rouge = _rouge_scorer().score(reference, answer)
    # A reference of one word has no pair: its ROUGE-2 has no value.
    known = {kind: name for kind, name in _ROUGE.items() if kind != "rouge2" or len(expected) > 1}
    return scores | {name: rouge[kind].fmeasure for kind, name in known.items()}


def rouge_l(answer: str, reference: str) -> float:
    """Return the F-measure of the longest common subsequence of two texts' words, as rouge-score does.

    rouge-score fills a table of all pairs of words in Python, which takes 40 ms for 150 and 500 words. Here the columns
    of the table are the bits of an integer (Crochemore et al. 2001, "A fast and practical bit-vector algorithm for the
    longest common subsequence problem").
    """
    words, expected = split_words(answer), split_words(reference)
    if not words or not expected:
        return 0.0
    positions: dict[str, int] = {}
    for at, word in enumerate(words):
        positions[word] = positions.get(word, 0) | 1 << at
    every = (1 << len(words)) - 1
    # A zero bit at position i means that the subsequence of words[: i + 1] is one longer than that of words[:i].
    row = every
    for word in expected:
        matches = row & positions.get(word, 0)
        row = (row + matches | row - matches) & every
    common = len(words) - row.bit_count()
    return 2 * common / (len(words) + len(expected))


class CorpusScorer:
    """BLEU and chrF of the rows of one lane, and of the lane as a whole from the sums of their counts.

    Counting is by far the most work, so the counts of each row serve both. sacrebleu gives them through the methods
    that its metrics implement for `corpus_score` and `sentence_score`.
    """

    def __init__(self):
        self._sums: dict[str, np.ndarray | int] = {"bleu": 0, "chrf": 0}
        self._rows = 0

    def add(self, answer: str, reference: str) -> dict[str, float]:
        """Add an answer to the sums, and return its own values; {} for a blank reference."""
        if not reference.strip():
            return {}
        bleu, chrf = _bleu(is_unspaced(reference), is_row=True), _chrf()
        bleu_counts = bleu._extract_corpus_statistics([answer], [[reference]])[0]
        chrf_counts = chrf._extract_corpus_statistics([answer], [[reference]])[0]
        self._sums["bleu"] = self._sums["bleu"] + np.array(bleu_counts)
        self._sums["chrf"] = self._sums["chrf"] + np.array(chrf_counts)
        self._rows += 1
        return {
            "bleu": bleu._compute_score_from_stats(bleu_counts).score,
            "chrf": chrf._compute_score_from_stats(chrf_counts).score,
        }

    def totals(self) -> dict[str, float]:
        """Return BLEU and chrF of all added rows together; {} without rows."""
        if not self._rows:
            return {}
        metrics = {"bleu": _bleu(False, is_row=False), "chrf": _chrf()}
        return {
            name: metric._compute_score_from_stats(self._sums[name].tolist()).score for name, metric in metrics.items()
        }


@cache
def _bleu(is_unspaced_script: bool, is_row: bool) -> "BLEU":
    from sacrebleu.metrics import BLEU

    # For one row, orders that are longer than the answer are left out, as `sentence_bleu` does.
    return BLEU(tokenize="char" if is_unspaced_script else "13a", effective_order=is_row)


@cache
def _chrf() -> "CHRF":
    from sacrebleu.metrics import CHRF

    return CHRF()


@cache
def _rouge_scorer() -> "RougeScorer":
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(_ROUGE), tokenizer=_Words(split_words))


class _Words:
    """Tokenizer of rouge-score that finds words in any script."""

    def __init__(self, split: Callable[[str], tuple[str, ...]]):
        self._split = split

    def tokenize(self, text: str) -> tuple[str, ...]:
        """Return the words of a text."""
        return self._split(text)
