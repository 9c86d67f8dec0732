"""Near duplicates: rows whose texts share most of their three-word runs, found by MinHash and banding.

    readings/<key>/near.parquet   row, near_duplicate_of: an earlier row that is almost the same

MinHash after Broder (1997); banding after Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4.
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

SIMILAR = 0.8  # estimated Jaccard similarity of the sets of runs from which two rows are near duplicates
# 72 values in 9 bands of 8: two rows of similarity 0.8 meet in a band with probability 1 - (1 - 0.8^8)^9 = 0.81, of
# 0.9 with 0.995; of 0.5 with 0.03, which the comparison of all 72 then turns away.
VALUES, BANDS = 72, 9
RUN = 3
# Thai and Lao, Burmese, Khmer, kana, Han: scripts without spaces between words, where every character counts as one.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002ffff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_ASCII_WORD = re.compile(r"\w+")
_SEED = 1


def path_of(settings: Settings, data: Dataset, reading: Reading) -> Path:
    return parse_rows.folder(settings, data.id, reading) / "near.parquet"


def find(settings: Settings, data: Dataset, reading: Reading, at: Callable[[float], None] = lambda share: None) -> Path:
    """Find the near duplicates among the usable rows, once; the file is found again afterwards."""
    target = path_of(settings, data, reading)
    source = target.parent / "rows.parquet"
    with FileLock(target.with_suffix(".lock")):
        if target.is_file():
            return target
        numbers, sketches = [], []
        for rows, values in map_row_groups(source, ["row", "problem", "messages"], make_sketcher, (), at):
            numbers.append(rows)
            sketches.append(values)
        found = _pairs(np.concatenate(numbers), np.concatenate(sketches))
        with replacing(target) as temporary:
            pq.write_table(found, temporary)
    return target


def make_sketcher() -> Callable[[pa.Table], tuple[np.ndarray, np.ndarray]]:
    """What turns a group of rows into (rows,) numbers and (rows, VALUES) MinHash values; unusable rows are left out."""
    from rensa import RMinHash

    def sketched(group: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        usable = [record for record in group.to_pylist() if record["problem"] is None]
        runs = [shingles("\n".join(m["content"] for m in record["messages"])) for record in usable]
        rows = np.array([record["row"] for record in usable], dtype=np.int64)
        if not runs:
            return rows, np.empty((0, VALUES), dtype=np.uint32)
        matrix = RMinHash.digest_matrix_from_token_sets(runs, num_perm=VALUES, seed=_SEED)
        return rows, np.array(matrix.to_rows(), dtype=np.uint32)

    return sketched


def shingles(text: str) -> list[str]:
    """The runs of three words in a text; of three characters, where a script has no spaces between words."""
    parts = (_ASCII_WORD if text.isascii() else _WORD).findall(parse_rows.fold_text(text))
    if len(parts) <= RUN:
        return [" ".join(parts)]
    return [" ".join(run) for run in zip(parts, parts[1:], parts[2:], strict=False)]


def _pairs(numbers: np.ndarray, sketches: np.ndarray) -> pa.Table:
    """Each row with the first row that it is almost the same as: those that share a band are compared in full."""
    earlier = np.full(len(numbers), -1, dtype=np.int64)
    width = VALUES // BANDS
    with duckdb.connect() as base:
        for band in range(BANDS):
            part = np.ascontiguousarray(sketches[:, band * width : (band + 1) * width]).view(np.uint64)
            columns = {f"v{i}": part[:, i] for i in range(part.shape[1])}
            base.register("band", pa.table({"place": np.arange(len(numbers)), **columns}))
            first = base.execute(
                f"SELECT place, min(place) OVER (PARTITION BY {', '.join(columns)}) AS first FROM band "
                "QUALIFY first < place"
            ).fetchnumpy()
            place, candidate = first["place"], first["first"]
            alike = np.array(
                [(sketches[a] == sketches[b]).mean() >= SIMILAR for a, b in zip(place, candidate, strict=True)],
                dtype=bool,
            )
            place, candidate = place[alike], candidate[alike]
            known = earlier[place]
            earlier[place] = np.where(known < 0, candidate, np.minimum(known, candidate))
    found = np.flatnonzero(earlier >= 0)
    return pa.table({"row": numbers[found], "near_duplicate_of": numbers[earlier[found]]})
