"""Opened data sets on disk: rows streamed once into a Parquet file, then paged from it with DuckDB.

    datasets/<id>/rows.parquet    row, split, turns, problem, ends_on_user, messages, raw (the row as JSON)
    datasets/<id>/about.json      source, format with its evidence, counts

The folder's name carries a key of the content, so that a data set opened before opens at once.
"""

import itertools
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from pydantic import BaseModel

from core.data import formats
from core.data.formats import Format, Message, UnusableRow
from core.data.readers import BadLine
from core.errors import StudioError
from core.files import write_json
from core.settings import Settings, inside, slug

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("split", pa.string()),
        ("turns", pa.int32()),
        ("problem", pa.string()),
        ("ends_on_user", pa.bool_()),
        ("messages", MESSAGES),
        ("raw", pa.string()),
    ]
)
SNIFFED_ROWS = 200  # rows looked at to tell the format
BATCH_ROWS = 1000
SHOWN_CHARACTERS = 200  # of a turn, in a page of the table


class Source(BaseModel):
    """Where rows came from, said so that they can be had again."""

    kind: str  # "bundled", "upload" or "hub"
    name: str
    key: str  # a hash of the file's content, or the Hub's commit
    revision: str | None = None
    config: str | None = None
    licence: str | None = None


class Dataset(BaseModel):
    """What is known of an opened data set (about.json)."""

    id: str
    source: Source
    format: str
    evidence: str
    rows: int
    usable: int
    splits: dict[str, int]
    ends_on_user: int
    problems: dict[str, int]
    unreadable: list[str]  # the first complaints about lines, with their numbers


def dataset_id(source: Source) -> str:
    return f"{slug(Path(source.name).stem)}-{source.key[:8]}"


def find(settings: Settings, name: str) -> Dataset:
    path = inside(settings.datasets_dir, name, "data set name") / "about.json"
    if not path.is_file():
        opened = ", ".join(d.id for d in opened_datasets(settings)) or "none"
        raise StudioError(f"There is no open data set {name!r}. Opened so far: {opened}. Open it first.")
    return Dataset.model_validate_json(path.read_text(encoding="utf-8"))


def opened_datasets(settings: Settings) -> list[Dataset]:
    files = sorted(settings.datasets_dir.glob("[!.]*/about.json"), key=lambda path: path.stat().st_mtime)
    return [Dataset.model_validate_json(path.read_text(encoding="utf-8")) for path in files]


def ingest(settings: Settings, source: Source, rows: Iterable[tuple[str, dict[str, Any] | BadLine]]) -> Dataset:
    """Write (split, row) pairs to a data set's folder, all or nothing.

    Raises StudioError when no row can be read or no format is recognised; nothing is left behind then.
    """
    with FileLock(settings.datasets_dir / ".lock"):
        return _ingest(settings, source, rows)


def _ingest(settings: Settings, source: Source, rows: Iterable[tuple[str, dict[str, Any] | BadLine]]) -> Dataset:
    target = inside(settings.datasets_dir, dataset_id(source), "data set name")
    if (target / "about.json").is_file():
        return find(settings, target.name)
    stream = iter(rows)
    head = list(itertools.islice(stream, SNIFFED_ROWS))
    form, evidence = _recognise(source, [row for _, row in head])
    scratch = Path(tempfile.mkdtemp(prefix=".ingest-", dir=settings.datasets_dir))
    try:
        counts = _Counts()
        with pq.ParquetWriter(scratch / "rows.parquet", SCHEMA, compression="zstd") as writer:
            records = counts.records(itertools.chain(head, stream), form)
            while batch := list(itertools.islice(records, BATCH_ROWS)):
                writer.write_table(pa.Table.from_pylist(batch, schema=SCHEMA))
        about = counts.about(source, form, evidence)
        write_json(scratch / "about.json", about.model_dump())
        if target.exists():  # half a folder from an older crash
            shutil.rmtree(target)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return about


def _recognise(source: Source, head: list[dict[str, Any] | BadLine]) -> tuple[Format, str]:
    readable = [row for row in head if not isinstance(row, BadLine)]
    if not readable:
        complaints = "; ".join(str(row) for row in head[:3]) or "it holds no rows"
        raise StudioError(
            f"Nothing in {source.name!r} can be read: {complaints}. Expected one object with fields a row."
        )
    form = formats.detect(readable)
    if form is None:
        columns = ", ".join(list(readable[0])[:8]) or "none"
        known = "; ".join(f"{f.label} ({f.sign})" for f in formats.FORMATS)
        raise StudioError(f"No known format in {source.name!r} (columns: {columns}). Expected one of: {known}.")
    matches = sum(form.recognises(row) for row in readable)
    return form, f"{form.sign}, in {matches} of the first {len(readable)} rows"


