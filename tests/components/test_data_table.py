"""The data table: hostile texts, marks of order and ticks, plain tables, and values of its events."""

import gradio as gr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.data_table import TableBar, TableColumn, TablePage, TableRow, table_html, value_of
from tests.helpers.hostile_text import HOSTILE
from tests.helpers.table_html import ATTRIBUTES, TAGS, Lenient

TEXT = st.sampled_from(HOSTILE) | st.text(max_size=12)
BARS = st.lists(st.builds(TableBar, st.floats(-1, 2), TEXT, TEXT, st.booleans()), max_size=3)
COLUMNS = st.builds(TableColumn, TEXT, TEXT, st.booleans(), st.booleans(), TEXT, BARS)


@st.composite
def pages(draw):
    columns = draw(st.lists(COLUMNS, min_size=1, max_size=3))
    cells = st.lists(TEXT, min_size=len(columns), max_size=len(columns))
    rows = draw(st.lists(st.builds(TableRow, st.integers(0, 99), cells, st.booleans()), max_size=3))
    filters = draw(st.lists(st.tuples(TEXT, TEXT), max_size=2))
    return TablePage(columns, rows, columns[0].name, draw(st.booleans()), {1, 2}, 3, filters, draw(TEXT))


@settings(max_examples=60)
@given(pages())
def test_table_with_any_text_shows_it_as_text_and_sends_its_values(page):
    shown = Lenient(table_html(page))
    assert {tag for tag, _ in shown.tags} <= TAGS
    assert {name for _, attributes in shown.tags for name in attributes} <= ATTRIBUTES
    events = [(a["data-event"], a.get("data-value")) for _, a in shown.tags if "data-event" in a]
    assert [value for event, value in events if event == "sort_by"] == [column.name for column in page.columns]
    assert [value for event, value in events if event == "drop_filter"] == [value for _, value in page.filters]
    assert [value for event, value in events if event == "open_row"] == [str(row.key) for row in page.rows]
    clickable = [bar.value for column in page.columns for bar in column.bars if bar.height or bar.on]
    assert [value for event, value in events if event == "pick_bar"] == clickable
    for row in page.rows:
        assert all(cell in shown.text for cell in row.cells)


def test_table_marks_order_ticks_open_row_and_warnings():
    columns = [TableColumn("n", "number", numeric=True), TableColumn("t", "text", wide=True)]
    page = TablePage(columns, [TableRow(1, ["1", "a"]), TableRow(3, ["3", "b"], warn=True)], "n", True, {1}, 3)
    shown = Lenient(table_html(page))
    rows = [attributes for tag, attributes in shown.tags if tag == "tr" and "data-value" in attributes]
    ticks = [attributes for tag, attributes in shown.tags if tag == "input"]
    assert "number ↓" in shown.text
    assert [row.get("class") for row in rows] == [None, "open"]
    assert ["checked" in tick for tick in ticks] == [True, False]
    cells = [attributes.get("class") for tag, attributes in shown.tags if tag == "td"]
    assert cells == [None, "num", "wide", None, "num", "wide warn"]


@given(TEXT, TEXT)
def test_plain_table_names_the_column_of_each_cell(title, cell):
    shown = Lenient(table_html(TablePage([TableColumn("a", title)], [TableRow(1, [cell])], plain=True)))
    assert [a.get("data-title") for tag, a in shown.tags if tag == "td"] == [title]
    assert ("table", {"class": "dt cards"}) in shown.tags
    assert cell in shown.text


def test_table_without_rows_shows_a_text():
    assert "Nothing here." in table_html(TablePage([TableColumn("a", "a")], [], empty="Nothing here."))


@pytest.mark.parametrize(("sent", "value"), [('{"a": 1}', {"a": 1}), ("3", 3), ("turns", "turns"), (None, None)])
def test_value_of_parses_json(sent, value):
    event = gr.EventData(None, {"value": sent})
    assert value_of(event) == value
