"""The pane of the opened row: its title and link, and links that name no row."""

import pytest

from core.errors import StudioError
from studio.data.page_state import PageState
from studio.data.row_pane import RowPane, linked_row


def test_pane_shows_the_row_with_a_link_that_opens_it(settings, state):
    shown = RowPane(settings).show_row(state, 9, "Conversation", {})
    assert f'href="?dataset={state["dataset"]}&amp;row=9"' in shown["row_title"]
    assert "&lt;script&gt;" in shown["row"]
    assert RowPane(settings).show_row(PageState().model_dump(), None, "Raw", {})["row_title"] == ""


def test_pane_highlights_the_search_in_conversation_and_raw_text(settings, state):
    searched = {**state, "view": {"search": "QUESTION 3"}}
    for view in ("Conversation", "Raw"):
        assert "<mark>question 3</mark>" in RowPane(settings).show_row(searched, 3, view, {})["row"]


def test_linked_row_is_checked_like_every_value_from_outside(settings, data):
    assert linked_row(settings, {"dataset": data.id, "row": "7"}) == {"dataset": data.id, "row": 7, "reading": None}
    assert linked_row(settings, {"dataset": data.id}) == {"dataset": data.id, "row": 0, "reading": None}
    assert linked_row(settings, {"__theme": "dark"}) is None
    for row in ("60", "-1", "1.5", "²", "<b>", "9" * 400):
        with pytest.raises(StudioError, match=r"names no row|no row 60"):
            linked_row(settings, {"dataset": data.id, "row": row})
