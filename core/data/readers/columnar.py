"""Reader of Parquet files and of folders saved by `datasets`, in batches of bounded size.

Arrow gives every struct all fields of its column, so a call of one tool has the arguments of all other tools as nulls.
Therefore null fields inside a struct are treated as absent. Bytes that are UTF-8 become text; other bytes are left out.
"""

import contextlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.data.readers.class_names import ClassNames
from core.data.readers.file_kinds import HEAD_BYTES, PARQUET, kind_of_bytes, kind_of_file
from core.data.readers.lines import MAX_COLUMNS, SourceRow
from core.data.readers.unpack import MAX_RATIO, RATIO_FREE_BYTES
from core.errors import StudioError, reason_of
from core.system.counting import counted

_BATCH_BYTES = 16 * 2**20
# A repeated value of 1 MB takes hardly any space in the file, and all of it in memory.
_BATCH_ROWS = 100
# Lists and structs nested deeper than this are converted to text.
_MAX_DEPTH = 100
# Errors that pyarrow raises for a value that Python cannot hold: a date after the year 9999, a time zone without rules,
# a map with lists as keys or with one key twice, two fields of one name, text that is not UTF-8. pytz's is a KeyError.
_NO_VALUE = (ValueError, OverflowError, TypeError, LookupError)


class Converter:
    """Converter of Arrow's rows to values that JSON can represent; it counts what was changed."""

    def __init__(self) -> None:
        self._as_text: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._unreadable: Counter[str] = Counter()
        self._short: dict[str, Any] = {}
        # The splits of a dataset may have different names; the last one counts for the next rows.
        self._classes = [ClassNames({})]
        self._metadata: dict[bytes, bytes] = {}

    def use_schema(self, schema: Any) -> None:
        """Convert the numbers of the next rows by the types of their Arrow schema, and by its names of classes."""
        self._short = {field.name: field.type for field in schema if has_short_floats(field.type)}
        # The batches of a stream share their schema.
        if self._metadata != (metadata := dict(schema.metadata or {})):
            self._metadata = metadata
            self._classes.append(ClassNames.of_metadata(metadata))

    def rows(self, batch: Any) -> Iterator[dict[str, Any]]:
        """Yield the rows of an Arrow batch or table as Python values; those that Python cannot hold are left out."""
        try:
            yield from batch.to_pylist(maps_as_pydicts="strict")
        except _NO_VALUE:
            columns = zip(batch.schema.names, batch.columns, strict=True)
            cells = [[self._value(cell, name) for cell in column] for name, column in columns]
            yield from (dict(zip(batch.schema.names, row, strict=True)) for row in zip(*cells, strict=True))

    def _value(self, cell: Any, column: str) -> Any:
        """Return the Python value of an Arrow scalar, or None if there is none.

        A map is an object, or, where a key is no text or occurs twice, a list of pairs.
        """
        for maps in ("strict", None):
            with contextlib.suppress(_NO_VALUE):
                return cell.as_py(maps_as_pydicts=maps)
        self._unreadable[column] += 1
        return None

    def row(self, number: int, row: dict[str, Any]) -> SourceRow:
        """Return a row of Python values with its number, from 1."""
        if self._short:
            row = {**row, **{name: shortest(row[name], kind) for name, kind in self._short.items() if name in row}}
        plain = self._classes[-1].named({str(name): self._plain(value, str(name)) for name, value in row.items()})
        return SourceRow(number, plain, json.dumps(plain, ensure_ascii=False))

    def notes(self) -> list[str]:
        """Return sentences about the columns whose values were changed."""
        return [
            *dict.fromkeys(words for classes in self._classes for words in classes.notes()),
            *(f"the column {name!r} holds bytes; {counted(count, 'value is', 'values are')} read as UTF-8 text"
              for name, count in self._as_text.items()),
            *(f"the column {name!r} holds bytes that are no text; {counted(count, 'value is', 'values are')} left out"
              for name, count in self._left_out.items()),
            *(f"the column {name!r} holds values that cannot be read, such as a date after the year 9999 or text in no "
              f"encoding; {counted(count, 'value is', 'values are')} left out"
              for name, count in self._unreadable.items()),
        ]  # fmt: skip

    def _plain(self, value: Any, column: str, depth: int = 0) -> Any:
        if value is None or isinstance(value, (str, bool, int)):
            return value
        if isinstance(value, float):
            return None if math.isnan(value) else value
        if depth > _MAX_DEPTH:
            return str(value)
        if isinstance(value, dict):
            fields = {str(key): self._plain(item, column, depth + 1) for key, item in value.items()}
            return {key: item for key, item in fields.items() if item is not None}
        if isinstance(value, (list, tuple)):
            return [self._plain(item, column, depth + 1) for item in value]
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._text(bytes(value), column)
        return value.isoformat() if isinstance(value, (date, datetime, time)) else str(value)

    def _text(self, value: bytes, column: str) -> str | None:
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            self._left_out[column] += 1
            return None
        # Numbers and images may happen to be valid UTF-8, but texts contain no NUL.
        if "\0" in text:
            self._left_out[column] += 1
            return None
        self._as_text[column] += 1
        return text


