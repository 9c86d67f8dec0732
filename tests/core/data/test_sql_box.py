"""SQL on the rows of a dataset: results, limits and rejected statements."""

import time

import pytest

from core.data import sql_box
from core.data.rows import Rows
from core.errors import StudioError
from tests.helpers.datasets import dialog, open_dialogs


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    from core.settings import Settings

    folder = tmp_path_factory.mktemp("sql")
    home = Settings(home=folder / "home").prepare()
    (home.home / "secret.csv").write_text("a\n1\n")
    data = open_dialogs(home, folder, [dialog("a", "b" * i) for i in range(1, 601)], n=list(range(600)))
    return Rows(home, data.id)


def test_run_select_returns_columns_and_rows(rows):
    answer = sql_box.run_select(rows, "SELECT n, len(messages) AS turns, raw FROM rows WHERE n < 3 ORDER BY n DESC;")
    assert answer.columns == ["n", "turns", "raw"]
    assert [row[:2] for row in answer.rows] == [[2, 2], [1, 2], [0, 2]]
    assert not answer.has_more


# Expressions and their cells: all of one statement, which also holds an order and two columns of one name.
CELLS = {
    "INTERVAL 1 MONTH": "1 month",
    "INTERVAL '1 year 2 days'": "1 year 2 days",
    "DATE 'infinity'": "infinity",
    "TIMESTAMP '-infinity'": "-infinity",
    "TIMESTAMP_NS '2020-01-01 00:00:00.123456789'": "2020-01-01 00:00:00.123456789",
    "TIMESTAMPTZ '2020-01-01 12:00:00+02'": "2020-01-01 10:00:00+00",
    "DATE '0044-03-15 (BC)'": "0044-03-15 (BC)",
    "[INTERVAL 1 MONTH, NULL]": "[1 month, NULL]",
    "{'a': DATE 'infinity'}": "{'a': infinity}",
    "MAP {[1]: DATE '2020-01-01'}": "{[1]=2020-01-01}",
    "'\\xAA\\x00'::BLOB": "\\xAA\\x00",
    "9007199254740991": 9007199254740991,
    "9007199254740993": "9007199254740993",
    "-18446744073709551616::HUGEINT": "-18446744073709551616",
    "1.10::DECIMAL(38, 10)": "1.1000000000",
    "'nan'::DOUBLE": "nan",
    "NULL": None,
    "NULL::INTERVAL": None,
    "true": True,
    "0.5": "0.5",
    "0.5::DOUBLE": 0.5,
}


def test_run_select_shows_values_of_every_type_as_they_are(rows):
    cells = ", ".join(f"{expression} AS same" for expression in CELLS)
    found = sql_box.run_select(rows, f"SELECT row, {cells} FROM rows ORDER BY row DESC -- the last first")
    assert found.columns == ["row", *["same"] * len(CELLS)]
    numbers = [row[0] for row in found.rows]
    assert numbers == sorted(numbers, reverse=True)
    assert dict(zip(CELLS, found.rows[0][1:], strict=True)) == CELLS
    # The plain statement runs as it is written.
    assert sql_box.run_select(rows, "WITH t AS (SELECT 1 AS a) SELECT *, * FROM t LIMIT 3;").rows == [[1, 1]]


def test_run_select_truncates_long_results(rows):
    answer = sql_box.run_select(rows, "SELECT * FROM rows")
    assert len(answer.rows) == sql_box.SHOWN_ROWS
    assert answer.has_more
    assert set(answer.columns) == {name for name, _ in sql_box.list_columns(rows)}
    assert len(sql_box.select_row_numbers(rows, "SELECT row, row FROM rows ORDER BY n DESC")) == 600


FORBIDDEN = {
    "reading any file": "SELECT * FROM read_csv('{home}/secret.csv')",
    "reading by name": "SELECT * FROM '{home}/secret.csv'",
    "reading the system": "SELECT * FROM read_text('/etc/passwd')",
    "listing files": "SELECT * FROM glob('/etc/*')",
    "the network": "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
    "COPY": "COPY rows TO '{home}/out.csv'",
    "ATTACH": "ATTACH '{home}/other.db'",
    "INSTALL": "INSTALL httpfs",
    "LOAD": "LOAD httpfs",
    "SET": "SET enable_external_access = true",
    "PRAGMA": "PRAGMA enable_profiling",
    "CREATE": "CREATE TABLE x AS SELECT 1",
    "two statements": "SELECT 1; SELECT 2",
    "an extension inside": "SELECT * FROM sqlite_scan('{home}/x.db', 'x')",
    "a variable": "SELECT getenv('HOME')",
    "nothing": "  ",
    "no SQL": "SELEC 1",
}


@pytest.mark.parametrize("sql", FORBIDDEN.values(), ids=FORBIDDEN)
def test_run_select_rejects_other_statements(rows, sql):
    home = rows.settings.home
    with pytest.raises(StudioError, match="SQL"):
        sql_box.run_select(rows, sql.format(home=home))
    assert not (home / "out.csv").exists()
    assert not (home / "other.db").exists()


ENDLESS = {
    "a cross join": "SELECT count(*) FROM rows a, rows b, rows c, rows d, rows e",
    "a recursion": "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
    "a range": "SELECT sum(sqrt(i * 1.0)) FROM range(100000000000) t(i)",
}


@pytest.mark.parametrize("sql", ENDLESS.values(), ids=ENDLESS)
def test_run_select_stops_endless_query(rows, sql):
    began = time.monotonic()
    with pytest.raises(StudioError, match=r"stopped after 1 seconds|SQL failed"):
        sql_box.run_select(rows, sql, seconds=1)
    assert time.monotonic() - began < sql_box.TIMEOUT_SECONDS


def test_run_select_beyond_memory_limit_fails(rows):
    with pytest.raises(StudioError, match=r"SQL failed|stopped"):
        sql_box.run_select(rows, "SELECT repeat('x', 2000000000) || repeat('y', 2000000000)", seconds=1)


def test_select_row_numbers_rejects_other_values(rows):
    with pytest.raises(StudioError, match="gives 700 as a row number"):
        sql_box.select_row_numbers(rows, "SELECT 700 AS row")
    with pytest.raises(StudioError, match="SQL failed"):
        sql_box.select_row_numbers(rows, "SELECT n FROM rows")
