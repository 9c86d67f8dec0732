"""Files of a measurement: lines that are appended while it runs, and the Parquet file that they become."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.data import table
from core.data.row_losses import SCHEMA, SOURCE_KEY, SPEED_KEY, LossSource
from core.evaluate.line_file import Line
from core.system.files import log_unreadable, replacing

# Lanes of a line: the base model, and the adapter of a run.
BASE_LANE, TUNED_LANE = 0, 1


def make_line(row: int, lane: int, truncated: bool = False, losses: np.ndarray | None = None, note: str = "") -> Line:
    """Return the line of one row and lane.

    Args:
        row: Number of the row.
        lane: BASE_LANE or TUNED_LANE.
        truncated: Whether the row is longer than what the model reads of it.
        losses: Losses of its tokens in nats, (tokens,); None if there are none.
        note: Why it has no loss.
    """
    nll = None if losses is None else float(losses.sum())
    if nll is not None and not math.isfinite(nll):
        nll, note = None, "the model gives no finite loss"
    tokens = 0 if losses is None else len(losses)
    return {"row": row, "lane": lane, "nll": nll, "tokens": tokens, "truncated": truncated, "note": note}


def _read_lines(path: Path) -> Iterator[Line]:
    """Yield the complete lines of a file; a damaged one is left out, and its row is measured again."""
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                try:
                    yield json.loads(line)
                except ValueError as error:
                    log_unreadable(f"A line of {path}", str(error))


def read_done(path: Path, rows: int, lanes: int) -> np.ndarray:
    """Return which rows have a line in each lane, (rows, lanes), bool.

    Args:
        path: The file of lines; it may not exist.
        rows: Number of rows of the dataset.
        lanes: 1 for the base alone, 2 with an adapter.
    """
    done = np.zeros((rows, lanes), dtype=bool)
    for line in _read_lines(path):
        done[line["row"], line["lane"]] = True
    return done


def write_parquet(lines: Path, target: Path, source: LossSource, speed: float) -> None:
    """Write the lines of a complete measurement as a Parquet file, sorted by row.

    Args:
        lines: The file of lines.
        target: The Parquet file.
        source: What was measured; stored in the file's metadata.
        speed: Tokens per second, for later estimates; 0 if not measured.
    """
    rows = np.array(sorted({line["row"] for line in _read_lines(lines)}), dtype=np.int64)
    loss = np.full((len(rows), 2), np.nan)  # (rows, lanes)
    tokens, truncated = np.zeros(len(rows), dtype=np.int32), np.zeros(len(rows), dtype=bool)
    notes: dict[int, str] = {}
    for line in _read_lines(lines):
        at = int(np.searchsorted(rows, line["row"]))
        if line["nll"] is None:
            notes[at] = line["note"]
            continue
        loss[at, line["lane"]] = line["nll"] / line["tokens"]
        tokens[at], truncated[at] = line["tokens"], line["truncated"]
    columns = {
        "row": rows,
        # NaN sorts and compares as a number in SQL; a missing loss is null.
        "base_loss": pa.array(loss[:, BASE_LANE], mask=np.isnan(loss[:, BASE_LANE])),
        "tuned_loss": pa.array(loss[:, TUNED_LANE], mask=np.isnan(loss[:, TUNED_LANE])),
        "tokens": tokens,
        "truncated": truncated,
        "note": [notes.get(at) for at in range(len(rows))],
    }
    metadata = {SOURCE_KEY: source.model_dump_json().encode(), SPEED_KEY: f"{speed:.1f}".encode()}
    with replacing(target) as temporary:
        written = pa.table(columns, schema=SCHEMA.with_metadata(metadata))
        pq.write_table(written, temporary, compression="zstd", row_group_size=table.GROUP_ROWS)
