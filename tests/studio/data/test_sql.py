"""The SQL box of the Data tab."""

import json
import re

import pytest

from core.data import sources, sql_box
from core.errors import StudioError
from studio.data.page_state import PageState
from studio.data.sql import EXAMPLE, SqlQuery, check_sql
from tests.helpers.hostile_text import COLUMN, ParsedHtml


@pytest.fixture
def do(settings):
    return SqlQuery(settings)


def test_run_example_returns_a_table(do, state):
    shown = do.run(state, EXAMPLE)
    assert shown["result"]["value"]["headers"] == ["language", "rows", "mean_length"]
    assert sum(row[1] for row in shown["result"]["value"]["data"]) == 60
    assert shown["result_text"] == f"{len(shown['result']['value']['data'])} rows"


def test_run_can_select_every_listed_column(do, state):
    names = re.findall("<code>(.+?)</code>", do.columns(state)["sql_columns"])
    shown = do.run(state, "SELECT " + ", ".join(f'"{name}"' for name in names) + " FROM rows LIMIT 1")
    assert shown["result"]["value"]["headers"] == names
    assert do.columns(PageState().model_dump()) == {"sql_columns": ""}


def test_columns_show_a_hostile_name_as_text(do, settings, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"instruction": "a", "output": "b", COLUMN: "c"}) + "\n")
    data = sources.open_file(settings, tmp_path / "a.jsonl")
    shown = do.columns(PageState(dataset=data.id).model_dump())["sql_columns"]
    page = ParsedHtml(shown)
    assert f"{COLUMN} (text)" in page.text
    assert set(re.findall(r"<(\w+)", shown)) == {"code"}


def test_check_sql_refuses_an_empty_query():
    with pytest.raises(StudioError, match="No SQL was given"):
        check_sql("  ")
    assert check_sql(" SELECT 1 ") == "SELECT 1"


def test_run_of_endless_query_is_stopped(do, state, monkeypatch):
    """With the default limit of `run_select`, which is lowered here so that it does not take 10 seconds."""
    assert sql_box.run_select.__defaults__ == (sql_box.TIMEOUT_SECONDS,)
    monkeypatch.setattr(sql_box.run_select, "__defaults__", (1.0,))
    with pytest.raises(StudioError, match="stopped after 1 seconds"):
        do.run(state, "SELECT count(*) FROM rows a, rows b, rows c, rows d, rows e, rows f")
