"""SQL over the rows of a data set, for those who want it: one SELECT, nothing else, in a process that can be killed.

Four walls: only a single SELECT is run; DuckDB may read the data set's own files and nothing else; its configuration
is locked; and the process has ten seconds and a bound on memory.
"""

import multiprocessing
import resource
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import duckdb

from core.data.rows import Rows
from core.data.view import quoted
from core.errors import StudioError

SECONDS = 10
SHOWN_ROWS = 500
_ADDRESS_SPACE = 4 * 2**30  # bytes of address space, of which DuckDB may use MEMORY_LIMIT
_MEMORY_LIMIT = "512MB"
_SHOWN_CHARACTERS = 2000  # of a cell


@dataclass(frozen=True)
class Answer:
    """The first rows of a result. `more`: there are others."""

    columns: list[str]
    rows: list[list[Any]]
    more: bool


def ask(rows: Rows, sql: str, seconds: float = SECONDS) -> Answer:
    """Run one SELECT over the table `rows`.

    Raises StudioError when it is anything else, fails, or takes too long.
    """
    return Answer(*_ask(rows, sql, seconds, SHOWN_ROWS))


def row_numbers(rows: Rows, sql: str, seconds: float = SECONDS) -> list[int]:
    """The distinct row numbers in the column `row` of a result, in the order they first come."""
    _, found, _ = _ask(rows, f"SELECT row FROM ({_one_select(sql)}) chosen_by_sql", seconds, None)
    numbers = list(dict.fromkeys(row[0] for row in found))
    if wrong := [n for n in numbers if not isinstance(n, int) or not 0 <= n < rows.about.rows]:
        raise StudioError(f"The SQL gives {wrong[0]!r} as a row number. Expected the numbers in the column row.")
    return numbers


def schema(rows: Rows) -> list[tuple[str, str]]:
    """The columns of the table `rows`, with their types."""
    return [("row", "integer"), *((name, field.kind) for name, field in rows.fields.items() if name != "row"),
            ("messages", "list of role and content"), ("raw", "text")]  # fmt: skip


def _one_select(sql: str) -> str:
    """`sql` without its semicolon. Raises StudioError unless it is one SELECT."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise StudioError(f"This is not SQL that DuckDB reads: {_first_line(error)}") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise StudioError("The SQL box takes one SELECT over the table rows. Nothing else is run.")
    return statements[0].query.strip().rstrip(";")


def _view(rows: Rows) -> str:
    """The definition of the table `rows`: every column by its name, with the whole conversation and the raw row."""
    columns = [f"{field.sql} AS {quoted(name)}" for name, field in rows.fields.items() if name != "row"]
    columns += ["reading.messages AS messages", "rows.raw AS raw"]
    sources = "".join(
        f" {'LEFT' if file in ('duplicates', 'near') else ''} JOIN read_parquet({_text(str(path))}) {file} USING (row)"
        for file, path in rows.files.items()
        if file != "reading"
    )
    return (
        f"CREATE VIEW rows AS SELECT row, {', '.join(columns)} FROM "
        f"read_parquet({_text(str(rows.files['reading']))}) reading{sources}"
    )


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _ask(rows: Rows, sql: str, seconds: float, most: int | None) -> tuple[list[str], list[list[Any]], bool]:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    files = [str(path) for path in rows.files.values()]
    process = multiprocessing.get_context("spawn").Process(
        target=_answer, args=(theirs, _view(rows), files, _one_select(sql), seconds, most), daemon=True
    )
    process.start()
    theirs.close()
    try:
        # the process stops itself; the second it is given more is for one that cannot
        kind, *found = ours.recv() if ours.poll(seconds + _STARTING) else ("late",)
    except EOFError:
        kind, found = "error", ["it needed more memory than it may have"]
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()
    if kind == "late":
        raise StudioError(f"The SQL was stopped after {seconds:g} seconds. Ask for less, or add a LIMIT.")
    if kind == "error":
        raise StudioError(f"The SQL failed: {found[0]}")
    return found[0], found[1], found[2]


_STARTING = 5.0  # seconds that a new process may take before the clock of the query starts


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _answer(pipe: Connection, view: str, files: list[str], sql: str, seconds: float, most: int | None) -> None:
    """Runs in the process of its own."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    base = duckdb.connect(config={"memory_limit": _MEMORY_LIMIT, "threads": 2})
    base.execute(view)
    base.execute(f"SET allowed_paths = [{', '.join(map(_text, files))}]")
    base.execute("SET enable_progress_bar = false")
    base.execute("SET enable_external_access = false")
    base.execute("SET lock_configuration = true")
    clock = threading.Timer(seconds, base.interrupt)
    clock.daemon = True
    clock.start()
    try:
        result = base.execute(sql)
        columns = [name for name, *_ in result.description]
        found = result.fetchall() if most is None else result.fetchmany(most + 1)
    except duckdb.InterruptException:
        pipe.send(("late",))
    except (duckdb.Error, MemoryError) as error:
        pipe.send(("error", _first_line(error) or type(error).__name__))
    else:
        shown = [list(map(_cell, row)) for row in found[:most]]
        pipe.send(("rows", columns, shown, most is not None and len(found) > most))


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, (int, float, bool)) else str(value)[:_SHOWN_CHARACTERS]
