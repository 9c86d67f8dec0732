"""Metrics of an answer by itself: its length, its end, repetition, and its language."""

import itertools

import numpy as np

from core.evaluate.metrics.words import split_words


def form_scores(answer: str, tokens: int, end: str) -> dict[str, float]:
    """Return the metrics of an answer that need nothing else, by name.

    Args:
        answer: Its text.
        tokens: Number of tokens that the model wrote.
        end: Why it ended, one of `core.chat.types.END_LABELS`.
    """
    scores = {"tokens": float(tokens)}
    if (ended := ended_by_itself(end)) is not None:
        scores["ended"] = ended
    words = split_words(answer)
    if words:
        scores["distinct_1"] = len(set(words)) / len(words)
        scores["longest_loop"] = float(longest_loop(words))
    if len(words) > 1:
        scores["distinct_2"] = len(bigrams(words)) / (len(words) - 1)
    return scores


def ended_by_itself(end: str) -> float | None:
    """Return 1 for an answer that the model finished, 0 for one that was cut, None for any other end."""
    return {"end": 1.0, "stop word": 1.0, "length": 0.0}.get(end)


def bigrams(words: tuple[str, ...]) -> set[tuple[str, str]]:
    """Return the different pairs of neighboring words."""
    return set(itertools.pairwise(words))


def longest_loop(words: tuple[str, ...]) -> int:
    """Return the number of words in the longest stretch that repeats one unit, at least twice; 0 if none does.

    A stretch of period p is a run of positions i with words[i] == words[i + p]. A run of length r spans r + p words,
    and at least two repetitions need r >= p.
    """
    numbers: dict[str, int] = {}
    ids = np.array([numbers.setdefault(word, len(numbers)) for word in words], dtype=np.int32)  # (words,)
    longest = 0
    # Only words that occur again can be the beginning of a repeated unit.
    if len(numbers) == len(words):
        return 0
    for period in range(1, len(ids) // 2 + 1):
        equal = (ids[period:] == ids[:-period]).tobytes()
        # The search for a long enough run is one pass in C; most periods have none.
        needed = max(period, longest - period + 1)
        while b"\x01" * needed in equal:
            longest = needed + period
            needed += 1
    return longest


def language_kept(expected: str | None, found: str | None) -> float | None:
    """Return 1 if the languages are the same, 0 if they differ, None if one of them is unknown."""
    return float(expected == found) if expected and found else None
