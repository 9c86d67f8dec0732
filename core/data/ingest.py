"""Import of the rows of a source into the Parquet file of a dataset, in bounded memory.

The source is read once. Its rows are first written as batches, each with the columns it happens to have and all cells
as text. Then the batches are joined, since only then are all columns and their types known. The dataset appears under
its name only when it is complete: it is written into a scratch folder that is renamed at the end.
"""

import contextlib
import itertools
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from core.access.free_disk import check_free_disk
from core.access.quotas import Quotas
from core.data import formats, one_column, saved_reading, table
from core.data.column_statistics import MAX_COLUMNS, ColumnStatistics, check_name, describe_problem, is_code
from core.data.readers import SourceRow, encoding, kind_of
from core.data.split_columns import SplitColumns
from core.data.table import GROUP_BYTES, GROUP_ROWS, LAYOUT, Column, Dataset, Source, dataset_id, find, layout_of
from core.errors import StudioError
from core.settings import Settings, inside
from core.system.files import write_json

Rows = Iterable[tuple[str, SourceRow]]
# The format is detected from this many rows.
DETECTION_ROWS = 200
_SCRATCH_PREFIX = ".ingest-"
_FIXED = pa.schema(
    [("row", pa.int64()), ("line", pa.int64()), ("split", pa.string()), ("raw", pa.string()), ("trouble", pa.string())]
)
# The evidence of a reading that needs no detection.
_KNOWN = "the studio wrote the rows"
_ARROW = {"integer": pa.int64(), "number": pa.float64(), "flag": pa.bool_(), "text": pa.string()}


def find_opened(settings: Settings, source: Source) -> Dataset | None:
    """Return the dataset of `source` if it was opened before, or None.

    The same bytes under another ending, such as .csv after .txt, are read anew: the ending chooses the reader.
    """
    name = dataset_id(source)
    if layout_of(settings, name) != LAYOUT:
        return None
    found = find(settings, name)
    return found if kind_of(found.source.name) == kind_of(source.name) else None


def ingest(
    settings: Settings, source: Source, rows: Rows, notes: Sequence[str] = (), reading: formats.Reading | None = None
) -> Dataset:
    """Write rows to the folder of a dataset, or return the dataset if it exists.

    The lock belongs to this dataset, so a slow file does not block the opening of others.

    Args:
        settings: The studio's settings.
        source: Where the rows come from.
        rows: Pairs of split and row, consumed once.
        notes: Sentences about the file as a whole; complete only when `rows` are consumed.
        reading: How the rows are read, if that is known; None to detect it.

    Raises:
        StudioError: No row can be read, or none contains text; nothing is left on disk then.
    """
    name = dataset_id(source)
    with _lock(settings, name):
        if found := find_opened(settings, source):
            return found
        target = inside(settings.datasets_dir, name, "dataset name")
        _remove_dead_leftovers(settings, name)
        scratch = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH_PREFIX}{name}.", dir=settings.datasets_dir))
        try:
            about = _ingest(scratch, source, rows, notes, reading)
            write_json(scratch / "about.json", about.model_dump())
            # `find_opened` did not accept the existing folder: it has an older layout, or was left by a crash.
            if target.exists():
                saved_reading.take_over(target, scratch)
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return about


def _lock(settings: Settings, name: str) -> FileLock:
    return FileLock(settings.datasets_dir / f".{name}.lock")


def _remove_dead_leftovers(settings: Settings, name: str) -> None:
    """Remove scratch folders of killed processes: those of this dataset, and of others whose lock is free."""
    remove_leftovers(settings.datasets_dir, f"{_SCRATCH_PREFIX}{name}.")
    left = settings.datasets_dir.glob(f"{_SCRATCH_PREFIX}*")
    # A lock that is held belongs to a process that is still importing; its scratch folder is in use.
    for other in {path.name.removeprefix(_SCRATCH_PREFIX).rpartition(".")[0] for path in left}:
        with contextlib.suppress(Timeout), _lock(settings, other).acquire(timeout=0):
            remove_leftovers(settings.datasets_dir, f"{_SCRATCH_PREFIX}{other}.")


