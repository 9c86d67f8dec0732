"""Tests of core.evaluate.classification.scoring, with answers and losses that are written by hand."""

import json

import numpy as np
import pytest

from core.evaluate import scoring
from core.evaluate.classification.scoring import read_classification
from core.evaluate.config import EvaluationConfig
from core.evaluate.line_file import LineWriter
from core.evaluate.store import EvaluationStore
from core.evaluate.verdict import judge

TRUE = ["positive", "negative"] * 20
# Answers of lane 0 and lane 1: lane 1 is right in all rows but two, lane 0 in half of them.
ANSWERS = [["positive"] * 40, ["It is positive.", "Negative"] * 19 + ["I do not know.", "positive"]]


@pytest.fixture
def labeled(settings, tmp_path):
    file = tmp_path / "reviews.jsonl"
    rows = [{"prompt": f"Review {n}. Positive or negative?", "completion": label} for n, label in enumerate(TRUE)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluation = EvaluationStore(settings).create(EvaluationConfig(file=file.name, lanes=["base", "run-1"]), file)
    writer, choices = LineWriter(evaluation.answers_file), LineWriter(evaluation.choices_file)
    for prompt in range(len(TRUE)):
        for lane in (0, 1):
            line = {
                "prompt": prompt,
                "lane": lane,
                "text": ANSWERS[lane][prompt],
                "tokens": 2,
                "end": "end",
                "note": "",
            }
            writer.write([line])
            # Labels in alphabetical order: negative, positive. Lane 1 finds the right one likelier.
            right = int(TRUE[prompt] == "positive") if lane else 1
            for label in (0, 1):
                nll = 1.0 if label == right else 2.0
                choices.write(
                    [{"prompt": 2 * prompt + label, "lane": lane, "nll": nll, "tokens": 2, "cut": False, "note": ""}]
                )
    writer.close()
    choices.close()
    return evaluation


def test_rows_are_right_by_their_answers_and_by_the_likeliest_label(labeled):
    scores = scoring.score(labeled)
    assert scores.values("accuracy", 0).mean() == 0.5
    assert scores.values("accuracy", 1).tolist() == [1.0] * 38 + [0.0, 0.0]
    assert scores.summary("accuracy", 1) == pytest.approx(0.95)
    assert (scores.values("choice", 0).mean(), scores.values("choice", 1).mean()) == (0.5, 1.0)
    verdict = judge(scores, 0, 1)
    assert (verdict.outcome, verdict.primary.name) == ("better", "accuracy")


def test_tables_count_answers_without_a_label(labeled):
    found = read_classification(labeled, len(TRUE))
    table = found.table(1)
    assert found.labels.names == ["negative", "positive"]
    assert table.unparsed == pytest.approx(1 / 40)
    assert table.confusion.tolist() == [[19, 1, 0], [0, 19, 1]]
    assert found.table(0, "chosen").accuracy == 0.5
    probabilities = found.probabilities[1, 0]
    assert probabilities == pytest.approx(np.exp([-2.0, -1.0]) / np.exp([-2.0, -1.0]).sum())


def test_free_texts_are_no_classification(settings, tmp_path):
    file = tmp_path / "free.jsonl"
    rows = [{"prompt": f"Question {n}?", "completion": f"A long answer with the number {n}."} for n in range(20)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluation = EvaluationStore(settings).create(EvaluationConfig(file=file.name, lanes=["base"]), file)
    assert read_classification(evaluation, 20) is None


def test_labels_are_read_again_only_after_a_file_has_changed(labeled):
    first = read_classification(labeled, len(TRUE))
    assert read_classification(type(labeled)(labeled.folder), len(TRUE)) is first
    line = {"prompt": 39, "lane": 1, "text": "negative", "tokens": 2, "end": "end", "note": ""}
    writer = LineWriter(labeled.answers_file)
    writer.write([line])
    writer.close()
    assert read_classification(labeled, len(TRUE)) is not first
