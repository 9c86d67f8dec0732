"""The locked process that parses and runs one SELECT of a user. Started by core/data/sql_box.py, once per statement.

Limits are set before DuckDB is loaded: memory, CPU time, no file may be written, an empty working directory. The rows
become a view; then file and network access is closed but for the data set's own Parquet files, and the configuration is
locked. Only then is the user's text parsed: its syntax tree may name the table rows, its own WITH tables and a short
list of table functions, and no function that tells of the machine. Nothing of the studio is imported here.

Reads one JSON object from stdin (see `main`), writes one to stdout.
"""

import json
import os
import re
import resource
import sys
import threading
from typing import Any

_ADDRESS_SPACE = 4 * 2**30  # bytes, of which DuckDB may use _MEMORY_LIMIT
_MEMORY_LIMIT = "512MB"
_OPEN_FILES = 64
SHOWN_CHARACTERS = 2000  # of a cell
MAX_COLUMNS = 200
_MOST_CHARACTERS = 20_000_000  # of a whole result
_TABLE_FUNCTIONS = {"unnest", "range", "generate_series", "json_each", "json_tree", "regexp_split_to_table"}
# Functions that tell of the machine, the process or the catalogue, wait, or change a state.
_REFUSED = re.compile(
    r"current_(?!date$|time|localtime)\w*|getenv|getvariable|version|user|session_user|pg_(?!typeof$)\w*|has_\w*privilege"
    r"|inet_\w*|json_(de)?serialize_\w*|json_execute_\w*|sleep_ms|write_log|parse_duckdb_log_message|nextval|currval"
    r"|txid_current|in_search_path|get_block_size|duckdb_\w*|pragma_\w*|query|query_table|read_\w*|\w*_scan|\w+_description"
)


class Refused(Exception):
    """A statement that is not answered from the data set alone; the message says why."""


def limit_process(seconds: float) -> None:
    """Bound this process before anything else is loaded."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    cpu = int(seconds * (os.cpu_count() or 1)) + 10
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))


def connect(view: str, files: list[str]) -> Any:
    """Return a DuckDB connection that can read the view `rows` and nothing else.

    Args:
        view: the statement that makes the view.
        files: the Parquet files that the view reads.
    """
    import duckdb

    base = duckdb.connect(
        config={
            "memory_limit": _MEMORY_LIMIT,
            "threads": 2,
            "temp_directory": "",  # nothing is spilled to a disk
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "python_enable_replacements": False,  # a Python variable is no table
            "enable_external_file_cache": False,
        }
    )
    base.execute(view)
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in files)
    base.execute(f"SET allowed_paths = [{quoted}]")
    base.execute("SET enable_progress_bar = false")
    base.execute("SET enable_external_access = false")
    base.execute("SET lock_configuration = true")
    return base


def check(base: Any, sql: str) -> None:
    """Raise Refused unless `sql` is one SELECT over the table rows alone, as DuckDB's own parser sees it."""
    import duckdb

    if "\0" in sql:
        raise Refused("the statement holds a NUL character")
    found = json.loads(base.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()[0])
    if found.get("error"):
        if found.get("error_type") == "not implemented":  # a statement of another kind, or a SELECT that becomes one
            raise Refused("only a SELECT is run")
        raise Refused(f"this is not SQL that DuckDB reads: {_first_line(found.get('error_message', ''))}")
    if len(found["statements"]) != 1:
        raise Refused("only one statement is run")
    _walk(found["statements"][0], frozenset({"rows"}))
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise Refused("only one SELECT is run")


