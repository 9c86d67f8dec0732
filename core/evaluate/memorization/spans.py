"""Verbatim spans of an answer: the longest first, without overlaps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.evaluate.memorization.token_index import TokenIndex

# Shorter spans are common phrases of the language: "in the middle of the" says nothing about training.
MIN_TOKENS = 8


@dataclass(frozen=True)
class Span:
    """A part of an answer that stands in a training row.

    Attributes:
        start: Index of its first token in the answer.
        end: Index after its last token.
        row: A row that contains it.
    """

    start: int
    end: int
    row: int

    @property
    def length(self) -> int:
        """Return the number of tokens."""
        return self.end - self.start


def find_spans(index: TokenIndex, ids: Sequence[int], minimum: int = MIN_TOKENS) -> list[Span]:
    """Return the spans of an answer that stand in the indexed texts, the longest first.

    Args:
        index: The training texts.
        ids: Tokens of the answer.
        minimum: Length of the shortest span, in tokens.
    """
    lengths, rows = index.longest_matches(np.asarray(ids, np.uint32))
    found, end = [], 0
    for start, (length, row) in enumerate(zip(lengths.tolist(), rows.tolist(), strict=True)):
        # A match that ends where an earlier one ends is a part of it.
        if length >= minimum and start + length > end:
            found.append(Span(start, start + length, row))
            end = start + length
    kept: list[Span] = []
    for span in sorted(found, key=lambda span: (-span.length, span.start)):
        for part in _outside(span, kept):
            if part.length >= minimum:
                kept.append(part)
    return sorted(kept, key=lambda span: (-span.length, span.start))


def _outside(span: Span, kept: list[Span]) -> list[Span]:
    """Return the parts of a span that are in none of the kept spans."""
    parts = [span]
    for other in kept:
        parts = [
            piece
            for part in parts
            for piece in (
                Span(part.start, min(part.end, other.start), part.row),
                Span(max(part.start, other.end), part.end, part.row),
            )
            if piece.length > 0
        ]
    return parts


def copied_share(spans: Sequence[Span], tokens: int) -> float:
    """Return the share of an answer's tokens that stand in a span, 0 to 1; 0 for an empty answer."""
    return sum(span.length for span in spans) / tokens if tokens else 0.0
