"""SQL queries of users over the rows of a dataset: a single SELECT in a sandboxed process.

The server only runs a tokenizer over the text (core/data/sql_check.py). A process without an environment, write access
or network parses and runs it (core/data/sql_worker.py) and is killed after a time limit. The DuckDB of the server never
sees the text.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.row_fields import join_kind
from core.data.rows import Rows
from core.data.sql_check import one_select
from core.data.view import Fields, quote_name
from core.errors import StudioError

TIMEOUT_SECONDS = 10
SHOWN_ROWS = 500
# Time for the process to start and import DuckDB, in addition to the time limit of the query.
_STARTUP_GRACE_SECONDS = 5.0
_WORKER = Path(__file__).with_name("sql_worker.py")


@dataclass(frozen=True)
class QueryResult:
    """First rows of the result of a query.

    Attributes:
        columns: Names of the columns.
        rows: Cells of the rows.
        has_more: Whether the result has more rows.
    """

    columns: list[str]
    rows: list[list[Any]]
    has_more: bool


def run_select(rows: Rows, sql: str, seconds: float = TIMEOUT_SECONDS) -> QueryResult:
    """Run one SELECT over the table `rows`.

    Args:
        rows: The dataset.
        sql: The statement.
        seconds: Time limit.

    Raises:
        StudioError: It is another statement, fails, or takes too long or too much memory.
    """
    return QueryResult(**_query(rows, sql, seconds, SHOWN_ROWS, only_numbers=False))


def select_row_numbers(rows: Rows, sql: str, seconds: float = TIMEOUT_SECONDS) -> list[int]:
    """Return the distinct row numbers in the column `row` of a result, in the order of their first occurrence.

    Args:
        rows: The dataset.
        sql: The statement.
        seconds: Time limit.

    Raises:
        StudioError: The statement is refused or fails, or its column `row` contains other values than row numbers.
    """
    numbers = _query(rows, sql, seconds, rows.about.rows, only_numbers=True)["numbers"]
    if wrong := [n for n in numbers if type(n) is not int or not 0 <= n < rows.about.rows]:
        raise StudioError(f"The SQL gives {wrong[0]!r} as a row number. Expected the numbers in the column row.")
    return numbers


def list_columns(rows: Rows) -> list[tuple[str, str]]:
    """Return the columns of the table `rows` with their types."""
    return [("row", "integer"), *((name, field.kind) for name, field in _named_fields(rows).items()),
            ("messages", "list of role, content and loss"), ("raw", "text")]  # fmt: skip


def _named_fields(rows: Rows) -> Fields:
    """Return the columns beside `row` by names that differ in more than case, as SQL needs, and are not empty."""
    found: Fields = {}
    taken = {"row", "messages", "raw"}
    for given, field in rows.fields.items():
        if given == "row":
            continue
        named = given or "(no name)"
        more = (f"{named} (source{number})" for number in itertools.chain([""], map(" {}".format, itertools.count(2))))
        name = next(name for name in itertools.chain([named], more) if name.casefold() not in taken)
        taken.add(name.casefold())
        found[name] = field
    return found


def _view_statement(rows: Rows) -> str:
    """Return the statement that creates the table `rows` with all columns, the conversation and the raw row."""
    columns = [f"{field.sql} AS {quote_name(name)}" for name, field in _named_fields(rows).items()]
    columns += ["reading.messages AS messages", "rows.raw AS raw"]
    sources = "".join(
        f" {join_kind(file)} JOIN read_parquet({_quote_literal(str(path))}) {file} USING (row)"
        for file, path in rows.files.items()
        if file != "reading"
    )
    return (
        f"CREATE VIEW rows AS SELECT row, {', '.join(columns)} FROM "
        f"read_parquet({_quote_literal(str(rows.files['reading']))}) reading{sources}"
    )


def _quote_literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _query(rows: Rows, sql: str, seconds: float, most: int, only_numbers: bool) -> dict[str, Any]:
    """Return the answer of the sandboxed process to a statement.

    Args:
        rows: The dataset.
        sql: The statement.
        seconds: Time limit.
        most: Maximum number of rows or row numbers to return.
        only_numbers: Whether to return the row numbers instead of the rows.

    Raises:
        StudioError: The statement is refused, fails, or takes too long or too much memory.
    """
    files = [str(path) for path in rows.files.values()]
    request = {
        "view": _view_statement(rows), "files": files, "sql": one_select(sql), "seconds": seconds, "most": most,
        "only_numbers": only_numbers,
    }  # fmt: skip
    found = run_locked(request, seconds + _STARTUP_GRACE_SECONDS)
    if found is None or found.get("late"):
        raise StudioError(f"The SQL was stopped after {seconds:g} seconds. Select less, or add a LIMIT.")
    if "error" in found:
        raise StudioError(f"The SQL failed: {found['error']}")
    return found


def run_locked(request: dict[str, Any], seconds: float) -> dict[str, Any] | None:
    """Return the answer of the worker to a request, or None if it was killed after `seconds`.

    The process gets only those variables of the environment that Python needs to find its packages, and an empty,
    read-only working directory.
    """
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG") if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="studio-sql-") as empty_folder:
        os.chmod(empty_folder, 0o500)
        process = subprocess.Popen(
            [sys.executable, "-P", "-B", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=empty_folder,
            env={**kept, "HOME": empty_folder, "PYTHONUTF8": "1"},
        )
        try:
            out, _ = process.communicate(json.dumps(request).encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            process.kill()
            process.communicate()
    # The kernel kills a process that exceeds its limits before it can write anything.
    if not out:
        return {"error": "it needed more memory or time than it may have"}
    return json.loads(out)
