"""Metrics of an answer against the text that it is about: how much shorter it is, what it copies and what is new.

They are those of the summarization literature (Grusky et al. 2018, "Newsroom"; See et al. 2017, "Get To The Point").
"""

from core.evaluate.metrics.form import bigrams
from core.evaluate.metrics.words import split_words


def source_scores(answer: str, source: str) -> dict[str, float]:
    """Return the metrics of an answer against its source, by name; {} if either has no words."""
    words, source_words = split_words(answer), split_words(source)
    if not words or not source_words:
        return {}
    lengths = [len(span) for span in copied_spans(words, source_words)]
    scores = {
        "compression": len(source_words) / len(words),
        "copied_coverage": sum(lengths) / len(words),
        "copied_density": sum(length * length for length in lengths) / len(words),
    }
    if len(words) > 1:
        pairs = bigrams(words)
        scores["novel_bigrams"] = len(pairs - bigrams(source_words)) / len(pairs)
    return scores


def copied_spans(words: tuple[str, ...], source: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the extractive fragments of an answer: from left to right, the longest spans that the source has as well.

    Args:
        words: Words of the answer.
        source: Words of the source.
    """
    # Every different word is one character, so that the search for a span is Python's search in a string, which is
    # linear in the source. 0x10000 is behind the surrogates.
    numbers = {word: chr(0x10000 + at) for at, word in enumerate(dict.fromkeys((*source, *words)))}
    text, answer = "".join(numbers[word] for word in source), "".join(numbers[word] for word in words)
    spans, start = [], 0
    while start < len(answer):
        end = start
        while end < len(answer) and answer[start : end + 1] in text:
            end += 1
        if end > start:
            spans.append(words[start:end])
        start = max(end, start + 1)
    return spans
