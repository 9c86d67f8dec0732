"""Near duplicates: rows that share most of their three-word shingles, found by MinHash and banding.

    readings/<key>/near.parquet   row, near_duplicate_of: an earlier row with nearly the same text

1. Each row becomes a set of shingles (runs of three words) and a sketch of 72 MinHash values (Broder, 1997).
2. Rows with equal values in one of 9 bands of 8 are candidates (Leskovec, Rajaraman and Ullman, Mining of Massive
   Datasets, section 3.4).
3. A candidate is a near duplicate if at least 80 % of all 72 values agree, an estimate of the Jaccard similarity.
"""

import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from core.data import parse_rows
from core.data.formats import Reading
from core.data.parallel import map_row_groups
from core.data.table import Dataset
from core.settings import Settings
from core.system.files import replacing

# Estimated Jaccard similarity of the sets of shingles from which two rows are near duplicates.
MIN_SIMILARITY = 0.8
# With 72 values in 9 bands of 8, two rows of similarity 0.8 share a band with probability 1 - (1 - 0.8^8)^9 = 0.81, of
# similarity 0.9 with 0.995, and of similarity 0.5 with 0.03, which the comparison of all 72 values then rejects.
VALUES, BANDS = 72, 9
SHINGLE_WORDS = 3
# Thai, Lao, Burmese, Khmer, kana, Han: scripts without spaces between words, in which every character counts as a word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002ffff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_ASCII_WORD = re.compile(r"\w+")
_SEED = 1


def path_of(settings: Settings, data: Dataset, reading: Reading) -> Path:
    """Return the path of the file of near duplicates, whether it exists or not."""
    return parse_rows.folder(settings, data.id, reading) / "near.parquet"


def find(
    settings: Settings, data: Dataset, reading: Reading, progress: Callable[[float], None] = lambda share: None
) -> Path:
    """Find the near duplicates among the usable rows, unless they were found before.

    Args:
        settings: The studio's settings.
        data: The dataset.
        reading: How its rows are parsed.
        progress: Callback for the share of rows that are sketched, 0 to 1.

    Returns:
        The path of the file.
    """
    target = path_of(settings, data, reading)
    source = target.parent / "rows.parquet"
    with FileLock(target.with_suffix(".lock")):
        if target.is_file():
            return target
        numbers, sketches = [], []
        for rows, values in map_row_groups(source, ["row", "problem", "messages"], make_sketcher, (), progress):
            numbers.append(rows)
            sketches.append(values)
        found = _pairs(np.concatenate(numbers), np.concatenate(sketches))
        with replacing(target) as temporary:
            pq.write_table(found, temporary)
    return target


def make_sketcher() -> Callable[[pa.Table], tuple[np.ndarray, np.ndarray]]:
    """Return a function from a row group to the row numbers and the MinHash values of its usable rows.

    Their shapes are (usable rows,) of int64 and (usable rows, VALUES) of uint32.
    """
    from rensa import RMinHash

    def sketch(group: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        usable = [record for record in group.to_pylist() if record["problem"] is None]
        sets = [shingles("\n".join(m["content"] for m in record["messages"])) for record in usable]
        rows = np.array([record["row"] for record in usable], dtype=np.int64)
        if not sets:
            return rows, np.empty((0, VALUES), dtype=np.uint32)
        matrix = RMinHash.digest_matrix_from_token_sets(sets, num_perm=VALUES, seed=_SEED)
        return rows, np.array(matrix.to_rows(), dtype=np.uint32)

    return sketch


def shingles(text: str) -> list[str]:
    """Return the runs of three words in a text, or of three characters in a script without spaces between words."""
    parts = (_ASCII_WORD if text.isascii() else _WORD).findall(parse_rows.fold_text(text))
    if len(parts) <= SHINGLE_WORDS:
        return [" ".join(parts)]
    return [" ".join(run) for run in zip(parts, parts[1:], parts[2:], strict=False)]


def _pairs(numbers: np.ndarray, sketches: np.ndarray) -> pa.Table:
    """Return each near duplicate with the earliest row that it nearly equals.

    Args:
        numbers: Row numbers in ascending order. (rows,)
        sketches: MinHash values of uint32. (rows, VALUES)
    """
    # Index of the earliest similar row, or -1. (rows,)
    earlier = np.full(len(numbers), -1, dtype=np.int64)
    width = VALUES // BANDS
    with duckdb.connect() as base:
        for band in range(BANDS):
            # Pairs of 32-bit values as 64-bit ones: half as many columns to group by. (rows, width / 2)
            part = np.ascontiguousarray(sketches[:, band * width : (band + 1) * width]).view(np.uint64)
            columns = {f"v{i}": part[:, i] for i in range(part.shape[1])}
            base.register("band", pa.table({"position": np.arange(len(numbers)), **columns}))
            # Comparing a row only with the first of its band keeps this linear in the number of rows.
            first = base.execute(
                f"SELECT position, min(position) OVER (PARTITION BY {', '.join(columns)}) AS first FROM band "
                "QUALIFY first < position"
            ).fetchnumpy()
            position, candidate = first["position"], first["first"]
            is_similar = np.array(
                [
                    (sketches[a] == sketches[b]).mean() >= MIN_SIMILARITY
                    for a, b in zip(position, candidate, strict=True)
                ],
                dtype=bool,
            )
            position, candidate = position[is_similar], candidate[is_similar]
            known = earlier[position]
            earlier[position] = np.where(known < 0, candidate, np.minimum(known, candidate))
    found = np.flatnonzero(earlier >= 0)
    return pa.table({"row": numbers[found], "near_duplicate_of": numbers[earlier[found]]})
