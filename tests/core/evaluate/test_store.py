import gzip
import os
import shutil
import subprocess
import sys

import pytest

from core.errors import StudioError
from core.evaluate.config import EvaluationConfig
from core.evaluate.line_file import LineWriter
from core.evaluate.store import EvaluationStore
from core.runs.store import Label


@pytest.fixture
def store(runs):
    return EvaluationStore(runs.settings)


@pytest.fixture
def evaluation(store):
    return store.create(EvaluationConfig(subset="keeper", limit=3))


def test_create_leaves_a_complete_folder_or_none(store, evaluation):
    assert evaluation.config() == EvaluationConfig(subset="keeper", limit=3)
    assert (len(evaluation.prompts()), evaluation.state().prompts) == (3, 3)
    with pytest.raises(StudioError, match="There is no subset"):
        store.create(EvaluationConfig(subset="none"))
    assert [path.name for path in store.settings.evaluations_dir.iterdir()] == [evaluation.id]
    again = store.create(EvaluationConfig(subset="keeper", limit=3))
    assert again.id != evaluation.id
    assert {found.id for found in store.all()} == {again.id, evaluation.id}


def test_create_reads_an_uploaded_file_within_the_limits(store, tmp_path, monkeypatch):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"instruction": "What is a lens?", "output": "Glass."}\n{"odd": 1}\n')
    config = EvaluationConfig(prompts="file", file=file.name)
    evaluation = store.create(config, file)
    assert [prompt.question for prompt in evaluation.prompts()] == ["What is a lens?"]
    assert any("not used" in note for note in evaluation.state().choices)

    monkeypatch.setenv("STUDIO_QUOTA_PARSE_GIB", "0.25")
    bomb = tmp_path / "prompts.jsonl.gz"
    bomb.write_bytes(gzip.compress(b'{"instruction": "', 1) + gzip.compress(b"a" * 2**26, 1) * 16)
    with pytest.raises(StudioError, match="STUDIO_QUOTA_PARSE_GIB"):
        store.create(EvaluationConfig(prompts="file", file=bomb.name), bomb)
    assert [path.name for path in store.settings.evaluations_dir.iterdir()] == [evaluation.id]


def test_state_combines_file_requests_and_process_table(store, evaluation):
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    running = evaluation.saved_state().model_copy(update={"status": "running"}).with_process(sleeper.pid)
    evaluation.save_state(running)
    assert evaluation.state().status == "running"
    assert store.active().id == evaluation.id
    for name, status in (("pause", "pausing"), ("stop", "stopping")):
        evaluation.request(name).parent.mkdir(exist_ok=True)
        evaluation.request(name).touch()
        assert evaluation.state().status == status
    sleeper.kill()
    sleeper.wait()
    assert evaluation.state().status == "interrupted"
    assert "Resume" in evaluation.state().cause
    assert store.active() is None
    evaluation.save_state(running.with_process(os.getpid()).model_copy(update={"process": "another program"}))
    assert evaluation.state().status == "interrupted"


def test_all_damaged_evaluation_is_listed_as_unreadable(store, evaluation):
    other = store.create(EvaluationConfig(subset="keeper", limit=2))
    (other.folder / "state.json").write_text("{")
    assert {found.id: found.state().status for found in store.all()} == {
        evaluation.id: "stopped", other.id: "unreadable",
    }  # fmt: skip
    (evaluation.folder / "config.json").write_text('{"schema_version": 99}')
    with pytest.raises(StudioError, match="version 99"):
        evaluation.config()


@pytest.mark.parametrize("name", ["../runs", "none", "", None])
def test_find_invalid_or_unknown_id_raises(store, name):
    with pytest.raises(StudioError):
        store.find(name)


def test_lane_titles_are_the_names_of_their_runs(store, runs, a_run):
    run = a_run()
    run.save_label(Label(name="mine"))
    made = store.create(EvaluationConfig(subset="keeper", lanes=["base", run.id, "gone"], limit=1))
    assert made.lane_titles(runs) == ["base", "mine", "gone"]


def test_listed_changes_with_every_saved_state(store, evaluation):
    before = store.fingerprint()
    LineWriter(evaluation.answers_file).write([])
    assert store.fingerprint() == before
    evaluation.save_state(evaluation.saved_state())
    assert store.fingerprint() != before


def test_evaluation_that_was_deleted_meanwhile_says_so(evaluation):
    (evaluation.folder / "config.json").unlink()
    with pytest.raises(StudioError, match=r"has no readable config.json \(No such file or directory\)"):
        evaluation.config()
    shutil.rmtree(evaluation.folder)
    with pytest.raises(StudioError, match=f"^The evaluation {evaluation.id} was deleted meanwhile"):
        evaluation.config()
