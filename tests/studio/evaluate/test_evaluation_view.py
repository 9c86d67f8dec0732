import os

import gradio as gr
import pytest

from core.data import table
from core.data.rows import Rows
from core.errors import StudioError
from core.evaluate.answers_file import AnswerWriter
from core.system.jobs import Jobs
from studio.data.browse import Browse
from studio.data.page_state import PageState
from studio.evaluate.evaluation_view import DRAWN, NONE, Watching

SKIP = gr.skip()


@pytest.fixture
def do(store, toasts):
    jobs = Jobs()
    yield Watching(store, jobs)
    jobs.close()


def test_without_an_evaluation_it_says_what_to_do(do):
    status, *_, pause, resume, stop, opened = do.drawn(None, 1, 25)
    assert NONE in status
    assert not any(button["interactive"] for button in (pause, resume, stop, opened))
    assert do.listed(None) == gr.update(choices=[], value=None)
    for refuse in (do.pause, do.resume, do.stop):
        with pytest.raises(StudioError, match="No evaluation is chosen"):
            refuse(None)


def test_finished_rows_stand_side_by_side_as_they_came_and_inert(do, evaluated):
    drawn = do.drawn(evaluated.id, 1, 25)
    assert len(drawn) == DRAWN
    status, figures, notes, shown, page, position, *buttons = drawn
    assert "5 of 10 answers" in status
    assert "<th>base</th><th>tuned</th>" in figures
    assert "<th>ended by themselves</th><td>67%</td><td>100%</td>" in figures
    assert "<th>F1 of words</th><td>0.500</td><td>0.500</td>" in figures
    assert f"tuned is {evaluated.config().lanes[1]}." in notes
    assert "5 prompts: all rows of the subset keeper." in notes
    assert shown.index('data-value="3"') < shown.index('data-value="1"'), "as they came"
    assert 'data-value="0"' not in shown, "one lane is missing"
    assert "<img" not in shown
    assert "&lt;img" in shown
    assert "checkbox" not in shown
    assert (page, position) == (1, "rows 1 to 2 of 2, page 1 of 1")
    assert [button["interactive"] for button in buttons] == [False, True, False, True]
    assert do.page(evaluated.id, 2, 1)[1:] == [2, "rows 2 to 2 of 2, page 2 of 2"]


def test_a_row_shows_the_answers_in_full(do, evaluated):
    shown = do.row(evaluated.id, "1")
    assert "Reference" in shown
    assert "cut at the length limit" in shown
    assert "cut short" in shown
    assert "<img" not in do.row(evaluated.id, "3")
    assert "Click a row" in do.row(evaluated.id, "no number")
    with pytest.raises(StudioError, match="Expected 0 to 4"):
        do.row(evaluated.id, "5")


def test_a_beat_without_news_skips_everything_and_a_new_answer_does_not(do, evaluated):
    seen, listed, choices, *drawn = do.beat("", "", evaluated.id, 1, 25)
    assert SKIP not in [choices, *drawn]
    assert do.beat(seen, listed, evaluated.id, 1, 25) == [SKIP] * (3 + DRAWN)
    AnswerWriter(evaluated.answers_file).write([{"prompt": 0, "lane": 1, "text": "", "tokens": 0, "end": "end"}])
    now, there, choices, *drawn = do.beat(seen, listed, evaluated.id, 1, 25)
    assert (there, choices) == (SKIP, SKIP)
    assert now != seen
    assert "rows 1 to 3 of 3" in drawn[5]


def test_another_evaluation_begins_at_its_first_page(do, evaluated, store):
    seen, *drawn, row = do.opened(evaluated.id, 25)
    assert seen == do.fingerprint(evaluated.id)
    assert drawn[4] == 1
    assert "Click a row" in row
    (evaluated.folder / "state.json").write_text("{")
    assert "cannot be read" in do.drawn(evaluated.id, 1, 25)[0]


def test_what_is_there_opens_as_a_data_set_and_downloads(do, evaluated, store):
    *_, last = do.open(evaluated.id)
    data = table.find(store.settings, last["dataset"]["value"])
    assert data.rows == 2
    columns = Browse(store.settings).columns(PageState(dataset=data.id), Rows(store.settings, data.id))
    assert columns == ["row", "prompt", "reference", "answer of base", "answer of tuned"]
    assert "2-of-5" in data.source.name
    assert last["tabs"]["selected"] == "data"
    assert do.as_file(evaluated.id, "csv").endswith("-2-of-5.csv")
    with pytest.raises(StudioError, match="no kind of file"):
        do.as_file(evaluated.id, "../x")


def test_an_evaluation_is_deleted_only_when_it_has_ended_and_its_id_was_typed(do, evaluated, store):
    do.read(evaluated)
    for typed in ("", None, "no", evaluated.id[:-1]):
        with pytest.raises(StudioError, match=f"type its id: {evaluated.id}"):
            do.delete(evaluated.id, typed)
    evaluated.save_state(evaluated.saved_state().model_copy(update={"status": "running"}).with_process(os.getpid()))
    with pytest.raises(StudioError, match=r"is running\. Stop it before it is deleted"):
        do.delete(evaluated.id, evaluated.id)
    evaluated.save_state(evaluated.saved_state().model_copy(update={"status": "stopped"}))
    assert do.delete(evaluated.id, f" {evaluated.id} ") == [gr.update(choices=[], value=None), ""]
    assert store.all() == []
    assert not list(store.settings.evaluations_dir.glob(".deleted-*"))
    with pytest.raises(StudioError, match="There is no evaluation"):
        do.delete(evaluated.id, evaluated.id)


def test_before_the_first_answer_there_is_nothing_to_open(do, evaluated):
    evaluated.answers_file.unlink()
    with pytest.raises(StudioError, match="No prompt is answered"):
        list(do.open(evaluated.id))
    with pytest.raises(StudioError, match="there is nothing to pause"):
        do.pause(evaluated.id)
