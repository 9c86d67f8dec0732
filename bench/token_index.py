"""Index of training rows for copied spans: time and memory of building it, and time of a search.

    python bench/token_index.py [--rows 1000000] [--tokens 50]

Rows of random tokens with the frequencies of words (Zipf's law), of which one in a hundred repeats an earlier row.
Prints the time of building, the largest memory of the process beside the mapped files, the size of the files, and the
time of a search for spans of answers of 200 tokens.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core.evaluate.memorization import token_index  # noqa: E402

VOCABULARY = 32_000
_KEPT, _ANSWER_TOKENS, _SEARCHES = 1000, 200, 50


def make_rows(rows: int, tokens: int, numbers: np.random.Generator) -> Iterator[tuple[int, list[int]]]:
    """Yield row numbers and token ids; the lengths vary around `tokens`."""
    weights = 1 / np.arange(1, VOCABULARY + 1)
    sums = np.cumsum(weights / weights.sum())
    kept: list[list[int]] = []
    for row in range(rows):
        if kept and row % 100 == 0:
            yield row, kept[int(numbers.integers(len(kept)))]
            continue
        length = int(numbers.integers(tokens // 2, tokens * 3 // 2 + 1))
        ids = np.searchsorted(sums, numbers.random(length)).clip(max=VOCABULARY - 1).tolist()
        if len(kept) < _KEPT:
            kept.append(ids)
        yield row, ids


def main() -> None:
    """Build the index, search it, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the index (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=50, help="mean number of tokens per row (default: %(default)s)")
    options = parser.parse_args()
    numbers = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder, began = Path(scratch), time.perf_counter()
        token_index.build(folder, make_rows(options.rows, options.tokens, numbers))
        built = time.perf_counter() - began
        size = sum(path.stat().st_size for path in folder.iterdir())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        index = token_index.TokenIndex(folder)
        answers = [ids for _, ids in make_rows(_SEARCHES, _ANSWER_TOKENS, numbers)]
        began = time.perf_counter()
        for ids in answers:
            index.longest_matches(np.asarray(ids, np.uint32))
        searched = (time.perf_counter() - began) / len(answers)
        tokens = len(np.load(folder / "tokens.npy", mmap_mode="r"))
        print(
            f"{options.rows:,} rows, {index.texts:,} texts, {tokens:,} tokens: "
            f"built in {built:.0f} s, process at most {peak / 2**30:.2f} GiB with the pages of mapped files, files "
            f"{size / 2**30:.2f} GiB, {1000 * searched:.1f} ms per answer of about {_ANSWER_TOKENS} tokens."
        )


if __name__ == "__main__":
    main()
