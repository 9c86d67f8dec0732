"""The pager: pages that exist, the position, and the page sizes."""

import gradio as gr
from hypothesis import given
from hypothesis import strategies as st

from components.pager import PAGE_SIZES, build_pager, clamp_page, last_page, position_text


@given(
    page=st.none() | st.integers(-5, 10**7) | st.floats(-5, 10**7),
    rows=st.integers(0, 10**7),
    size=st.sampled_from(PAGE_SIZES),
)
def test_clamp_page_returns_a_page_that_exists(page, rows, size):
    found = clamp_page(page, rows, size)
    assert 1 <= found <= last_page(rows, size)
    assert (found - 1) * size < max(rows, 1)
    if page and 1 <= int(page) <= last_page(rows, size):
        assert found == int(page)


def test_position_names_rows_and_pages():
    assert position_text(2, 1060, 25) == "rows 26 to 50 of 1,060, page 2 of 43"
    assert position_text(43, 1060, 25) == "rows 1,051 to 1,060 of 1,060, page 43 of 43"
    assert position_text(1, 0, 25) == "no rows"


def test_pager_offers_pages_of_25_to_500_rows():
    with gr.Blocks():
        made = build_pager()
    assert [size for _, size in made.size.choices] == PAGE_SIZES
    assert (min(PAGE_SIZES), max(PAGE_SIZES)) == (25, 500)
