"""Comparison of two subsets: their common conversations and their distributions of lengths."""

import json
from dataclasses import dataclass

import numpy as np

from core.data import subset
from core.data.formats import Message
from core.data.parse_rows import hash_text
from core.settings import Settings

_BINS = 30


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison.

    Attributes:
        left_size: Number of different conversations in the left subset.
        right_size: Number of different conversations in the right subset.
        common: Number of conversations in both.
        crossed: Number of conversations that one subset trains on and the other holds out.
        edges: Edges of the histogram bins, in characters. (bins + 1,)
        left: Number of conversations of the left subset per bin. (bins,)
        right: Number of conversations of the right subset per bin. (bins,)
    """

    left_size: int
    right_size: int
    common: int
    crossed: int
    edges: list[int]
    left: list[int]
    right: list[int]


def compare(settings: Settings, left: str, right: str) -> Comparison:
    """Compare two subsets by name."""
    one, other = _read(settings, left), _read(settings, right)
    sizes = [np.array([size for _, size in found.values()]) for found in (one, other)]
    # The last bin also counts the longest one percent: a few very long rows would flatten all other bins.
    far = int(np.quantile(np.concatenate(sizes), 0.99)) if one or other else 1
    edges = np.linspace(0, max(far, _BINS), _BINS + 1).astype(int)
    counts = [np.histogram(np.minimum(size, edges[-1]), edges)[0].tolist() for size in sizes]
    common = one.keys() & other.keys()
    return Comparison(
        left_size=len(one),
        right_size=len(other),
        common=len(common),
        crossed=sum(one[key][0] != other[key][0] for key in common),
        edges=edges.tolist(),
        left=counts[0],
        right=counts[1],
    )


def _read(settings: Settings, name: str) -> dict[int, tuple[str, int]]:
    """Return the split and the length in characters of every conversation, by its hash."""
    return {
        hash_text(json.dumps(messages)): (split, _characters(messages))
        for split, _, messages in subset.stream(settings, name)
    }


def _characters(messages: list[Message]) -> int:
    return sum(len(message["content"]) for message in messages)
