"""Sandboxed process that parses and runs one SELECT of a user.

core/data/sql_box.py starts one process per statement, which reads a JSON object from stdin and writes one to stdout.

1. Limits are set before DuckDB is loaded: memory, CPU time, no writing to files, an empty working directory.
2. The rows become a view. Then access to files and to the network is closed, except for the Parquet files of the
   dataset, and the configuration is locked.
3. Only then is the text of the user parsed. Its syntax tree may contain the table rows, its own WITH tables and a short
   list of table functions, but no function that reveals facts about the machine.

Nothing of the studio is imported here.
"""

import json
import os
import re
import resource
import sys
import threading
from typing import Any

# Limit of the whole process; DuckDB's own buffers may use _MEMORY_LIMIT of it.
_ADDRESS_SPACE_BYTES = 4 * 2**30
_MEMORY_LIMIT = "512MB"
_MAX_OPEN_FILES = 64
# Characters of a cell that are returned.
SHOWN_CHARACTERS = 2000
MAX_COLUMNS = 200
_MAX_RESULT_CHARACTERS = 20_000_000
# A browser reads a number of JSON as a double, which has no larger integers without gaps. They are sent as text.
_MAX_EXACT_INTEGER = 2**53 - 1
# Types whose values Python has as they are. It makes 30 days of a month, the year 9999 of an infinite date, and
# microseconds of nanoseconds; so the text of all other types is DuckDB's.
_PLAIN_TYPES = re.compile(r"BOOLEAN|U?(TINY|SMALL|BIG|HUGE)?INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(.*\)|VARCHAR")
_TABLE_FUNCTIONS = {"unnest", "range", "generate_series", "json_each", "json_tree", "regexp_split_to_table"}
# Functions that reveal facts about the machine, the process or the catalog, that wait, or that change state.
_REFUSED_FUNCTIONS = re.compile(
    r"current_(?!date$|time|localtime)\w*|getenv|getvariable|version|user|session_user|pg_(?!typeof$)\w*|has_\w*privilege"
    r"|inet_\w*|json_(de)?serialize_\w*|json_execute_\w*|sleep_ms|write_log|parse_duckdb_log_message|nextval|currval"
    r"|txid_current|in_search_path|get_block_size|duckdb_\w*|pragma_\w*|query|query_table|read_\w*|\w*_scan|\w+_description"
)


class Refused(Exception):
    """A statement that needs more than the dataset; the message gives the reason."""


def limit_process(seconds: float) -> None:
    """Set the resource limits of this process, before anything else is loaded.

    Args:
        seconds: Time limit of the query, from which the limit of CPU seconds follows.
    """
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, _ADDRESS_SPACE_BYTES))
    # All cores for the whole time, and ten seconds for the start.
    cpu = int(seconds * (os.cpu_count() or 1)) + 10
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_OPEN_FILES, _MAX_OPEN_FILES))


def connect(view: str, files: list[str]) -> Any:
    """Return a DuckDB connection that can read the view `rows` and nothing else.

    Args:
        view: The statement that creates the view.
        files: The Parquet files that the view reads.
    """
    import duckdb

    base = duckdb.connect(
        config={
            "memory_limit": _MEMORY_LIMIT,
            "threads": 2,
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            # Otherwise a Python variable of this process could be queried as a table.
            "python_enable_replacements": False,
            "enable_external_file_cache": False,
        }
    )
    base.execute(view)
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in files)
    # The order matters: allowed_paths cannot be set once external access is off, and nothing can be set after the lock.
    base.execute(f"SET allowed_paths = [{quoted}]")
    base.execute("SET enable_progress_bar = false")
    base.execute("SET enable_external_access = false")
    base.execute("SET lock_configuration = true")
    return base


def check(base: Any, sql: str) -> None:
    """Raise Refused unless DuckDB's own parser sees `sql` as one SELECT over the table rows only."""
    import duckdb

    if "\0" in sql:
        raise Refused("the statement contains a NUL character")
    found = json.loads(base.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()[0])
    if found.get("error"):
        # DuckDB can serialize SELECT statements only.
        if found.get("error_type") == "not implemented":
            raise Refused("only a SELECT is run")
        raise Refused(f"this is not SQL that DuckDB reads: {_first_line(found.get('error_message', ''))}")
    if len(found["statements"]) != 1:
        raise Refused("only one statement is run")
    _walk(found["statements"][0], frozenset({"rows"}), _own_tables(base))
    # The parser of the syntax tree and that of the execution must agree on the kind of the statement.
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise Refused("only one SELECT is run")


def _own_tables(base: Any) -> frozenset[str]:
    """Return the names of DuckDB's own tables and views, in lower case."""
    found = base.execute(
        "SELECT view_name FROM duckdb_views() WHERE internal "
        "UNION SELECT table_name FROM duckdb_tables() WHERE internal"
    )
    return frozenset(name.lower() for (name,) in found.fetchall())


