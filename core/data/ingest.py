"""Rows streamed once into a data set's Parquet file, all or nothing, in bounded memory.

First pass: batches of rows as they come, each with the columns it happens to have, all cells as text. Second pass:
the batches again, now that the columns and their types are known.
"""

import contextlib
import itertools
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from core.data import formats
from core.data.readers import SourceRow
from core.data.table import GROUP_BYTES, GROUP_ROWS, LAYOUT, SHOWN_COMPLAINTS, Column, Dataset, Source, dataset_id, find
from core.errors import StudioError
from core.settings import Settings, inside
from core.system.files import write_json

Rows = Iterable[tuple[str, SourceRow]]
DETECTION_ROWS = 200  # rows looked at to tell the format
MOST_COLUMNS = 256  # more are kept in `raw` only
_MOST_NAMES = 10_000  # of columns that are counted: a file in which every row has a name of its own has no end of them
_SCRATCH = ".ingest-"
_FIXED = pa.schema(
    [("row", pa.int64()), ("line", pa.int64()), ("split", pa.string()), ("raw", pa.string()), ("trouble", pa.string())]
)
_ARROW = {"integer": pa.int64(), "number": pa.float64(), "flag": pa.bool_(), "text": pa.string()}


def present(settings: Settings, source: Source) -> Dataset | None:
    """The data set of `source`, when it has been opened before."""
    name = dataset_id(source)
    known = settings.datasets_dir / name / "about.json"
    if not known.is_file() or json.loads(known.read_text(encoding="utf-8")).get("layout") != LAYOUT:
        return None
    return find(settings, name)


def ingest(settings: Settings, source: Source, rows: Rows, notes: Sequence[str] = ()) -> Dataset:
    """Write (split, row) pairs to a data set's folder, all or nothing.

    The lock is the data set's own, so that a slow file does not block the opening of others.

    Args:
        notes: sentences about the file as a whole; read when `rows` have ended.

    Raises:
        StudioError: no row can be read, or none holds text; nothing is left behind then.
    """
    name = dataset_id(source)
    with _lock(settings, name):
        if found := present(settings, source):
            return found
        target = inside(settings.datasets_dir, name, "data set name")
        _remove_dead_leftovers(settings, name)
        scratch = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{name}.", dir=settings.datasets_dir))
        try:
            about = _ingest(scratch, source, rows, notes)
            write_json(scratch / "about.json", about.model_dump())
            if target.exists():  # half a folder from an older crash, or an older layout
                shutil.rmtree(target)
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return about


def _lock(settings: Settings, name: str) -> FileLock:
    return FileLock(settings.datasets_dir / f".{name}.lock")


def _remove_dead_leftovers(settings: Settings, name: str) -> None:
    """Remove what killed processes left half made: of this data set, and of every other whose lock is free."""
    remove_leftovers(settings.datasets_dir, f"{_SCRATCH}{name}.")
    left = settings.datasets_dir.glob(f"{_SCRATCH}*")
    for other in {path.name.removeprefix(_SCRATCH).rpartition(".")[0] for path in left}:
        with contextlib.suppress(Timeout), _lock(settings, other).acquire(timeout=0):
            remove_leftovers(settings.datasets_dir, f"{_SCRATCH}{other}.")


def _ingest(scratch: Path, source: Source, rows: Rows, notes: Sequence[str]) -> Dataset:
    stream = iter(rows)
    head = list(itertools.islice(stream, DETECTION_ROWS))
    readable = [read.row for _, read in head if read.row is not None]
    if not readable:
        complaints = "; ".join(complaint(read) for _, read in head[:3]) or "it holds no rows"
        raise StudioError(
            f"Nothing in {source.name!r} can be read: {complaints}. Expected one object with named fields a row."
        )
    detected = formats.detect(readable)
    if detected is None:
        columns = ", ".join(list(readable[0])[:8]) or "none"
        known = "; ".join(f"{form.label} ({form.sign})" for form in formats.FORMATS)
        raise StudioError(f"No text in {source.name!r} (columns: {columns}). Expected one of: {known}.")
    seen = _Seen()
    parts = [
        _write_part(scratch / f"part-{number}.parquet", batch, seen, typed=not _all_text(source))
        for number, batch in enumerate(_batches(itertools.chain(head, stream)))
    ]
    columns = seen.columns()
    _join(scratch / "rows.parquet", parts, columns)
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
        complaints=[*notes, *seen.complaints, *seen.mixed()],
    )


def remove_leftovers(parent: Path, prefix: str) -> None:
    """Remove what a killed process left half made; the caller holds the lock under which such folders are made."""
    for folder in parent.glob(f"{prefix}*"):
        shutil.rmtree(folder, ignore_errors=True)


def complaint(read: SourceRow) -> str:
    return f"line {read.line} {read.trouble}" if not read.trouble.startswith("the ") else read.trouble


def _all_text(source: Source) -> bool:
    """Whether the source's cells are text that may stand for numbers (CSV and TSV)."""
    name = source.name.lower()
    return source.kind == "upload" and any(kind in name for kind in (".csv", ".tsv"))


