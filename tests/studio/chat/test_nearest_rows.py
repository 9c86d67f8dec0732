"""Training rows nearest to an answer, and opening one in the Data tab."""

import pytest

from core.data import table
from core.errors import StudioError
from studio.data.page_state import open_source_row
from tests.helpers.chat_page import send


@pytest.fixture
def answered(parts, tuned, chat):
    tuned()
    chat_id = chat()
    send(parts, chat_id)
    return chat_id


@pytest.mark.parametrize("position", [(0, 0), (0, 7), (5, 1), (-1, 1)])
def test_search_without_tuned_answer_is_rejected(parts, answered, position):
    with pytest.raises(StudioError, match="Only an answer of a tuned model"):
        parts.nearest_rows.search(answered, *position)


def test_search_row_opens_in_the_data_tab(parts, answered):
    with parts.conversations.change(answered) as conversation:
        conversation.turns[0].shown(1).text = "Ahoy! Wind the clockwork of the lamp and trim the wick at dusk."
    updates = parts.nearest_rows.search(answered, 0, 1)
    shown, rows_source = updates["nearest_rows"], updates["rows_source"]
    assert set(rows_source) == {"dataset", "reading"}, "the page keeps no list of rows"
    assert "BM25" in shown.partition("<table")[0], "only the tooltip names the method"
    assert "BM25" not in shown.partition("<table")[2]
    row = int(shown.split('data-event="open_row" data-value="')[1].split('"')[0])
    wanted = parts.nearest_rows.open_row(rows_source, row)
    assert table.find(parts.conversations.settings, wanted["dataset"]).source.kind == "bundled"
    assert wanted["row"] == row
    assert parts.nearest_rows.open_row(rows_source, row) != wanted, "a second click opens the row again"
    found = open_source_row(wanted, {"max_length": 77, "view": {"search": "x"}})
    assert (found["dataset"], found["opened"]) == (wanted["dataset"], row)
    state = found["state"]
    assert (state["dataset"], state["max_length"], state["view"]["search"]) == (wanted["dataset"], 77, "")


def test_open_row_before_a_search_is_rejected(parts):
    with pytest.raises(StudioError, match="Press “Similar training rows”"):
        parts.nearest_rows.open_row(None, 1)
