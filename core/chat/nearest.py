"""Training rows of a run that are nearest to an answer, by BM25.

BM25 (Robertson and Walker 1994, Lucene's variant) scores the rare words that two texts share. It needs no second model,
and a reader can check the result by the words.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import bm25s

from core.data import subset
from core.data.table import TRAIN
from core.errors import StudioError
from core.settings import Settings

METHOD = "BM25: the rarer a word that both texts have, the more it counts"
# Data comes in all languages, and a word that is in every row weighs little anyway.
_STOP_WORDS = None
_CACHED_INDEXES = 4


@dataclass(frozen=True)
class NearRow:
    """A training row near an answer.

    Attributes:
        row: Its number in the subset's source.
        score: BM25 score; 0 if no word is shared.
        prompt: Its first question.
        answer: All its answers, one per line.
    """

    row: int
    score: float
    prompt: str
    answer: str


def nearest(settings: Settings, subset_name: str, text: str, limit: int = 8) -> list[NearRow]:
    """Return the rows of a subset's train split whose answers are nearest to a text, nearest first.

    Args:
        settings: The studio's settings.
        subset_name: Subset of the run.
        text: The answer.
        limit: How many rows to return.

    Raises:
        StudioError: The subset is gone, or has no rows to train on.
    """
    known = subset.find(settings, subset_name)
    rows, index = _indexed(settings.home, subset_name, known.sha256)
    query = bm25s.tokenize([text], stopwords=_STOP_WORDS, show_progress=False)
    if index is None or not query.vocab:
        return []
    found, scores = index.retrieve(query, k=min(limit, len(rows)), show_progress=False)
    return [
        NearRow(rows[at][0], float(score), rows[at][1], rows[at][2])
        for at, score in zip(found[0], scores[0], strict=True)
        if score > 0
    ]


# The hash is part of the key, so that a subset that was changed is indexed again.
@lru_cache(maxsize=_CACHED_INDEXES)
def _indexed(home: Path, name: str, sha256: str) -> tuple[list[tuple[int, str, str]], bm25s.BM25 | None]:
    """Return rows as (number, first question, all answers), and their index; None if the answers hold no word."""
    rows = []
    for split, number, messages in subset.stream(Settings(home=home), name):
        if split == TRAIN:
            answers = "\n".join(message["content"] for message in messages if message["role"] == "assistant")
            question = next((message["content"] for message in messages if message["role"] == "user"), "")
            rows.append((number, question, answers))
    if not rows:
        raise StudioError(f"The subset {name!r} has no rows to train on. Choose another one.")
    tokens = bm25s.tokenize([answers for *_, answers in rows], stopwords=_STOP_WORDS, show_progress=False)
    if not tokens.vocab or set(tokens.vocab) == {""}:
        return rows, None
    index = bm25s.BM25(method="lucene")
    index.index(tokens, show_progress=False)
    return rows, index
