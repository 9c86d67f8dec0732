"""Why did it say that? The training rows of a run that are nearest to an answer, by BM25.

BM25 (Robertson and Walker 1994, here as Lucene has it) counts the rare words that both have in common: it needs no
second model, and shows what it found by words that a reader can check.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import bm25s

from core.data import subset
from core.data.table import TRAIN
from core.errors import StudioError
from core.settings import Settings

METHOD = "nearest by BM25: rare words in common with the rows' answers"
_STOP_WORDS = None  # all languages are trained on: a word that is everywhere weighs little anyway


@dataclass(frozen=True)
class Near:
    """A training row. Attributes: row: its number in the subset's source; score: of BM25, 0 for nothing in common."""

    row: int
    score: float
    prompt: str
    answer: str


def nearest(settings: Settings, subset_name: str, text: str, most: int = 8) -> list[Near]:
    """The rows of a subset's train split whose answers are nearest to a text, the nearest first.

    Raises:
        StudioError: the subset is gone.
    """
    known = subset.find(settings, subset_name)
    rows, index = _indexed(settings.home, subset_name, known.sha256)
    asked = bm25s.tokenize([text], stopwords=_STOP_WORDS, show_progress=False)
    if index is None or not asked.vocab:
        return []
    found, scores = index.retrieve(asked, k=min(most, len(rows)), show_progress=False)
    return [
        Near(rows[at][0], float(score), rows[at][1], rows[at][2])
        for at, score in zip(found[0], scores[0], strict=True)
        if score > 0
    ]


@lru_cache(maxsize=4)
def _indexed(home: Any, name: str, sha256: str) -> tuple[list[tuple[int, str, str]], bm25s.BM25 | None]:
    """Rows as (number, first question, all answers), and their index; None where there is no word in them."""
    rows = []
    for split, number, messages in subset.stream(Settings(home=home), name):
        if split == TRAIN:
            answers = "\n".join(m["content"] for m in messages if m["role"] == "assistant")
            asked = next((m["content"] for m in messages if m["role"] == "user"), "")
            rows.append((number, asked, answers))
    if not rows:
        raise StudioError(f"The subset {name!r} has no rows to train on.")
    tokens = bm25s.tokenize([answers for *_, answers in rows], stopwords=_STOP_WORDS, show_progress=False)
    if not tokens.vocab or set(tokens.vocab) == {""}:
        return rows, None
    index = bm25s.BM25(method="lucene")
    index.index(tokens, show_progress=False)
    return rows, index
