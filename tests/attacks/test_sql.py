"""Tests that SQL of a hostile user reaches only the dataset, no other file and no server."""

import contextlib
import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from core.data import sql_box, subset
from core.data.recipe import Recipe
from core.data.rows import Rows
from core.data.sql_check import one_select
from core.errors import StudioError
from core.settings import Settings
from tests.helpers.datasets import dialog, open_dialogs
from tests.helpers.sql_statements import ANSWERED, DISGUISED, SELECTS, STATEMENTS, TOO_MUCH

CANARY = "canary-7f3a91"
# Without the tokenizer, DuckDB would answer these from the rows, from constants and from its own user name.
HARMLESS = {
    "UNPIVOT rows ON row INTO NAME n VALUE v", "TABLE rows", "VALUES (1)", "FROM rows", "FROM rows SELECT row",
    "SELECT current_user", "SELECT user", "SELECT session_user", "SELECT current_role", "\u2060SELECT 1",
    "SELECT\u00a01",
}  # fmt: skip
# One sandboxed process answers many statements, each like `answer`, so that the test costs one process start.
MANY = """
import json, sys, threading
sys.path.insert(0, sys.argv[1])
import duckdb, sql_worker
request = json.load(sys.stdin)
sql_worker.limit_process(120)
base = sql_worker.connect(request["view"], request["files"])
for sql in request["statements"]:
    clock = threading.Timer(2, base.interrupt)
    clock.start()
    try:
        sql_worker.check(base, sql)
        found = sql_worker.shown_rows(base, sql, 500)
    except (duckdb.Error, sql_worker.Refused, MemoryError, RecursionError, UnicodeError) as error:
        found = {"error": str(error)}
    finally:
        clock.cancel()
    print(json.dumps(found), flush=True)
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Rows:
    folder = tmp_path_factory.mktemp("sql")
    home = Settings(home=folder / "home").prepare()
    data = open_dialogs(home, folder, [dialog("a", "b" * i) for i in range(1, 20)], n=list(range(19)))
    (folder / "secret.csv").write_text(f"a\n{CANARY}\n")
    with duckdb.connect(str(folder / "secret.db")) as base:
        base.execute(f"CREATE TABLE x AS SELECT '{CANARY}' AS a")
        base.execute(f"COPY x TO '{folder}/secret.parquet'")
    # Files that IMPORT DATABASE reads.
    (folder / "schema.sql").write_text(f"CREATE TABLE imported AS SELECT '{CANARY}' AS a;")
    (folder / "load.sql").write_text(f"COPY imported TO '{folder}/out.csv';")
    return Rows(home, data.id)


@pytest.fixture(scope="module")
def folder(rows) -> Path:
    return rows.settings.home.parent


@pytest.fixture(scope="module")
def server():
    """Yield the address of a server on loopback and the list of requests that reached it."""
    reached: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reached.append(self.path)
            self.send_response(404)
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}", reached
        listening.shutdown()


def files_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def run_many(rows: Rows, statements: list[str]) -> list[dict]:
    """Return the answers of one sandboxed process; None for statements after the one that killed it."""
    request = {
        "view": sql_box._view_statement(rows),
        "files": [str(p) for p in rows.files.values()],
        "statements": statements,
    }
    found = subprocess.run(
        [sys.executable, "-P", "-c", MANY, str(Path(sql_box.__file__).parent)],
        input=json.dumps(request), capture_output=True, text=True, timeout=300, cwd=rows.settings.home,
    )  # fmt: skip
    answers = [json.loads(line) for line in found.stdout.splitlines()]
    return answers + [None] * (len(statements) - len(answers))


def test_sql_hostile_statements_reach_only_the_rows(rows, folder, server):
    url, reached = server
    hostile = [sql.format(dir=folder, url=url) for sql in (*STATEMENTS, *SELECTS, *DISGUISED)]
    assert len(hostile) >= 200
    before = files_of(folder)
    passed = []
    for sql, found in zip(hostile, run_many(rows, hostile), strict=True):
        assert found is not None, f"the locked process died of {sql!r}"
        assert CANARY not in json.dumps(found), sql
        if "error" not in found:
            passed.append(sql)
    assert set(passed) <= HARMLESS
    assert files_of(folder) == before
    assert not reached


@pytest.mark.parametrize("opening", ["/*a", "$a$ $b$ ", "'it''s ", '"name ', "e'x "])
def test_one_select_stops_at_the_first_text_without_an_end(opening):
    sql = f"SELECT {opening}" + "/*a" * 6000
    with pytest.raises(StudioError, match="without its end"):
        one_select(sql)


def test_one_select_rejects_every_other_statement(folder):
    for sql in STATEMENTS:
        with pytest.raises(StudioError, match="Expected SELECT or WITH"):
            one_select(sql.format(dir=folder, url="http://127.0.0.1:9"))
    for sql in ANSWERED:
        assert one_select(sql).strip()


@pytest.mark.parametrize(
    "sql", ["IMPORT DATABASE '{dir}'", "PRAGMA import_database('{dir}')", "SELECT 1; IMPORT DATABASE '{dir}'"]
)
def test_sql_import_database_is_rejected_in_box_and_recipe(rows, folder, sql):
    sql, before = sql.format(dir=folder), files_of(folder)
    with pytest.raises(StudioError, match="SQL"):
        sql_box.run_select(rows, sql)
    with pytest.raises(StudioError, match="SQL"):
        subset.create(rows.settings, "stolen", Recipe(dataset=rows.about.id, sql=sql))
    assert {k: v for k, v in files_of(folder).items() if not k.endswith(".lock")} == {
        k: v for k, v in before.items() if not k.endswith(".lock")
    }


def test_sql_ordinary_statements_are_answered(rows):
    answers = run_many(rows, ANSWERED)
    assert [(sql, found) for sql, found in zip(ANSWERED, answers, strict=True) if not found or "error" in found] == []


@pytest.mark.parametrize("sql", TOO_MUCH, ids=range(len(TOO_MUCH)))
def test_sql_expensive_statement_ends_with_error_or_result(rows, sql):
    found = None
    with contextlib.suppress(StudioError):
        found = sql_box.run_select(rows, sql, seconds=2)
    assert found is None or len(found.rows) <= sql_box.SHOWN_ROWS


def test_sql_process_has_no_secrets_and_cannot_write(rows, monkeypatch, tmp_path):
    monkeypatch.setenv("STUDIO_PASSWORD", CANARY)
    monkeypatch.setenv("HF_TOKEN", CANARY)
    request = {"view": "CREATE VIEW rows AS SELECT 1 AS row", "files": [], "sql": "SELECT row FROM rows", "seconds": 5,
               "most": 5, "only_numbers": True}  # fmt: skip
    assert sql_box.run_locked(request, 10) == {"numbers": [1]}
    # Even the studio's own statement, which runs before the configuration is locked, cannot write files or read the
    # environment.
    out = tmp_path / "out.csv"
    for view in (f"COPY (SELECT 1) TO '{out}'", "CREATE VIEW rows AS SELECT * FROM read_text('/proc/self/environ')"):
        found = sql_box.run_locked(request | {"view": view, "sql": "SELECT 1 AS row, content FROM rows"}, 10)
        assert CANARY not in json.dumps(found)
    assert not out.exists() or out.stat().st_size == 0


def test_sql_with_table_named_like_a_duckdb_table_is_rejected(rows):
    """Inside its own definition such a name is DuckDB's table, which holds paths and settings."""
    with duckdb.connect() as base:
        own = [name for (name,) in base.execute("SELECT view_name FROM duckdb_views() WHERE internal").fetchall()]
    assert {"sqlite_master", "pg_settings", "duckdb_views", "pragma_database_list"} <= set(own)
    statements = [f"WITH {name} AS (SELECT * FROM {name}) SELECT * FROM {name}" for name in own]
    statements += [
        "WITH a AS (SELECT * FROM sqlite_schema), sqlite_schema AS (SELECT 1) SELECT * FROM a",
        "WITH RECURSIVE SQLITE_MASTER AS (SELECT * FROM sqlite_master UNION ALL SELECT * FROM sqlite_master) "
        "SELECT * FROM SQLITE_MASTER",
        "WITH a AS (WITH pg_settings AS (SELECT * FROM pg_settings) SELECT * FROM pg_settings) SELECT * FROM a",
        "SELECT * FROM (WITH x AS MATERIALIZED (SELECT * FROM x) SELECT * FROM x)",
        "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a",
    ]
    for statement, found in zip(statements, run_many(rows, statements), strict=True):
        assert found is not None, statement
        assert "error" in found, statement


def test_sql_with_tables_that_use_earlier_ones_are_answered(rows):
    statements = [
        "WITH a AS (SELECT row FROM rows), b AS (SELECT * FROM a) SELECT count(*) FROM b",
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT count(*) FROM t",
        "WITH a AS MATERIALIZED (SELECT row FROM rows) SELECT count(*) FROM a",
        "SELECT count(*) FROM (WITH a AS (SELECT row FROM rows) SELECT * FROM a)",
    ]
    assert [found.get("rows") for found in run_many(rows, statements)] == [[[19]], [[5]], [[19]], [[19]]]