class _Counts:
    """Turns rows into records of the Parquet file and counts what it sees on the way."""

    def __init__(self) -> None:
        self.splits: Counter[str] = Counter()
        self.problems: Counter[str] = Counter()
        self.unreadable: list[str] = []
        self.rows = self.ends_on_user = 0

    def records(self, rows: Iterable[tuple[str, dict[str, Any] | BadLine]], form: Format) -> Iterator[dict[str, Any]]:
        for split, row in rows:
            record = self._record(row, form)
            self.splits[split] += 1
            self.ends_on_user += record["ends_on_user"]
            if record["problem"]:
                self.problems[record["problem"]] += 1
            yield {"row": self.rows, "split": split, **record}
            self.rows += 1

    def _record(self, row: dict[str, Any] | BadLine, form: Format) -> dict[str, Any]:
        messages: list[Message] = []
        if isinstance(row, BadLine):
            if len(self.unreadable) < 20:
                self.unreadable.append(str(row))
            problem, raw = "cannot be read", str(row)
        else:
            raw = json.dumps(row, ensure_ascii=False, default=_as_text)
            try:
                messages = form.parse(row)
                problem = formats.problem(messages) if messages else "no text"
            except UnusableRow as error:
                messages, problem = [], str(error)
        return {
            "turns": sum(m["role"] != "system" for m in messages),
            "problem": problem,
            "ends_on_user": problem is None and formats.ends_on_user(messages),
            "messages": [{"role": m["role"], "content": _storable(m["content"])} for m in messages],
            "raw": _storable(raw),
        }

    def about(self, source: Source, form: Format, evidence: str) -> Dataset:
        return Dataset(
            id=dataset_id(source),
            source=source,
            format=form.name,
            evidence=evidence,
            rows=self.rows,
            usable=self.rows - sum(self.problems.values()),
            splits=dict(self.splits),
            ends_on_user=self.ends_on_user,
            problems=dict(self.problems.most_common()),
            unreadable=self.unreadable,
        )


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)


def _storable(text: str) -> str:
    """Text that UTF-8 can hold: a lone surrogate, which JSON can spell, becomes the replacement character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class Rows:
    """Read-only view of one data set's Parquet file."""

    def __init__(self, settings: Settings, dataset: str):
        self.about = find(settings, dataset)
        self._file = str(settings.datasets_dir / dataset / "rows.parquet")

    def _query(self, sql: str, **values: Any) -> duckdb.DuckDBPyConnection:
        return duckdb.connect().execute(sql, {"file": self._file, **values})

    def page(self, offset: int, size: int) -> pd.DataFrame:
        """Rows `offset` to `offset + size`, one line each: row, split, turns, first prompt, first answer, problem."""
        return self._query(
            """
            WITH page AS (SELECT * FROM read_parquet($file) ORDER BY row LIMIT $size OFFSET $offset)
            SELECT row, split, turns,
                   left(list_filter(messages, lambda m: m.role = 'user')[1].content, $shown) AS prompt,
                   left(list_filter(messages, lambda m: m.role = 'assistant')[1].content, $shown) AS answer,
                   coalesce(problem, '') AS problem,
                   CASE WHEN problem IS NULL THEN '' ELSE left(raw, $shown) END AS raw
            FROM page ORDER BY row
            """,
            offset=offset,
            size=size,
            shown=SHOWN_CHARACTERS,
        ).df()

    def row(self, number: int) -> dict[str, Any]:
        """One whole row. Raises StudioError when there is no such row."""
        if not 0 <= number < self.about.rows:
            raise StudioError(f"There is no row {number}. Expected 0 to {self.about.rows - 1}.")
        return (
            self._query("SELECT * FROM read_parquet($file) WHERE row = $row", row=number)
            .fetch_arrow_table()
            .to_pylist()[0]
        )

    def usable(self) -> Iterator[tuple[int, str, list[Message]]]:
        """(row, split, messages) of every usable row, in order."""
        columns = ["row", "split", "problem", "messages"]
        with pq.ParquetFile(self._file) as file:
            for batch in file.iter_batches(columns=columns, batch_size=BATCH_ROWS):
                for record in batch.to_pylist():
                    if record["problem"] is None:
                        yield record["row"], record["split"], record["messages"]

    def usable_numbers(self, split: str) -> list[int]:
        rows = self._query(
            "SELECT row FROM read_parquet($file) WHERE problem IS NULL AND split = $split ORDER BY row", split=split
        ).fetchall()
        return [row for (row,) in rows]
