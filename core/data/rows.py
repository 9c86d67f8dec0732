"""Queries over an opened dataset with DuckDB: pages, single rows, counts and row numbers.

A page takes two queries. The first finds the row numbers and reads only the columns of the search, the filters and the
order; the second reads the cells of those rows. The Parquet files of a dataset are joined by the column `row`.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.data import parse_rows, row_losses, table
from core.data.formats import Message, Reading, from_stored
from core.data.row_fields import OWN_COLUMNS, join_kind, make_fields
from core.data.row_losses import LossSource
from core.data.view import Fields, View, order_clause, where_clause
from core.errors import StudioError
from core.settings import Settings
from core.system.files import modified_ns

T = TypeVar("T")

MEMORY_LIMIT = "512MB"
# Time limit of one query of a table, a histogram or a subset. A search of a million rows takes half a second.
QUERY_SECONDS = 60.0
BATCH_ROWS = 1000


def connect(settings: Settings) -> duckdb.DuckDBPyConnection:
    """Return an in-memory DuckDB with a memory limit, which spills to STUDIO_HOME."""
    spill = settings.home / ".spill"
    base = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": str(spill)})
    base.execute("SET enable_progress_bar = false")
    return base


class QueryResult:
    """Result of a query. `QUERY_SECONDS` limits all its steps together.

    DuckDB returns from `execute` with the first rows, and computes most of the others while they are fetched.
    """

    def __init__(self, base: duckdb.DuckDBPyConnection, text: str, values: dict[str, Any]):
        """Run a query.

        Args:
            base: A connection of its own.
            text: The query.
            values: Its parameters.

        Raises:
            StudioError: The time is over, here as in every other method.
        """
        self._base, self._deadline = base, time.monotonic() + QUERY_SECONDS
        self._limited(lambda: base.execute(text, values))

    def fetchone(self) -> tuple | None:
        """Return the next row; None after the last."""
        return self._limited(self._base.fetchone)

    def fetchall(self) -> list[tuple]:
        """Return all rows that are left."""
        return self._limited(self._base.fetchall)

    def df(self) -> pd.DataFrame:
        """Return all rows that are left as a frame."""
        return self._limited(self._base.df)

    def fetch_arrow_table(self) -> pa.Table:
        """Return all rows that are left as an Arrow table."""
        return self._limited(self._base.fetch_arrow_table)

    def _limited(self, step: Callable[[], T]) -> T:
        is_over = threading.Event()

        def interrupt() -> None:
            is_over.set()
            self._base.interrupt()

        timer = threading.Timer(max(0.0, self._deadline - time.monotonic()), interrupt)
        timer.daemon = True
        timer.start()
        found, cause = None, None
        try:
            found = step()
        except duckdb.Error as error:
            # An interrupt raises different errors in different steps.
            if not is_over.is_set():
                raise
            cause = error
        finally:
            timer.cancel()
            # Its thread refers to the connection. If it ended later, it could close the connection while Python exits,
            # which aborts the process.
            timer.join()
        # Checked after a success, too: an interrupted step may have found only a part.
        if is_over.is_set():
            raise StudioError(
                f"The rows were not found within {QUERY_SECONDS:g} seconds. Remove filters, or search for less."
            ) from cause
        return found


def _renamed(about: table.Dataset, path: Path) -> dict[str, str]:
    """Return the names in queries of columns that differ by case only, of which DuckDB renames all but the first."""
    if len({column.name.casefold() for column in about.columns}) == len(about.columns):
        return {}
    with duckdb.connect() as base:
        found = base.execute("SELECT * FROM read_parquet(?) LIMIT 0", [str(path)]).description
    return dict(zip(pq.read_schema(path).names, [name for name, *_ in found], strict=True))


class Rows:
    """Read-only access to one dataset under one reading.

    Attributes:
        settings: The studio's settings.
        about: The dataset.
        reading: How its rows are parsed.
        parsed: Counts of the parsed rows.
        files: Parquet files by their name in queries.
        fields: Columns that can be shown, sorted and filtered, by name.
        losses_version: Names the measurement of the columns of losses; empty without them.
    """

    def __init__(
        self,
        settings: Settings,
        dataset: str | None,
        reading: Reading | None = None,
        lengths: Path | None = None,
        near: Path | None = None,
        losses: LossSource | None = None,
    ):
        """Open a dataset.

        Args:
            settings: The studio's settings.
            dataset: Id of the dataset.
            reading: How rows are parsed; None for the detected reading. The rows are parsed now if they were not yet.
            lengths: File of token counts (`core.data.lengths`), which adds the columns of lengths.
            near: File of near duplicates (`core.data.near_duplicates`), which adds their column.
            losses: Measured losses (`core.data.row_losses`) whose columns are added.

        Raises:
            StudioError: There is no such dataset, or its losses are not on this machine.
        """
        self.settings = settings
        self.about = table.find(settings, dataset)
        self.reading = reading or self.about.detected
        self.parsed = parse_rows.parse_dataset(settings, self.about, self.reading)
        folder = parse_rows.folder(settings, self.about.id, self.reading)
        self.files = {
            "rows": table.folder(settings, self.about.id) / "rows.parquet",
            "reading": folder / "rows.parquet",
            "duplicates": folder / "duplicates.parquet",
        }
        measured = row_losses.find(settings, self.about, self.reading, losses) if losses else None
        computed = {"lengths": lengths, "near": near, "losses": measured}
        self.files |= {name: path for name, path in computed.items() if path}
        self.losses_version = f"{measured.name} {modified_ns(measured)}" if measured else ""
        self.fields: Fields = make_fields(self.about, set(self.files), losses, _renamed(self.about, self.files["rows"]))

    def query(self, select: str, files: set[str], values: dict[str, Any] | None = None, after: str = "") -> QueryResult:
        """Run a query over the join of the files that it needs.

        Column names are quoted into the text of the query; everything else from a user must be a parameter.

        Args:
            select: Expressions of the SELECT clause.
            files: Names of the files that it and `after` use.
            values: Parameters of the query.
            after: Clauses after FROM.

        Raises:
            StudioError: The query took longer than `QUERY_SECONDS`.
        """
        used = ["reading", *sorted(files - {"reading"})]
        joins = f"read_parquet($file_{used[0]}) {used[0]}" + "".join(
            f" {join_kind(file)} JOIN read_parquet($file_{file}) {file} USING (row)" for file in used[1:]
        )
        paths = {f"file_{file}": str(self.files[file]) for file in used}
        return QueryResult(connect(self.settings), f"SELECT {select} FROM {joins} {after}", paths | (values or {}))

    def count(self, view: View) -> int:
        """Return the number of rows of a view."""
        # A view without a search and filters needs no query.
        if view == View(sort=view.sort, descending=view.descending):
            return self.about.rows
        condition, values, files = where_clause(view, self.fields)
        return self.query("count(*)", files, values, f"WHERE {condition}").fetchone()[0]

    def row_numbers(self, view: View, offset: int = 0, size: int | None = None) -> list[int]:
        """Return the row numbers of a view in its order.

        Args:
            view: Search, filters and order.
            offset: Number of rows to skip.
            size: Number of rows to return; None for all.
        """
        condition, values, files = where_clause(view, self.fields)
        if condition == "true" and not view.sort:
            return list(range(offset, min(self.about.rows, offset + (self.about.rows if size is None else size))))
        by, also = order_clause(view, self.fields)
        limit = f"LIMIT {int(size)} OFFSET {int(offset)}" if size is not None else ""
        found = self.query("row", files | also, values, f"WHERE {condition} ORDER BY {by} {limit}").fetchall()
        return [row for (row,) in found]

    def page(self, view: View, offset: int, size: int, columns: list[str] | None = None) -> pd.DataFrame:
        """Return a page of a view as a table.

        Args:
            view: Search, filters and order.
            offset: Number of rows to skip.
            size: Number of rows of the page.
            columns: Names from `fields`; None for the studio's own ones.

        Returns:
            A frame with those columns and three more: `number_`, `problem_` and `raw`, the beginning of the row in the
            source file. Long texts are truncated.
        """
        numbers = self.row_numbers(view, offset, size)
        chosen = [self.fields[name] for name in columns or list(self.fields)[: len(OWN_COLUMNS)]]
        # Named by position: in DuckDB no name may be empty, and names that differ by case only are the same.
        select = ", ".join(
            f"left({field.sql}, {parse_rows.SHOWN_CHARACTERS}) AS cell_{at}"
            if field.kind == "text"
            else f"{field.sql} AS cell_{at}"
            for at, field in enumerate(chosen)
        )
        files = {field.file for field in chosen} | {"rows"}
        frame = self.query(
            f"{select}, row AS number_, reading.problem AS problem_, "
            f"left(rows.raw, {parse_rows.SHOWN_CHARACTERS}) AS raw",
            files,
            {"numbers": numbers},
            # The range lets DuckDB skip whole row groups by their statistics; list_contains alone does not.
            f"WHERE row BETWEEN {min(numbers, default=0)} AND {max(numbers, default=0)} "
            "AND list_contains($numbers, row)",
        ).df()
        frame.columns = [*(field.name for field in chosen), *frame.columns[len(chosen) :]]
        position = {number: index for index, number in enumerate(numbers)}
        return frame.sort_values("number_", key=lambda rows: rows.map(position))

    def row(self, number: int) -> dict[str, Any]:
        """Return one complete row: its line, raw text, problem, messages and notes.

        Raises:
            StudioError: There is no such row.
        """
        if not 0 <= number < self.about.rows:
            raise StudioError(f"There is no row {number}. Expected 0 to {self.about.rows - 1}.")
        select = "row, reading.split, rows.line, rows.raw, rows.trouble, reading.problem, reading.messages, notes"
        found = self.query(select, {"rows"}, {"row": number}, "WHERE row = $row")
        record = found.fetch_arrow_table().to_pylist()[0]
        return record | {"messages": from_stored(record["messages"]), "notes": record["notes"] or []}

    def usable_rows(self, wanted: set[int] | None = None) -> Iterator[tuple[int, str, list[Message]]]:
        """Yield (row number, split, messages) of the usable rows, or of those in `wanted`, in the order of the file."""
        columns = ["row", "split", "problem", "messages"]
        with pq.ParquetFile(self.files["reading"]) as file:
            for batch in file.iter_batches(columns=columns, batch_size=BATCH_ROWS):
                numbers = batch.column("row")
                if wanted is not None and not any(row in wanted for row in numbers.to_pylist()):
                    continue
                for record in batch.to_pylist():
                    if record["problem"] is None and (wanted is None or record["row"] in wanted):
                        yield record["row"], record["split"], from_stored(record["messages"])
