"""Pages: every row is on exactly one, and any wish leads to a page that exists."""

import re

import gradio as gr
from components.paged_table import PAGE_SIZES, build_paged_table, clamp_page, last_page, position_words
from hypothesis import given, settings
from hypothesis import strategies as st

ROWS = st.integers(0, 10**7)
SIZES = st.integers(1, 600)


@settings(deadline=None)
@given(ROWS, SIZES)
def test_the_last_page_is_the_first_that_reaches_the_last_row(rows, size):
    last = last_page(rows, size)
    assert last >= 1
    assert last * size >= rows
    assert last == 1 or (last - 1) * size < rows


@settings(deadline=None)
@given(st.one_of(st.none(), st.integers(-(10**9), 10**9), st.floats(-1e12, 1e12)), ROWS, SIZES)
def test_any_wish_leads_to_a_page_that_exists(page, rows, size):
    shown = clamp_page(page, rows, size)
    assert isinstance(shown, int)
    assert 1 <= shown <= last_page(rows, size)
    assert clamp_page(shown, rows, size) == shown


@settings(deadline=None)
@given(ROWS, SIZES, st.data())
def test_a_page_that_exists_is_left_alone(rows, size, data):
    page = data.draw(st.integers(1, last_page(rows, size)))
    assert clamp_page(page, rows, size) == page
    assert clamp_page(float(page), rows, size) == page


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 60))
def test_the_positions_of_all_pages_count_every_row_once(rows, size):
    counted = []
    pages = last_page(rows, size)
    for page in range(1, pages + 1):
        said = re.fullmatch(r"rows (\d+) to (\d+) of (\d+), page (\d+) of (\d+)", position_words(page, rows, size))
        first, last, total, number, of = map(int, said.groups())
        assert (total, number, of) == (rows, page, pages)
        counted += range(first, last + 1)
    assert counted == list(range(1, rows + 1))


def test_large_numbers_are_grouped_and_no_rows_are_no_rows():
    assert position_words(2, 12345, 1000) == "rows 1,001 to 2,000 of 12,345, page 2 of 13"
    assert position_words(1, 0, 25) == "no rows"


def test_the_table_shows_cells_as_text_and_cannot_be_edited():
    with gr.Blocks():
        paged = build_paged_table(["row", "text"], ["20%", "80%"])
    assert paged.table.datatype == "str"
    assert paged.table.interactive is False
    assert [value for _, value in paged.size.choices] == PAGE_SIZES
    assert paged.page.value == 1