def _ingest(
    scratch: Path, source: Source, rows: Rows, notes: Sequence[str], reading: formats.Reading | None
) -> Dataset:
    stream = iter(rows)
    head = _first_rows(source, stream, notes)
    readable = [read.row for _, read in head if read.row is not None]
    detected = formats.Detection(reading, _KNOWN) if reading else formats.detect(readable)
    if detected is None:
        columns = ", ".join(list(readable[0])[:8]) or "none"
        known = "; ".join(f"{form.label} ({form.sign})" for form in formats.FORMATS)
        raise StudioError(f"No text in {source.name!r} (columns: {columns}). Expected one of: {known}.")
    detected = one_column.ask(source, list(readable[0]), detected)
    seen, splits, parts = ColumnStatistics(), SplitColumns(), list[Path]()
    for batch in _batches(itertools.chain(head, stream)):
        # A file may unpack to many times its size. The parts are joined into a second copy.
        check_free_disk(scratch, Quotas().free_gib, sum(part.stat().st_size for part in parts), repr(source.name))
        parts.append(_write_part(scratch / f"part-{len(parts)}.parquet", batch, seen, splits, not _all_text(source)))
    _join(scratch / "rows.parquet", parts, columns := seen.columns())
    return Dataset(
        id=dataset_id(source),
        source=source,
        rows=seen.rows,
        splits=seen.splits,
        columns=columns,
        nested=seen.nested(),
        detected=detected.reading,
        evidence=detected.evidence,
        runner_up=detected.runner_up,
        candidates=detected.candidates,
        unreadable=seen.unreadable,
        complaints=[*notes, *splits.sentences(), *seen.sentences()],
    )


def _first_rows(source: Source, rows: Rows, notes: Sequence[str]) -> list[tuple[str, SourceRow]]:
    """Return the rows from which the format is detected.

    Raises:
        StudioError: None of them can be read.
    """
    try:
        head = list(itertools.islice(rows, DETECTION_ROWS))
    except StudioError as error:
        # In another encoding, a letter may have the byte of a quote or a delimiter, so the header is found nowhere.
        if advice := encoding.advice_in(notes):
            raise StudioError(f"{error} The file is not UTF-8 text. {advice}") from error
        raise
    # Before the detection, which looks at every name in many ways.
    for column, line in ((column, read.line) for _, read in head for column in read.row or ()):
        check_name(column, line)
    if all(read.row is None for _, read in head):
        complaints = "; ".join(describe_problem(read) for _, read in head[:3]) or "it holds no rows"
        raise StudioError(f"Nothing in {source.name!r} can be read: {complaints}. {_expected(source, notes)}")
    return head


