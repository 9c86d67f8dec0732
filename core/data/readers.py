"""Rows out of files: JSONL, JSON, CSV and Parquet, one row at a time, with the line number in every complaint."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import StudioError

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")


class BadLine(ValueError):
    """A line that cannot be read; the reader goes on after it."""


def read_rows(path: Path, name: str) -> Iterator[dict[str, Any] | BadLine]:
    """The rows of a file, a BadLine in the place of each that cannot be read.

    Args:
        name: what the user calls the file; its ending decides how it is read.

    Raises:
        StudioError: the file as a whole cannot be read.
    """
    suffix = Path(name).suffix.lower()
    readers = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".parquet": _parquet}
    if suffix not in readers:
        raise StudioError(f"{name!r} ends in {suffix or 'nothing'!r}. Expected one of {', '.join(SUFFIXES)}.")
    if path.stat().st_size == 0:
        raise StudioError(f"{name!r} is empty (0 bytes). Choose a file with at least one row.")
    try:
        yield from readers[suffix](path, name)
    except UnicodeDecodeError as error:
        raise StudioError(
            f"{name!r} is not UTF-8 text (byte {error.object[error.start]:#04x}). Save it as UTF-8 and try again."
        ) from error


def _row(value: Any, where: str) -> dict[str, Any] | BadLine:
    return value if isinstance(value, dict) else BadLine(f"{where} is not an object with named fields")


def _jsonl(path: Path, name: str) -> Iterator[dict[str, Any] | BadLine]:
    with path.open(encoding="utf-8-sig", newline="\n") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                yield _row(json.loads(line), f"line {number}")
            except json.JSONDecodeError as error:
                yield BadLine(f"line {number} is not JSON ({error.msg})")
            except RecursionError:
                yield BadLine(f"line {number} is nested too deeply")


def _json(path: Path, name: str) -> Iterator[dict[str, Any] | BadLine]:
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # one object after another: JSON lines under the name .json
            yield from _jsonl(path, name)
            return
        raise StudioError(
            f"{name!r} is not JSON: {error.msg} in line {error.lineno}. Expected a list of objects, or one a line."
        ) from error
    except RecursionError as error:
        raise StudioError(f"{name!r} is nested too deeply. Expected a list of objects.") from error
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        value = lists[0] if len(lists) == 1 and len(value) == 1 else [value]
    if not isinstance(value, list):
        raise StudioError(f"{name!r} holds one {type(value).__name__}. Expected a list of objects.")
    for number, item in enumerate(value, 1):
        yield _row(item, f"item {number}")


def _csv(path: Path, name: str) -> Iterator[dict[str, Any] | BadLine]:
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    yield BadLine(f"line {reader.line_num} has another number of columns than the header")
                else:
                    yield row
        except csv.Error as error:
            raise StudioError(
                f"{name!r} is not CSV: {error} in line {reader.line_num}. Quote fields that hold commas or quotes."
            ) from error


def _parquet(path: Path, name: str) -> Iterator[dict[str, Any] | BadLine]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1000):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise StudioError(
            f"{name!r} is not a readable Parquet file ({error}). Write it again and try once more."
        ) from error
