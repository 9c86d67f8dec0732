"""Parquet files and folders that `datasets` saved: rows of named columns, a bounded batch at a time."""

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.data.readers.lines import Read
from core.errors import StudioError

_BATCH_BYTES = 16 * 2**20
_BATCH_ROWS = 1000


def as_read(number: int, row: dict[str, Any]) -> Read:
    """A row of Python values; what JSON cannot say becomes text."""
    plain = {str(name): _plain(value) for name, value in row.items()}
    return Read(number, plain, json.dumps(plain, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, (timedelta, Decimal)):
        return str(value)
    return value


def read_parquet(path: Path, name: str, at: Callable[[float], None]) -> Iterator[Read]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=2**20) as file:
            rows = max(1, file.metadata.num_rows)
            size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
            number = 0
            for batch in file.iter_batches(batch_size=max(1, min(_BATCH_ROWS, _BATCH_BYTES * rows // max(1, size)))):
                for row in batch.to_pylist():
                    number += 1
                    yield as_read(number, row)
                at(number / rows)
    except (pa.ArrowException, OSError) as error:
        raise StudioError(
            f"{name!r} is not a readable Parquet file ({error}). Write it again and try once more."
        ) from error


def load_saved(folder: Path) -> dict[str, Any]:
    """The tables of a folder written by `save_to_disk`, by split; one without splits is called train."""
    from datasets import Dataset, load_from_disk

    try:
        loaded = load_from_disk(str(folder))
    except (OSError, ValueError, KeyError) as error:
        raise StudioError(
            f"{folder.name!r} is no folder that datasets saved ({error}). Expected one made by save_to_disk."
        ) from error
    return {"train": loaded} if isinstance(loaded, Dataset) else dict(loaded)
