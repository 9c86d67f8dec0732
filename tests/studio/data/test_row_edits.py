"""Rows edited, excluded and added in the Data tab, and the subset that is made of them."""

import pytest
from pydantic import ValidationError

from core.access.roles import Caller, Role, acting
from core.data import subset
from core.errors import StudioError
from studio.data.page_state import PageState, parse_state
from studio.data.row_changes import changes_of
from studio.data.row_edits import RowEdits
from studio.data.row_pane import RowPane
from studio.data.subsets import CreateSubset
from tests.helpers.datasets import dialog

NEW = dialog("asked anew", "answered anew")


@pytest.fixture
def do(settings):
    return RowEdits(settings)


def save(do, state, changes, row, turns=NEW):
    return do.save(state, changes, {"row": row, "turns": turns})


def test_changed_rows_are_in_the_subset_and_the_source_stays(do, settings, jobs, state):
    changes = save(do, state, {}, "3")["changes"]
    changes = save(do, state, changes, "new")["changes"]
    changes = do.toggle_excluded(state, 6, changes)["changes"]
    shown = do.show(state, 6, changes)
    assert "1 edited, 1 added, 1 excluded" in shown["changes_text"]
    assert (shown["exclude"], shown["discard"]["visible"]) == ("Include", True)
    values = {"rows": 0, "method": "first", "held_out_share": 0}
    name = CreateSubset(settings, jobs).suggest_name(state, changes, **values)["name"]
    assert name == "rows-all-edited-first"
    *_, made = CreateSubset(settings, jobs).create(state, [], changes, name, **values)
    found = {row: messages for _, row, messages in subset.stream(settings, name)}
    assert (found[3], found[60], 6 in found) == (NEW, NEW, False)
    assert "with 1 row edited, with 1 row added" in made["created_text"]
    assert "without row 6" in made["created_text"]
    assert parse_state(state).open_rows(settings).row(3)["messages"] != NEW


def test_editor_starts_with_the_turns_as_they_were_edited(do, settings, state):
    assert "question 3" in do.edit(state, 3, {})["editor"]
    changes = save(do, state, {}, "3")["changes"]
    assert "asked anew" in do.edit(state, 3, changes)["editor"]
    pane = RowPane(settings)
    assert "answered anew" in pane.show_row(state, 3, "Conversation", changes)["row"]
    assert "Edited" in pane.show_row(state, 3, "Conversation", changes)["row"]
    assert "question 3" in pane.show_row(state, 3, "Raw", changes)["row"]
    restored = do.restore(state, 3, changes)["changes"]
    assert "question 3" in pane.show_row(state, 3, "Conversation", restored)["row"]
    excluded = do.toggle_excluded(state, 3, restored)["changes"]
    assert "Excluded" in pane.show_row(state, 3, "Conversation", excluded)["row"]
    assert do.toggle_excluded(state, 3, excluded)["changes"] == restored == {}
    assert do.discard(state, changes)["changes"] == {}


@pytest.mark.parametrize(
    ("turns", "why"), [(NEW[:1], "no answer"), ([], "no text"), (None, "valid list"), ([{"role": "x"}], "Input should")]
)
def test_turns_that_cannot_be_trained_on_are_refused_at_the_editor(do, state, turns, why):
    refused = save(do, state, {}, "3", turns)
    assert why in refused["problem"]
    assert refused.keys() == {"problem"}, "the editor keeps what was typed"


def test_changes_belong_to_their_dataset_and_are_bounded(do, state):
    changes = save(do, state, {}, "3")["changes"]
    assert changes_of(PageState(dataset="other"), changes).describe() == ""
    for sent in (None, [], {"row": "x", "turns": NEW}, {"row": 3, "turns": NEW}, {"row": "9" * 99, "turns": NEW}):
        with pytest.raises(StudioError, match="no row"):
            do.save(state, changes, sent)
    with pytest.raises(StudioError, match="There is no row 60"):
        save(do, state, changes, "60")
    for handler in (do.edit, do.toggle_excluded):
        with pytest.raises(StudioError, match="No row is open"):
            handler(state, None, {})
    with pytest.raises(StudioError, match="Row 7 cannot be used"):
        do.edit(state, 7, {})
    with pytest.raises(ValidationError):
        do.show(state, 3, {state["dataset"]: {"edited": "x"}})


def test_show_leaves_the_labels_of_a_visitors_disabled_buttons(do):
    with acting(Caller(Role.VISITOR, "v")):
        assert do.show(PageState().model_dump(), None, {}) == {}