def _batches(rows: Rows) -> Iterator[list[tuple[str, SourceRow]]]:
    batch: list[tuple[str, SourceRow]] = []
    size = 0
    for item in rows:
        batch.append(item)
        size += len(item[1].raw)
        if len(batch) >= GROUP_ROWS or size >= GROUP_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Seen:
    """What the first pass learns of the rows."""

    def __init__(self) -> None:
        self.rows = self.unreadable = self.uncounted = 0
        self.splits: dict[str, int] = {}
        self.complaints: list[str] = []
        # for each column: kind of value → how many, and the line of the first
        self.kinds: dict[str, dict[str, tuple[int, int]]] = {}
        self.whole: dict[str, bool] = {}  # columns of numbers: whether all are whole
        self.text_numbers: dict[str, bool] = {}  # columns of text: whether all stand for numbers

    def complain(self, read: SourceRow) -> None:
        self.unreadable += read.row is None
        if len(self.complaints) < SHOWN_COMPLAINTS:
            self.complaints.append(complaint(read))

    def cell(self, name: str, kind: str, line: int) -> None:
        if name not in self.kinds and len(self.kinds) >= _MOST_NAMES:
            self.uncounted += 1
            return
        kinds = self.kinds.setdefault(name, {})
        count, first = kinds.get(kind, (0, line))
        kinds[kind] = (count + 1, first)

    def columns(self) -> list[Column]:
        found = []
        for name, kinds in self.kinds.items():
            plain = kinds.keys() - {"nested"}
            if not plain or len(found) >= MOST_COLUMNS:
                continue
            kind = next(iter(plain)) if len(plain) == 1 else "text"
            if kind == "number" or self.text_numbers.get(name):
                kind = "integer" if self.whole.get(name, True) else "number"
            found.append(Column(name=name, kind=kind))
        return found

    def nested(self) -> list[str]:
        return [name for name, kinds in self.kinds.items() if kinds.keys() == {"nested"}]

    def mixed(self) -> list[str]:
        """Columns whose values are of several kinds, with the line of the first odd one."""
        told = []
        if self.uncounted:
            told.append(f"{self.uncounted:,} cells stand in columns past the first {_MOST_NAMES:,}; they are not read")
        for name, kinds in self.kinds.items():
            if len(kinds) < 2:
                continue
            usual = max(kinds, key=lambda kind: kinds[kind][0])
            odd = [f"{count:,} {kind} (first: line {first})" for kind, (count, first) in kinds.items() if kind != usual]
            told.append(f"the column {name!r} is {usual} in {kinds[usual][0]:,} rows, but {' and '.join(odd)}")
        return told[:SHOWN_COMPLAINTS]


_KINDS = {bool: "flag", int: "number", float: "number", str: "text"}


def _write_part(path: Path, batch: list[tuple[str, SourceRow]], seen: _Seen, typed: bool) -> Path:
    cells: dict[str, list[str | None]] = {}
    fixed: dict[str, list[Any]] = {name: [] for name in _FIXED.names}
    for place, (split, read) in enumerate(batch):
        if read.trouble:
            seen.complain(read)
        fixed["row"].append(seen.rows)
        fixed["line"].append(read.line)
        fixed["split"].append(split)
        fixed["raw"].append(replace_surrogates(read.raw))
        fixed["trouble"].append(read.trouble or "cannot be read" if read.row is None else None)
        seen.rows += 1
        seen.splits[split] = seen.splits.get(split, 0) + 1
        for name, value in (read.row or {}).items():
            if value is None:
                continue
            name = replace_surrogates(name)
            kind = _KINDS.get(type(value), "nested")
            seen.cell(name, kind, read.line)
            if kind == "nested" or (len(cells) >= MOST_COLUMNS and name not in cells):
                continue
            column = cells.setdefault(name, [])
            column.extend([None] * (place - len(column)))
            column.append(_cell(value))
            if kind == "number" and not (type(value) is int and abs(value) < 2**63):
                seen.whole[name] = False
    for name, column in cells.items():
        column.extend([None] * (len(batch) - len(column)))
        if not typed:
            seen.text_numbers[name] = seen.text_numbers.get(name, True) and _numbers(column, pa.float64())
            seen.whole[name] = seen.whole.get(name, True) and _numbers(column, pa.int64())
    arrays = {name: pa.array(values, _FIXED.field(name).type) for name, values in fixed.items()}
    arrays |= {f"c.{name}": pa.array(values, pa.string()) for name, values in cells.items()}
    pq.write_table(pa.table(arrays), path, compression="zstd")
    return path


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return replace_surrogates(value) if isinstance(value, str) else repr(value)


def _numbers(column: list[str | None], kind: pa.DataType) -> bool:
    """Whether every cell of a text column stands for such a number. Leading zeros mean a code, not a number."""
    given = [cell for cell in column if cell]
    if any(cell[0] == "0" and len(cell) > 1 and cell[1].isdigit() for cell in given):
        return False
    try:
        pc.cast(pa.array(given, pa.string()), kind)
    except pa.ArrowInvalid:
        return False
    return True


def _join(target: Path, parts: list[Path], columns: list[Column]) -> None:
    """The parts as one file, each column in its type; a cell that does not fit the type is left empty."""
    schema = pa.schema([*_FIXED, *(pa.field(f"c.{column.name}", _ARROW[column.kind]) for column in columns)])
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for part in parts:
            table = pq.read_table(part)
            arrays = [table[name] for name in _FIXED.names]
            for column in columns:
                name = f"c.{column.name}"
                if name not in table.column_names:
                    arrays.append(pa.nulls(len(table), _ARROW[column.kind]))
                    continue
                cells = table[name]
                if column.kind in ("integer", "number"):
                    cells = pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)
                arrays.append(pc.cast(cells, _ARROW[column.kind]))
            writer.write_table(pa.table(arrays, schema=schema), row_group_size=GROUP_ROWS)
            part.unlink()


def replace_surrogates(text: str) -> str:
    """Text that UTF-8 can hold: a lone surrogate, which JSON can spell, becomes the replacement character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