def _walk(node: Any, tables: frozenset[str], reserved: frozenset[str]) -> None:
    """Check a part of the syntax tree and everything below it.

    A table of WITH exists only after its definition. Inside and before the definition, DuckDB takes the same name for
    one of its own tables, so that a statement could read the catalog and the settings.

    Args:
        node: An object, a list or a value of the serialized tree.
        tables: Names in lower case that are tables in this part of the tree.
        reserved: Names of DuckDB's own tables, which no table of WITH may have.
    """
    if isinstance(node, list):
        for item in node:
            _walk(item, tables, reserved)
        return
    if not isinstance(node, dict):
        return
    for entry in (node.get("cte_map") or {}).get("map", []):
        _walk(entry["value"], tables, reserved)
        tables |= {_with_name(entry["key"], reserved)}
    if isinstance(node.get("cte_name"), str):
        # `left` is the first rows of a recursive table; `query` is the definition of another one.
        for part in ("left", "query"):
            _walk(node.get(part), tables, reserved)
        tables |= {_with_name(node["cte_name"], reserved)}
        node = {key: value for key, value in node.items() if key not in ("left", "query")}
    kind = node.get("type")
    if kind == "SHOW_REF":
        raise Refused("DESCRIBE, SHOW and SUMMARIZE are not run")
    if kind == "BASE_TABLE":
        _check_table(node, tables)
    if kind == "TABLE_FUNCTION" and node["function"]["function_name"].lower() not in _TABLE_FUNCTIONS:
        raise Refused(f"the table function {node['function']['function_name']!r} is not allowed; the table is rows")
    if node.get("class") == "FUNCTION" and _REFUSED_FUNCTIONS.fullmatch(node["function_name"].lower()):
        raise Refused(f"the function {node['function_name']!r} is not allowed")
    # "value" holds constants of the user; only nested objects in it can contain expressions.
    for key, value in node.items():
        if key != "cte_map" and (key != "value" or isinstance(value, (list, dict))):
            _walk(value, tables, reserved)


def _with_name(name: str, reserved: frozenset[str]) -> str:
    """Return the name of a table of WITH in lower case.

    Raises:
        Refused: The name is not a plain word, or is that of one of DuckDB's own tables.
    """
    if not re.fullmatch(r"\w+", name):
        raise Refused(f"a table of WITH is called {name!r}; use letters, digits and underscores")
    if name.lower() in reserved:
        raise Refused(f"a table of WITH is called {name!r}, like a table of DuckDB's own; call it differently")
    return name.lower()


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
    if isinstance(value, int) and abs(value) <= _MAX_EXACT_INTEGER:
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    return str(value)[:SHOWN_CHARACTERS]


def shown_rows(base: Any, sql: str, most: int) -> dict[str, Any]:
    """Return the first `most` rows of a checked statement with values that JSON can represent."""
    # Only parsed and bound, not run.
    bound = base.sql(sql)
    columns = [name[:SHOWN_CHARACTERS] for name in bound.columns]
    if len(columns) > MAX_COLUMNS:
        raise Refused(f"the result has {len(columns):,} columns; select at most {MAX_COLUMNS}")
    is_plain = [_PLAIN_TYPES.fullmatch(str(kind)) for kind in bound.types]
    # By their position, because columns may have the same name.
    cells = [f"#{at}" if plain else f"CAST(#{at} AS VARCHAR)" for at, plain in enumerate(is_plain, 1)]
    result = base.execute(sql if all(is_plain) else f"SELECT {', '.join(cells)} FROM ({sql}\n) as_text")
    rows: list[list[Any]] = []
    size = 0
    while len(rows) <= most and (row := result.fetchone()) is not None:
        rows.append(list(map(_cell, row)))
        size += sum(len(cell) for cell in rows[-1] if isinstance(cell, str))
        if size > _MAX_RESULT_CHARACTERS:
            raise Refused(
                f"the result has more than {_MAX_RESULT_CHARACTERS:,} characters; select fewer or shorter columns"
            )
    return {"columns": columns, "rows": rows[:most], "has_more": len(rows) > most}


def distinct_numbers(result: Any, most: int) -> dict[str, Any]:
    """Return the distinct values of the only column of a result, in the order of their first occurrence.

    Args:
        result: The result of the query.
        most: Number of rows of the dataset; a result with more different values contains other values than row
            numbers, so reading it stops there.
    """
    numbers: dict[Any, None] = {}
    while batch := result.fetchmany(10_000):
        numbers.update(dict.fromkeys(_cell(row[0]) for row in batch))
        if len(numbers) > most:
            break
    return {"numbers": list(numbers)[: most + 1]}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run the statement of a request.

    Args:
        request: Its view, files, sql, seconds, most, and only_numbers (whether row numbers are requested).

    Returns:
        The result as an object, or an object with `error` or `late`.
    """
    import duckdb

    try:
        base = connect(request["view"], request["files"])
        clock = threading.Timer(request["seconds"], base.interrupt)
        clock.daemon = True
        clock.start()
        check(base, request["sql"])
        if request["only_numbers"]:
            result = base.execute(f"SELECT row FROM ({request['sql']}\n) chosen_by_sql")
            return distinct_numbers(result, request["most"])
        return shown_rows(base, request["sql"], request["most"])
    except duckdb.InterruptException:
        return {"late": True}
    except (duckdb.Error, MemoryError, Refused, RecursionError) as error:
        return {"error": _first_line(str(error)) or type(error).__name__}


def main() -> None:
    """Answer the request on stdin (see `answer`)."""
    request = json.load(sys.stdin)
    limit_process(request["seconds"])
    json.dump(answer(request), sys.stdout)
    sys.stdout.flush()
    # Do not wait for DuckDB's threads.
    os._exit(0)


if __name__ == "__main__":
    main()