def _walk(node: Any, tables: frozenset[str]) -> None:
    """Check a part of the syntax tree.

    Args:
        tables: the names, in lower case, that are tables where this part stands.
    """
    if isinstance(node, list):
        for item in node:
            _walk(item, tables)
        return
    if not isinstance(node, dict):
        return
    own = [entry["key"].lower() for entry in (node.get("cte_map") or {}).get("map", [])]
    own += [node["cte_name"].lower()] if isinstance(node.get("cte_name"), str) else []
    if strange := [name for name in own if not re.fullmatch(r"\w+", name)]:
        raise Refused(f"a table of WITH is called {strange[0]!r}; use letters, digits and underscores")
    tables |= set(own)
    kind = node.get("type")
    if kind == "SHOW_REF":
        raise Refused("DESCRIBE, SHOW and SUMMARIZE are not run")
    if kind == "BASE_TABLE":
        _check_table(node, tables)
    if kind == "TABLE_FUNCTION" and node["function"]["function_name"].lower() not in _TABLE_FUNCTIONS:
        raise Refused(f"the table function {node['function']['function_name']!r} is not allowed; the table is rows")
    if node.get("class") == "FUNCTION" and _REFUSED.fullmatch(node["function_name"].lower()):
        raise Refused(f"the function {node['function_name']!r} is not allowed")
    for key, value in node.items():
        if key != "value" or isinstance(value, (list, dict)):
            _walk(value, tables)


def _check_table(node: dict[str, Any], tables: frozenset[str]) -> None:
    name, schema, catalog = node["table_name"], node.get("schema_name", ""), node.get("catalog_name", "")
    if schema or catalog or name.lower() not in tables:
        full = ".".join(part for part in (catalog, schema, name) if part)
        raise Refused(f"there is no table {full[:80]!r} here; the only table is rows")


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0][:500]


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    return str(value)[:SHOWN_CHARACTERS]


def shown_rows(result: Any, most: int) -> dict[str, Any]:
    """Return the first `most` rows of a result as JSON can hold them."""
    columns = [str(name)[:SHOWN_CHARACTERS] for name, *_ in result.description]
    if len(columns) > MAX_COLUMNS:
        raise Refused(f"the result has {len(columns):,} columns; select at most {MAX_COLUMNS}")
    rows: list[list[Any]] = []
    size = 0
    while len(rows) <= most and (row := result.fetchone()) is not None:
        rows.append(list(map(_cell, row)))
        size += sum(len(cell) for cell in rows[-1] if isinstance(cell, str))
        if size > _MOST_CHARACTERS:
            raise Refused(f"the result has more than {_MOST_CHARACTERS:,} characters; select fewer or shorter columns")
    return {"columns": columns, "rows": rows[:most], "more": len(rows) > most}


def distinct_numbers(result: Any, most: int) -> dict[str, Any]:
    """Return the distinct values of the result's only column, in the order in which they first come.

    Args:
        most: the number of rows there are; more different values than that are no row numbers.
    """
    numbers: dict[Any, None] = {}
    while batch := result.fetchmany(10_000):
        numbers.update(dict.fromkeys(_cell(row[0]) for row in batch))
        if len(numbers) > most:
            break
    return {"numbers": list(numbers)[: most + 1]}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return what the statement gives, or an object with `error` or `late`."""
    import duckdb

    try:
        base = connect(request["view"], request["files"])
        clock = threading.Timer(request["seconds"], base.interrupt)
        clock.daemon = True
        clock.start()
        check(base, request["sql"])
        if request["numbers"]:
            result = base.execute(f"SELECT row FROM ({request['sql']}\n) chosen_by_sql")
            return distinct_numbers(result, request["most"])
        return shown_rows(base.execute(request["sql"]), request["most"])
    except duckdb.InterruptException:
        return {"late": True}
    except (duckdb.Error, MemoryError, Refused, RecursionError) as error:
        return {"error": _first_line(str(error)) or type(error).__name__}


def main() -> None:
    """Answer the request on stdin: view, files, sql, seconds, most, numbers (whether row numbers are asked for)."""
    request = json.load(sys.stdin)
    limit_process(request["seconds"])
    json.dump(answer(request), sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # DuckDB's threads need not be waited for


if __name__ == "__main__":
    main()
