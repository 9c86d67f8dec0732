"""Tests of core.evaluate.classification.classifiers, with a tiny classifier that was trained for two steps."""

import json

import numpy as np
import pytest

from core.errors import StudioError
from core.evaluate import scoring
from core.evaluate.classification import classifiers
from core.evaluate.classification.scoring import read_classification
from core.evaluate.config import EvaluationConfig
from core.evaluate.line_file import LineWriter
from core.evaluate.store import EvaluationStore
from core.train import worker
from tests.helpers.labeled import LABELS, classify_config, write_model, write_subset

ROWS = 24


@pytest.fixture
def labeled(settings, tmp_path):
    """An evaluation of labeled prompts, whose only lane always answers with the first label."""
    file = tmp_path / "moods.jsonl"
    rows = [{"prompt": f"A {LABELS[n % 2]}, number {n}", "completion": LABELS[n % 2]} for n in range(ROWS)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = EvaluationStore(settings)
    evaluation = store.create(EvaluationConfig(file=file.name, lanes=["base"], guard=True), file)
    writer = LineWriter(evaluation.answers_file)
    for prompt in range(ROWS):
        writer.write([{"prompt": prompt, "lane": 0, "text": LABELS[0], "tokens": 2, "end": "end", "note": ""}])
    writer.close()
    return store, evaluation, scoring.score(evaluation)


def test_a_classifier_stands_beside_the_models_on_the_same_rows(labeled, settings, small_tokenizer):
    store, evaluation, scores = labeled
    assert classifiers.list_classifiers(store) == []
    write_model(settings, "bert", small_tokenizer)
    write_subset(settings)
    run = store.runs.create(classify_config(max_steps=2, batch_size=8, eval_rows=0))
    assert worker.train(settings, run) == ("finished", "")
    run.save_state(run.saved_state().model_copy(update={"status": "finished"}))
    assert classifiers.list_classifiers(store) == [run.id]
    classifiers.predict(store, evaluation, run.id)
    (predicted,) = classifiers.read_predicted(evaluation)
    assert len(predicted.labels) == ROWS, "probes are no rows of the set"
    found = read_classification(evaluation, scores.prompts)
    result = classifiers.compare_classifier(found, predicted, 0, scores.clusters)
    right = [label == LABELS[n % 2] for n, label in enumerate(predicted.labels)]
    assert result.table.accuracy == pytest.approx(np.mean(right))
    assert f"{ROWS} rows" in result.compared


def test_planted_predictions_are_compared_row_by_row(labeled):
    _, evaluation, scores = labeled
    found = read_classification(evaluation, scores.prompts)
    labels = [LABELS[n % 2] for n in range(ROWS)]
    perfect = classifiers.Predicted(run="r", adapter="final", labels=labels, shares=[0.9] * ROWS, notes=[])
    result = classifiers.compare_classifier(found, perfect, 0, scores.clusters)
    assert result.table.accuracy == 1
    assert result.compared.startswith("Better: accuracy of the written answer rose from 50.0% to 100.0%")
    nothing = perfect.model_copy(update={"labels": [None] * ROWS})
    assert classifiers.compare_classifier(found, nothing, 0, scores.clusters).table is None


def test_a_damaged_file_and_a_run_without_a_head_are_refused(labeled):
    store, evaluation, _ = labeled
    folder = evaluation.folder / "classifiers"
    folder.mkdir()
    (folder / "x.json").write_text("{")
    with pytest.raises(StudioError, match="is damaged"):
        classifiers.read_predicted(evaluation)
    with pytest.raises(StudioError, match="no-such-run"):
        classifiers.predict(store, evaluation, "no-such-run")
