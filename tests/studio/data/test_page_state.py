"""The state of the Data tab's page."""

import pytest
from pydantic import ValidationError

from core.data import lengths, near_duplicates, parse_rows
from core.data.formats import Reading
from core.data.view import View
from core.errors import StudioError
from core.models import embedded
from studio.data.page_state import PageState, open_source_row, parse_state


def test_parse_state_returns_what_was_dumped_and_refuses_other_fields(settings, state):
    assert parse_state(None) == PageState()
    assert parse_state(state).model_dump() == state
    with pytest.raises(ValidationError, match="nonsense\n  Extra inputs are not permitted"):
        parse_state({"nonsense": 1})
    with pytest.raises(StudioError, match="No dataset is chosen"):
        PageState().find_dataset(settings)


def test_scope_changes_with_the_dataset_and_not_with_filters(state):
    page = parse_state(state)
    for same in ({"view": View(search="x")}, {"columns": ["row"]}, {"max_length": 5}, {"batch": 3}):
        assert page.model_copy(update=same).scope == page.scope
    for other in ({"dataset": "x"}, {"reading": Reading(format="text")}, {"model": "m"}, {"counted": 1}):
        assert page.model_copy(update=other).scope != page.scope


def test_rows_have_counts_and_near_duplicates_once_they_are_found(studio, data, state):
    page = parse_state(state)
    assert page.token_counts_file(studio) is page.near_duplicates_file(studio) is None
    lengths.count_tokens(studio, data, data.detected, page.tokens)
    near_duplicates.find(studio, data, data.detected)
    assert {"tokens", "near_duplicate_of"} <= page.open_rows(studio).fields.keys()
    assert page.model == embedded.NAME


def test_rows_are_read_by_the_chosen_reading(settings, data, state):
    reading = Reading(format="label", columns={"text": "kind", "label": "score"})
    parse_rows.parse_dataset(settings, data, reading)
    page = parse_state(state | {"reading": reading.model_dump()})
    assert page.open_rows(settings).row(3)["messages"][1] == {"role": "assistant", "content": "3"}


def test_open_source_row_keeps_the_tokenizer_and_drops_the_view(state):
    source = {"dataset": "other", "reading": {"format": "text"}, "row": "3"}
    opened = open_source_row(source, state | {"max_length": 7, "view": View(search="x").model_dump()})
    page = parse_state(opened["state"])
    assert (opened["dataset"], opened["opened"]) == ("other", 3)
    assert (page.dataset, page.max_length, page.view) == ("other", 7, View())
    assert page.reading == Reading(format="text")
