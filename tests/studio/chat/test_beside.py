"""Beside the conversation: questions with references, the nearest training rows, prompts as read, files."""

import html
import json
from pathlib import Path

import pytest

from core.data import table
from core.errors import StudioError
from studio.chat.beside import Beside
from studio.data.page_state import open_source_row
from tests.helpers.chat_page import PAGE


@pytest.fixture
def beside(do):
    return Beside(do.talking)


@pytest.fixture
def answered(do, tuned, chat):
    run = tuned()
    chat_id = chat()
    list(do.talking.send(chat_id, "Name a <b>colour</b>.", "", -1, [], PAGE))
    return chat_id, run


def test_questions_are_of_the_runs_held_out_rows_with_their_answers(do, beside, tuned, chat):
    chat_id = chat()
    for _ in range(2):  # before there is a run, those of the bundled data
        shown, offered, invitation = beside.questions(chat_id)
        assert shown.visible
        assert len(offered) == 4
        held_out = dict(beside._held_out("keeper"))
        assert all(held_out[question] == answer for question, answer in offered)
        assert invitation.count('data-event="suggest"') == 3
        assert html.escape(offered[0][0][:40]) in invitation
        tuned()
        do.refresh(chat_id)


def test_only_a_tuned_answer_has_training_rows(beside, answered):
    chat_id, _ = answered
    for place in ((0, 0), (0, 7), (5, 1), (-1, 1)):
        with pytest.raises(StudioError, match="Only an answer of a tuned model"):
            beside.why(chat_id, *place)


def test_the_nearest_rows_open_in_the_data_tab(do, beside, answered):
    chat_id, _ = answered
    with do.talking.changing(chat_id) as kept:
        kept.turns[0].shown(1).text = "Ahoy! Wind the clockwork of the lamp and trim the wick at dusk."
    shown, where = beside.why(chat_id, 0, 1)
    assert "BM25" in shown
    assert 'data-event="open_row"' in shown
    row = int(shown.split('data-event="open_row" data-value="')[1].split('"')[0])
    wanted = beside.wanted(where, row)
    assert table.find(do.settings, wanted["dataset"]).source.kind == "bundled"
    assert wanted["row"] == row
    assert beside.wanted(where, row) != wanted, "clicked again, it is opened again"
    opened = open_source_row(wanted, {"max_length": 77, "view": {"search": "x"}})
    assert (opened["dataset"], opened["opened"]) == (wanted["dataset"], row)
    state = opened["state"]
    assert (state["dataset"], state["max_length"], state["view"]["search"]) == (wanted["dataset"], 77, "")
    with pytest.raises(StudioError, match="Click Why"):
        beside.wanted(None, 1)


def test_what_each_lane_read_is_shown_with_its_template(beside, answered, chat):
    chat_id, _ = answered
    shown = beside.read_by(chat_id)
    assert "Lane 1, template: the model" in shown
    assert "&lt;|im_start|&gt;user" in shown
    assert "&lt;b&gt;colour" in shown
    assert "Ask something first" in beside.read_by(chat())


def test_a_chat_is_taken_along_as_jsonl_and_markdown(beside, answered, chat):
    chat_id, run = answered
    lines = [json.loads(line) for line in Path(beside.as_jsonl(chat_id)).read_text().splitlines()]
    assert [line["model"] for line in lines] == ["base", f"{run.id}/final"]
    assert lines[0]["messages"][0] == {"role": "user", "content": "Name a <b>colour</b>."}
    told = Path(beside.as_markdown(chat_id)).read_text()
    assert f"### {run.id}/final" in told
    with pytest.raises(StudioError, match="nothing to export"):
        beside.as_jsonl(chat())


def test_unloading_is_said_with_what_came_back(do, beside, answered, toasts):
    beside.unload()
    assert do.engine.loaded is None
    assert "GiB were given back" in toasts[-1]
    with pytest.raises(StudioError, match="No model is loaded"):
        beside.unload()