@lru_cache
def _inner_types(kind: Any) -> dict[str | None, Any]:
    """Return the types of the values inside an Arrow type, by the name of their field; None for all values."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return {field.name: field.type for field in kind}
    if pa.types.is_map(kind):
        return {None: kind.item_type}
    if isinstance(kind, pa.BaseExtensionType):
        return {None: kind.storage_type}
    inner = getattr(kind, "value_type", None)
    return {} if inner is None else {None: inner}


@lru_cache
def has_short_floats(kind: Any) -> bool:
    """Return whether an Arrow type holds numbers of 16 or 32 bits."""
    import pyarrow as pa

    is_short = pa.types.is_float32(kind) or pa.types.is_float16(kind)
    return is_short or any(has_short_floats(inner) for inner in _inner_types(kind).values())


def shortest(value: Any, kind: Any) -> Any:
    """Return a value whose numbers have the fewest digits that give the same number in their Arrow type.

    A 32-bit 0.1 would become 0.10000000149011612 as a Python float.

    Args:
        value: A Python value of that type.
        kind: The Arrow type.
    """
    import numpy as np
    import pyarrow as pa

    if value is None or kind is None or not has_short_floats(kind):
        return value
    # An extension type gives the values of its storage type.
    if isinstance(kind, pa.BaseExtensionType):
        return shortest(value, kind.storage_type)
    types = _inner_types(kind)
    if isinstance(value, float):
        small = np.float16 if pa.types.is_float16(kind) else np.float32
        # An encoded type, such as a dictionary of numbers, gives its values directly.
        return shortest(value, types[None]) if types else float(str(small(value)))
    if isinstance(value, dict):
        return {name: shortest(item, types.get(name, types.get(None))) for name, item in value.items()}
    return [shortest(item, types.get(None)) for item in value] if isinstance(value, (list, tuple)) else value


def check_ratio(name: str, unpacked: int, packed: int) -> None:
    """Raise StudioError if a file holds far more bytes than it has."""
    if unpacked > max(RATIO_FREE_BYTES, MAX_RATIO * packed):
        raise StudioError(
            f"{name!r} unfolds to more than {MAX_RATIO:,} times its size. Expected a file of text, which never does; "
            "write it again without repeated values."
        )


def check_columns(names: Sequence[str], name: str) -> None:
    """Check that a file's columns can be distinguished, and are few enough.

    Args:
        names: Names of its columns.
        name: Name of the file for the user.

    Raises:
        StudioError: They are too many, or two have the same name, so that a row would lose one of them.
    """
    if len(names) > MAX_COLUMNS:
        raise StudioError(f"{name!r} has {len(names):,} columns. Expected at most {MAX_COLUMNS:,}.")
    if twice := next((column for column, count in Counter(names).items() if count > 1), None):
        raise StudioError(f"{name!r} has two columns called {twice!r}. Rename one of them, and open the file again.")


def _batch_rows(file: Any) -> int:
    """Return how many rows of a `ParquetFile` to read at once.

    Fewer if they are large: a batch as Python objects takes several times its bytes.
    """
    size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * max(1, file.metadata.num_rows) // max(1, size)))


def _check_kind(path: Path, name: str) -> None:
    with path.open("rb") as file:
        found = kind_of_bytes(file.read(HEAD_BYTES))
    if found and found != PARQUET:
        found = kind_of_file(found, path)
        raise StudioError(f"{name!r} is {found.name}, although its name ends in .parquet. {found.advice}.")


def read_parquet(
    path: Path, name: str, progress: Callable[[float], None], note: Callable[[str], None] = lambda words: None
) -> Iterator[SourceRow]:
    """Yield the rows of a Parquet file.

    Args:
        path: The file.
        name: Name of the file for the user.
        progress: Callback for the share of rows that were read, 0 to 1.
        note: Callback for sentences about converted columns, called at the end.

    Raises:
        StudioError: The file is damaged, or has too many columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_kind(path, name)
    converter = Converter()
    try:
        with pq.ParquetFile(path, buffer_size=2**20) as file:
            check_columns(file.schema_arrow.names, name)
            converter.use_schema(file.schema_arrow)
            number, unpacked, packed = 0, 0, path.stat().st_size
            for batch in file.iter_batches(batch_size=_batch_rows(file)):
                for row in converter.rows(batch):
                    number += 1
                    read = converter.row(number, row)
                    unpacked += len(read.raw)
                    check_ratio(name, unpacked, packed)
                    yield read
                progress(number / max(1, file.metadata.num_rows))
    except (pa.ArrowException, OSError) as error:
        raise StudioError(
            f"{name!r} is not a readable Parquet file ({reason_of(error)}). Save it as Parquet again, and "
            "open that file."
        ) from error
    for words in converter.notes():
        note(words)