def remove_leftovers(parent: Path, prefix: str) -> None:
    """Remove scratch folders of killed processes; the caller holds the lock under which they are made."""
    for folder in parent.glob(f"{prefix}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _all_text(source: Source) -> bool:
    """Return whether all cells of the source are text, also its numbers (CSV and TSV)."""
    return source.kind == "upload" and (kind_of(source.name) or "").startswith((".csv", ".tsv"))


def _expected(source: Source, notes: Sequence[str]) -> str:
    """Return what to do about a file of which no row can be read."""
    if advice := encoding.advice_in(notes):
        return advice
    if _all_text(source):
        return "Expected as many cells as the header names; put a text that contains the delimiter into double quotes."
    return "Expected one object with named fields per row."


def _batches(rows: Rows) -> Iterator[list[tuple[str, SourceRow]]]:
    batch, size = list[tuple[str, SourceRow]](), 0
    for item in rows:
        batch.append(item)
        size += len(item[1].raw)
        if len(batch) >= GROUP_ROWS or size >= GROUP_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


_SURROGATE = re.compile("[\ud800-\udfff]")
_KINDS = {bool: "flag", int: "number", float: "number", str: "text"}


def _write_part(
    path: Path, batch: list[tuple[str, SourceRow]], seen: ColumnStatistics, splits: SplitColumns, typed: bool
) -> Path:
    """Write a batch of rows as text and add its columns to the statistics; its numbers are texts unless `typed`."""
    cells: dict[str, list[str | None]] = {}
    fixed: dict[str, list[Any]] = {name: [] for name in _FIXED.names}
    for index, (split, read) in enumerate(batch):
        if read.trouble:
            seen.note_problem(read)
        fixed["row"].append(seen.rows)
        fixed["line"].append(read.line)
        fixed["split"].append(split)
        fixed["raw"].append(_raw_text(read))
        fixed["trouble"].append(read.trouble or "cannot be read" if read.row is None else None)
        seen.rows += 1
        seen.splits[split] = seen.splits.get(split, 0) + 1
        for name, value in (read.row or {}).items():
            if value is None:
                continue
            name = replace_surrogates(name)
            kind = _KINDS.get(type(value), "nested")
            seen.count_cell(name, kind, read.line)
            if kind == "nested" or (len(cells) >= MAX_COLUMNS and name not in cells):
                continue
            # Rows without this column were skipped: fill them with empty cells before adding this one.
            column = cells.setdefault(name, [])
            column.extend([None] * (index - len(column)))
            column.append(_cell_text(value))
            if kind == "number":
                seen.count_number(name, value)
    for name, column in cells.items():
        column.extend([None] * (len(batch) - len(column)))
        splits.count(name, column)
        seen.merged_cells.count(name, column)
        if not typed:
            seen.text_numbers[name] = seen.text_numbers.get(name, True) and _are_numbers(column, pa.float64())
            seen.whole[name] = seen.whole.get(name, True) and _are_numbers(column, pa.int64())
            seen.look_for_commas(name, column)
    _write_table(path, fixed, cells)
    return path


def _write_table(path: Path, fixed: dict[str, list[Any]], cells: dict[str, list[str | None]]) -> None:
    arrays = {name: pa.array(values, _FIXED.field(name).type) for name, values in fixed.items()}
    arrays |= {f"{table.COLUMN_PREFIX}{name}": pa.array(values, pa.string()) for name, values in cells.items()}
    pq.write_table(pa.table(arrays), path, compression="zstd")


def _raw_text(read: SourceRow) -> str:
    """Return the JSON of a row with lone surrogates as escapes, which UTF-8 can hold; the text of an unreadable one."""
    if read.row is None:
        return replace_surrogates(read.raw)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", read.raw)


def _cell_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return replace_surrogates(value) if isinstance(value, str) else repr(value)


def _are_numbers(column: list[str | None], kind: pa.DataType) -> bool:
    """Return whether every cell of a text column spells a number of a type; leading zeros mean a code."""
    given = [cell for cell in column if cell]
    if any(map(is_code, given)):
        return False
    try:
        pc.cast(pa.array(given, pa.string()), kind)
    except pa.ArrowInvalid:
        return False
    return True


def _join(target: Path, parts: list[Path], columns: list[Column]) -> None:
    """Join the parts into one file with typed columns, and remove them one by one."""
    own = [pa.field(f"{table.COLUMN_PREFIX}{column.name}", _ARROW[column.kind]) for column in columns]
    schema = pa.schema([*_FIXED, *own])
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for part in parts:
            found = pq.read_table(part)
            arrays = [found[name] for name in _FIXED.names]
            for column in columns:
                name = f"{table.COLUMN_PREFIX}{column.name}"
                if name not in found.column_names:
                    arrays.append(pa.nulls(len(found), _ARROW[column.kind]))
                    continue
                cells = found[name]
                # CSV has no missing values: an empty cell of a numeric column is one.
                if column.kind in ("integer", "number"):
                    cells = pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)
                arrays.append(pc.cast(cells, _ARROW[column.kind]))
            writer.write_table(pa.table(arrays, schema=schema), row_group_size=GROUP_ROWS)
            part.unlink()


def replace_surrogates(text: str) -> str:
    """Return text that UTF-8 can encode: lone surrogates, which JSON can spell, become U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
