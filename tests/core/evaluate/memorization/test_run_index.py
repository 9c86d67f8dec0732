"""Tests of core.evaluate.memorization.run_index, with a real tokenizer."""

import shutil

import numpy as np
import pytest

from core.data import subset
from core.data.recipe import Recipe
from core.errors import StudioError
from core.evaluate.memorization import run_index, token_index
from core.evaluate.memorization.spans import find_spans
from core.runs import cleanup
from core.runs.holdout import hold_out
from tests.helpers.datasets import dialog, open_dialogs
from tests.helpers.traced_answers import COPIED, run_on, training_rows


@pytest.fixture
def make_run(settings, tmp_path, small_tokenizer):
    return lambda **config: run_on(settings, tmp_path, small_tokenizer, training_rows(), **config)


def found_rows(index, text):
    return [span.row for span in find_spans(index.index, index.encode(text)[0])]


def scratch_folders(store):
    return list(store.settings.runs_dir.glob(".index-*"))


def test_index_has_the_turns_of_all_training_rows(make_run):
    store, run = make_run(held_out_share=0)
    stages = []
    found = run_index.load(store.runs, run, lambda share, text: stages.append(share))
    assert found.about.rows == 30
    assert found.index.texts == 60
    assert found_rows(found, f"I say: {COPIED}!") == [7]
    assert found_rows(found, "Nothing of this text stands in any of the rows, whatever its words are.") == []
    assert stages == sorted(stages)
    assert scratch_folders(store) == []


def test_index_leaves_out_rows_that_the_run_holds_out(make_run):
    store, run = make_run(held_out_share=0.5, eval_rows=4, seed=3)
    found = run_index.load(store.runs, run)
    parts = subset.load(store.settings, "rows")
    hold_out(run.config(), parts)
    trained, held_out = ({row for row, _ in parts[split]} for split in ("train", "held-out"))
    assert found.about.rows == len(trained) == 15
    for row in [*trained, *held_out]:
        text = f"Answer {row} says {row * 7919}." if row != 7 else COPIED
        lengths, rows = found.index.longest_matches(_ids(found, text))
        assert (lengths[0] == len(_ids(found, text)) and rows[0] == row) == (row in trained), row


def _ids(index, text):
    return np.array(index.encode(text)[0], np.uint32)


def test_index_is_kept_until_its_rows_or_its_tokenizer_change(make_run, settings, tmp_path, monkeypatch):
    store, run = make_run(held_out_share=0)
    built = []
    build = token_index.build
    monkeypatch.setattr(token_index, "build", lambda *arguments: built.append(1) or build(*arguments))
    run_index.load(store.runs, run)
    run_index.load(store.runs, run)
    assert len(built) == 1
    # A subset of the same name with other rows.
    shutil.rmtree(settings.subsets_dir / "rows")
    data = open_dialogs(settings, tmp_path, [dialog("Hi?", "Ahoy there, all of you sailors on the seven seas!")] * 3)
    subset.create(settings, "rows", Recipe(dataset=data.id, held_out_share=0))
    found = run_index.load(store.runs, run)
    assert len(built) == 2
    assert found_rows(found, COPIED) == []
    file = settings.models_dir / "tiny" / "tokenizer.json"
    file.write_text(file.read_text().replace('"add_prefix_space": false', '"add_prefix_space": true', 1))
    run_index.load(store.runs, run)
    assert len(built) == 3
    assert scratch_folders(store) == []


def test_index_of_a_killed_job_does_not_exist(make_run, monkeypatch):
    store, run = make_run(held_out_share=0)

    def die(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(token_index, "_sort_block", die)
        with pytest.raises(KeyboardInterrupt):
            run_index.load(store.runs, run)
    assert not run.token_index_dir.exists()
    assert run_index.load(store.runs, run).about.rows == 30
    # An index whose description is damaged is made anew.
    (run.token_index_dir / "about.json").write_text("{")
    assert run_index.load(store.runs, run).about.rows == 30


def test_index_of_a_run_that_is_deleted_meanwhile_is_refused(make_run, monkeypatch):
    store, run = make_run(held_out_share=0)
    build = token_index.build
    monkeypatch.setattr(
        token_index, "build", lambda *arguments: (build(*arguments), shutil.rmtree(run.folder))
    )  # fmt: skip
    with pytest.raises(StudioError, match="was deleted while its rows were indexed"):
        run_index.load(store.runs, run)
    assert not run.folder.exists()
    assert scratch_folders(store) == []


def test_index_counts_texts_that_the_tokenizer_refuses(make_run, monkeypatch):
    store, run = make_run(held_out_share=0)
    encode = run_index.encode

    def refuse(tokenizer, text, **options):
        if any(COPIED in each for each in ([text] if isinstance(text, str) else text)):
            raise ValueError("the tokenizer fails on it")
        return encode(tokenizer, text, **options)

    monkeypatch.setattr(run_index, "encode", refuse)
    found = run_index.load(store.runs, run)
    assert (found.about.skipped, found.index.texts) == (1, 59)


def test_cleanup_lists_and_removes_indexes_of_ended_runs(make_run):
    store, run = make_run(held_out_share=0)
    run_index.load(store.runs, run)
    [item] = cleanup.list_removable(store.settings, ["indexes"])
    assert item.name == f"runs/{run.id}/token_index"
    assert item.size > 1000
    run.save_state(run.saved_state().model_copy(update={"status": "queued"}))
    assert cleanup.list_removable(store.settings, ["indexes"]) == []
    assert cleanup.remove(store.settings, [item]) == ([], {item.name: "its run was resumed or published"})
    run.save_state(run.saved_state().model_copy(update={"status": "finished"}))
    assert cleanup.remove(store.settings, [item]) == ([item], {})
    assert run.folder.is_dir()
    assert not run.token_index_dir.exists()
