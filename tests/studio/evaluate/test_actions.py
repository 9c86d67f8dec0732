import csv
import json
import os

import pytest

from core.data import table
from core.errors import StudioError
from core.evaluate.line_file import LineWriter
from core.system.jobs import Jobs
from studio.evaluate.actions import EvaluationActions
from studio.evaluate.evaluation_view import EvaluationView


@pytest.fixture
def do(store, toasts):
    jobs = Jobs()
    yield EvaluationActions(EvaluationView(store), jobs)
    jobs.close()


def test_actions_without_an_evaluation_raise(do):
    for action in (do.pause, do.resume, do.stop):
        with pytest.raises(StudioError, match="No evaluation is selected"):
            action(None)


def test_open_as_dataset_and_write_file_contain_the_finished_prompts(do, evaluated, store):
    *_, last = do.open_as_dataset(evaluated.id)
    data = table.find(store.settings, last["dataset"]["value"])
    assert data.rows == 2
    assert {"prompt", "reference", "answer of base", "answer of tuned"} <= {column.name for column in data.columns}
    assert "2-of-5" in data.source.name
    assert last["tabs"]["selected"] == "data"
    assert do.write_file(evaluated.id, "csv").endswith("-2-of-5.csv")
    with pytest.raises(StudioError, match="no file format"):
        do.write_file(evaluated.id, "../x")


def test_csv_of_a_result_is_for_spreadsheets_and_the_others_are_exact(do, evaluated, store):
    evil = '=HYPERLINK("http://evil.example","x")'
    writer = LineWriter(evaluated.answers_file)
    writer.write(
        [{"prompt": 0, "lane": 1, "text": evil, "tokens": 2, "end": "end", "note": "", "exact": False, "f1": 0.5}]
    )
    writer.close()
    with open(do.write_file(evaluated.id, "csv"), newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["answer of tuned"] for row in rows] == [f"'{evil}", "b", "hi"]
    with open(do.write_file(evaluated.id, "jsonl")) as stream:
        assert json.loads(stream.readline())["answer of tuned"] == evil


def test_delete_requires_an_ended_evaluation_and_its_typed_id(do, evaluated, store):
    do.view.read(evaluated)
    for typed in ("", None, "no", evaluated.id[:-1]):
        with pytest.raises(StudioError, match=f"type its id: {evaluated.id}"):
            do.delete(evaluated.id, typed)
    evaluated.save_state(evaluated.saved_state().model_copy(update={"status": "running"}).with_process(os.getpid()))
    with pytest.raises(StudioError, match=r"is running\. Stop it before"):
        do.delete(evaluated.id, evaluated.id)
    evaluated.save_state(evaluated.saved_state().model_copy(update={"status": "stopped"}))
    updates = do.delete(evaluated.id, f" {evaluated.id} ")
    assert (updates["evaluation"]["choices"], updates["typed"]) == ([], "")
    assert store.all() == []
    assert not list(store.settings.evaluations_dir.glob(".deleted-*"))
    with pytest.raises(StudioError, match="There is no evaluation"):
        do.delete(evaluated.id, evaluated.id)


def test_open_as_dataset_and_pause_before_the_first_answer_raise(do, evaluated):
    evaluated.answers_file.unlink()
    with pytest.raises(StudioError, match="No prompt is answered"):
        list(do.open_as_dataset(evaluated.id))
    with pytest.raises(StudioError, match="there is nothing to pause"):
        do.pause(evaluated.id)
