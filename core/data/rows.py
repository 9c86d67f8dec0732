"""Reading an opened data set: pages, single rows, counts and numbers, by DuckDB over its Parquet files.

Row numbers are found first, with the few columns that a search, filter or order needs; only then are those rows read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq

from core.data import parse_rows, table
from core.data.formats import Message, Reading, from_stored
from core.data.view import Fields, View, ViewField, order_clause, quote_name, where_clause
from core.errors import StudioError
from core.settings import Settings

MEMORY_LIMIT = "512MB"
BATCH_ROWS = 1000

_OWN = (
    ("row", "integer", "reading"),
    ("split", "text", "reading"),
    ("turns", "integer", "reading"),
    ("language", "text", "reading"),
    ("characters", "integer", "reading"),
    ("answer_characters", "integer", "reading"),
    ("prompt", "text", "reading"),
    ("answer", "text", "reading"),
    ("problem", "text", "reading"),
    ("duplicate_of", "integer", "duplicates"),
)
# The texts of these columns are cut short; how long they are, all turns together, is kept beside them.
_LENGTHS = {"prompt": "(reading.characters - reading.answer_characters)", "answer": "reading.answer_characters"}


def connect(settings: Settings) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that spills to STUDIO_HOME when it must."""
    spill = settings.home / ".spill"
    base = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": str(spill)})
    base.execute("SET enable_progress_bar = false")
    return base


class Rows:
    """Read-only view of one data set under one reading, and under one tokenizer when lengths are given."""

    def __init__(
        self,
        settings: Settings,
        dataset: str | None,
        reading: Reading | None = None,
        lengths: Path | None = None,
        near: Path | None = None,
    ):
        """
        Args:
            reading: how rows are read; as it was detected when None. It must have been derived.
            lengths: the file of token counts (`core.data.lengths`).
            near: the file of near duplicates (`core.data.near_duplicates`).
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
        if lengths:
            self.files["lengths"] = lengths
        if near:
            self.files["near"] = near
        self.fields = self._fields()

    def _fields(self) -> Fields:
        own = list(_OWN)
        if "near" in self.files:
            own.append(("near_duplicate_of", "integer", "near"))
        if "lengths" in self.files:
            own += [("tokens", "integer", "lengths"), ("answer_tokens", "integer", "lengths")]
        fields: Fields = {}
        for name, kind, file in own:
            sql = f"{file}.{name}"
            fields[name] = ViewField(
                name=name, kind=kind, file=file, sql=sql, length=_LENGTHS.get(name, f"length({sql})" * (kind == "text"))
            )
        for column in self.about.columns:
            name = column.name if column.name not in fields else f"{column.name} (source)"
            sql = f"rows.{quote_name('c.' + column.name)}"
            fields[name] = ViewField(
                name=name, kind=column.kind, file="rows", sql=sql, length=f"length({sql})" * (column.kind == "text")
            )
        return fields

    def query(self, select: str, files: set[str], values: dict[str, Any] | None = None, after: str = "") -> Any:
        """Run `select` over the join of the files it needs; `row` is the common column.

        Everything but names of columns comes through `values`.
        """
        used = ["reading", *sorted(files - {"reading"})]
        joins = f"read_parquet($file_{used[0]}) {used[0]}" + "".join(
            f" {'LEFT' if file in ('duplicates', 'near') else ''} JOIN read_parquet($file_{file}) {file} USING (row)"
            for file in used[1:]
        )
        paths = {f"file_{file}": str(self.files[file]) for file in used}
        return connect(self.settings).execute(f"SELECT {select} FROM {joins} {after}", paths | (values or {}))

    def count(self, view: View) -> int:
        if view == View(sort=view.sort, descending=view.descending):
            return self.about.rows
        condition, values, files = where_clause(view, self.fields)
        return self.query("count(*)", files, values, f"WHERE {condition}").fetchone()[0]

    def row_numbers(self, view: View, offset: int = 0, size: int | None = None) -> list[int]:
        """The numbers of the rows of a view, in its order."""
        condition, values, files = where_clause(view, self.fields)
        if condition == "true" and not view.sort:
            return list(range(offset, min(self.about.rows, offset + (size or self.about.rows))))
        by, also = order_clause(view, self.fields)
        limit = f"LIMIT {int(size)} OFFSET {int(offset)}" if size is not None else ""
        found = self.query("row", files | also, values, f"WHERE {condition} ORDER BY {by} {limit}").fetchall()
        return [row for (row,) in found]

    def page(self, view: View, offset: int, size: int, columns: list[str] | None = None) -> pd.DataFrame:
        """The rows `offset` to `offset + size` of a view, one line each.

        Args:
            columns: names from `fields`; the studio's own ones by default.

        Returns a frame with those columns and three more: `number_`, `problem_` and `raw`, the beginning of the row
        as it stands in the file.
        """
        numbers = self.row_numbers(view, offset, size)
        chosen = [self.fields[name] for name in columns or list(self.fields)[: len(_OWN)]]
        select = ", ".join(
            f"left({field.sql}, {parse_rows.SHOWN_CHARACTERS}) AS {quote_name(field.name)}"
            if field.kind == "text"
            else f"{field.sql} AS {quote_name(field.name)}"
            for field in chosen
        )
        files = {field.file for field in chosen} | {"rows"}
        frame = self.query(
            f"{select}, row AS number_, reading.problem AS problem_, "
            f"left(rows.raw, {parse_rows.SHOWN_CHARACTERS}) AS raw",
            files,
            {"numbers": numbers},
            # the range lets DuckDB pass over whole groups of rows
            f"WHERE row BETWEEN {min(numbers, default=0)} AND {max(numbers, default=0)} "
            "AND list_contains($numbers, row)",
        ).df()
        place = {number: index for index, number in enumerate(numbers)}
        return frame.sort_values("number_", key=lambda rows: rows.map(place))

    def row(self, number: int) -> dict[str, Any]:
        """Return one whole row: its line, raw text, problem, messages and notes.

        Raises:
            StudioError: there is no such row.
        """
        if not 0 <= number < self.about.rows:
            raise StudioError(f"There is no row {number}. Expected 0 to {self.about.rows - 1}.")
        select = "row, reading.split, rows.line, rows.raw, rows.trouble, reading.problem, reading.messages, notes"
        found = self.query(select, {"rows"}, {"row": number}, "WHERE row = $row")
        record = found.fetch_arrow_table().to_pylist()[0]
        return record | {"messages": from_stored(record["messages"]), "notes": record["notes"] or []}

    def usable_rows(self, wanted: set[int] | None = None) -> Iterator[tuple[int, str, list[Message]]]:
        """(row, split, messages) of every usable row, or of those in `wanted`, in order."""
        columns = ["row", "split", "problem", "messages"]
        with pq.ParquetFile(self.files["reading"]) as file:
            for batch in file.iter_batches(columns=columns, batch_size=BATCH_ROWS):
                numbers = batch.column("row")
                if wanted is not None and not any(row in wanted for row in numbers.to_pylist()):
                    continue
                for record in batch.to_pylist():
                    if record["problem"] is None and (wanted is None or record["row"] in wanted):
                        yield record["row"], record["split"], from_stored(record["messages"])
