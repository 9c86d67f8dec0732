import pytest
from pydantic import ValidationError

from core.data import lengths, near_duplicates, parse_rows
from core.data.formats import Reading
from core.data.view import View
from core.errors import StudioError
from core.models import embedded
from studio.data.page_state import Lens, lens_of


def test_an_empty_state_is_the_default_and_it_goes_there_and_back(settings, state):
    assert lens_of(None) == Lens()
    assert lens_of(state).model_dump() == state
    with pytest.raises(ValidationError):
        lens_of({"nonsense": 1})
    with pytest.raises(StudioError, match="no open data set"):
        Lens().data(settings)


def test_the_scope_stays_under_filters_and_changes_with_what_is_looked_at(state):
    lens = lens_of(state)
    for same in ({"view": View(search="x")}, {"columns": ["row"]}, {"max_length": 5}, {"batch": 3}):
        assert lens.model_copy(update=same).scope == lens.scope
    for other in ({"dataset": "x"}, {"reading": Reading(format="text")}, {"model": "m"}, {"counted": 1}):
        assert lens.model_copy(update=other).scope != lens.scope


def test_counts_and_near_duplicates_are_seen_once_they_are_there(studio, data, state):
    lens = lens_of(state)
    assert lens.counts(studio) is lens.near(studio) is None
    lengths.count_tokens(studio, data, data.detected, lens.tokens)
    near_duplicates.find(studio, data, data.detected)
    assert {"tokens", "near_duplicate_of"} <= lens.rows(studio).fields.keys()
    assert lens.model == embedded.NAME


def test_another_reading_is_looked_through(settings, data, state):
    reading = Reading(format="label", columns={"text": "kind", "label": "score"})
    parse_rows.parse_dataset(settings, data, reading)
    lens = lens_of(state | {"reading": reading.model_dump()})
    assert lens.rows(settings).row(3)["messages"][1] == {"role": "assistant", "content": "3"}
