"""Two subsets side by side: the conversations they have in common, and how their lengths are spread."""

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
    """Attributes:
    left_size, right_size: how many different conversations each holds.
    common: conversations that both hold.
    crossed: conversations that one trains on and the other holds out.
    edges, left, right: histograms of the lengths in characters; each counts rows.
    """

    left_size: int
    right_size: int
    common: int
    crossed: int
    edges: list[int]
    left: list[int]
    right: list[int]


def compare(settings: Settings, left: str, right: str) -> Comparison:
    one, other = _read(settings, left), _read(settings, right)
    sizes = [np.array([size for _, size in found.values()]) for found in (one, other)]
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
    """The split and the length of every conversation, by its hash."""
    return {
        hash_text(json.dumps(messages)): (split, _characters(messages))
        for split, _, messages in subset.stream(settings, name)
    }


def _characters(messages: list[Message]) -> int:
    return sum(len(message["content"]) for message in messages)
