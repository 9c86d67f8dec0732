import json
import math
import shutil

import numpy as np
import pytest

from core.errors import StudioError
from core.evaluate import result, scores, scoring
from core.evaluate.classification.labels import find_labels
from core.evaluate.config import EvaluationConfig
from core.evaluate.line_file import LineWriter
from core.evaluate.metrics import METRICS
from core.evaluate.prompts import Prompt
from core.evaluate.store import Evaluation, EvaluationStore
from core.evaluate.traits import NO_REFERENCE, Traits, quartile_labels
from tests.helpers.samples import SAMPLES


@pytest.fixture
def store(settings):
    settings.prepare()
    return EvaluationStore(settings)


@pytest.fixture
def evaluation(store):
    """Return an evaluation of two lanes: the last prompt has no reference, and one answer failed."""
    source = store.settings.home / "p.csv"
    source.write_text(
        "question,answer,topic\nWhat is a rope made of?,It is made of hemp.,sea\n"
        "Who sails the ship?,The captain.,crew\nWhere is the old harbour?,,sea\n"
        "When does the tide turn?,At noon.,crew\n"
    )
    made = store.create(EvaluationConfig(file="p.csv", lanes=["base", "20260101-000000-run"]), source)
    answers = [
        (0, 0, "It is made of hemp.", "end"), (0, 1, "A rope is made of hemp and hemp", "length"),
        (1, 0, "", "end"), (1, 1, "The captain!", "end"),
        (2, 0, "In the town, by the sea", "end"), (2, 1, "I do not know", "end"),
        (3, 0, "", "failed"), (3, 1, "At noon.", "end"),
    ]  # fmt: skip
    lines = [
        {"prompt": prompt, "lane": lane, "text": text, "tokens": 5, "end": end, "note": ""}
        for prompt, lane, text, end in answers
    ]
    LineWriter(made.answers_file).write(lines)
    losses = [(0, 0, 6.0, 6), (0, 1, 3.0, 6), (1, 0, 4.0, 2), (1, 1, 2.0, 2), (3, 0, None, 0), (3, 1, 1.0, 3)]
    LineWriter(made.losses_file).write(
        {"prompt": prompt, "lane": lane, "nll": nll, "tokens": tokens, "cut": prompt == 1,
         "note": "" if nll else "it is too long."}
        for prompt, lane, nll, tokens in losses
    )  # fmt: skip
    return made


def test_scores_have_a_value_per_prompt_and_lane_or_nan(evaluation):
    assert scores.find(evaluation) is None
    found = scoring.load(evaluation)
    assert (found.prompts, found.lanes) == (4, 2)
    nan = math.nan
    for name, base, tuned in (
        ("exact_match", [1, 0, nan, nan], [0, 1, nan, 1]),
        ("ended", [1, 1, 1, nan], [0, 1, 1, 1]),
        ("tokens", [5, 5, 5, nan], [5, 5, 5, 5]),
        ("loss", [1, 2, nan, nan], [0.5, 1, nan, 1 / 3]),
        ("length_ratio", [1, 0, nan, nan], [8 / 5, 1, nan, 1]),
        ("longest_loop", [0, nan, 0, nan], [0, 0, 0, 0]),
        ("distinct_1", [1, nan, 5 / 6, nan], [7 / 8, 1, 1, 1]),
    ):
        np.testing.assert_allclose(found.values(name, 0), base, err_msg=name)
        np.testing.assert_allclose(found.values(name, 1), tuned, err_msg=name)
    np.testing.assert_array_equal(found.clusters, [0, 1, 2, 3])
    assert list(found.groups["column topic"]) == ["sea", "crew", "sea", "crew"]
    with pytest.raises(KeyError, match="no metric 'f2' of lane 0"):
        found.values("f2", 0)


def test_scores_sum_up_each_lane_by_mean_or_over_all_tokens(evaluation):
    found = scoring.load(evaluation)
    assert found.summary("exact_match", 1) == pytest.approx(2 / 3)
    # The quotient of the sums: (6 + 4) / (6 + 2), not the mean of 1 and 2.
    assert found.summary("loss", 0) == pytest.approx(10 / 8)
    assert found.summary("perplexity", 0) == pytest.approx(math.exp(10 / 8))
    names = [metric.name for metric in found.metrics]
    assert names == [name for name in METRICS if name in names]
    assert found.notes == [
        "Task: generation, because the references are not a few short texts that occur again and again.",
        "Without a score, because they failed: 1 answer.",
        "3 of 4 rows have a reference; metrics that need one leave the others out.",
        "1 reference is cut at the model's context; the loss is that of the beginning.",
        "1 loss is missing: it is too long.",
    ]


def test_scores_are_made_anew_only_when_outdated(evaluation, monkeypatch):
    scoring.load(evaluation)
    path = evaluation.folder / scores.FILE
    written = path.stat().st_mtime_ns
    scoring.load(evaluation)
    assert path.stat().st_mtime_ns == written
    LineWriter(evaluation.losses_file).write([{"prompt": 2, "lane": 0, "nll": 1.0, "tokens": 1, "cut": False}])
    assert scores.find(evaluation) is None
    assert scoring.load(evaluation).values("loss", 0)[2] == 1
    monkeypatch.setattr(scores, "VERSION", scores.VERSION + 1)
    assert scores.find(evaluation) is None


def test_scores_of_an_evaluation_of_an_earlier_version_have_no_losses(tmp_path):
    shutil.copytree(SAMPLES / "v2" / "evaluations", tmp_path / "evaluations")
    [folder] = (tmp_path / "evaluations").iterdir()
    found = scoring.load(Evaluation(folder))
    names = {metric.name for metric in found.metrics}
    assert {"word_f1", "chrf", "tokens"} <= names
    assert not {"loss", "perplexity"} & names
    assert np.isnan(found.values("loss", 0)).all()


@pytest.mark.parametrize(("asked", "is_stated"), [(0, False), (2, True), (3, False)])
def test_scores_state_how_many_rows_have_a_loss(evaluation, asked, is_stated):
    saved = json.loads((evaluation.folder / "config.json").read_text())
    (evaluation.folder / "config.json").write_text(json.dumps(saved | {"loss_rows": asked}))
    notes = scoring.score(evaluation).notes
    assert ("Loss and perplexity are those of 2 of 3 rows with a reference" in " ".join(notes)) == is_stated


def test_scores_without_answers_raise(store):
    made = store.create(EvaluationConfig(file="p.txt"), _write(store.settings.home / "p.txt", "Who?\n"))
    with pytest.raises(StudioError, match="There is no answer yet"):
        scoring.load(made)


def _write(path, text):
    path.write_text(text)
    return path


def test_result_rows_have_the_scores_by_lane(store, evaluation):
    rows = list(result.iterate_rows(store, evaluation))
    assert [row["exact_match of base"] for row in rows] == [1, 0, None, None]
    assert rows[0]["loss of tuned"] == 0.5
    assert [name for name in rows[0] if name.startswith("tokens of")] == ["tokens of base", "tokens of tuned"]
    table = result.write(store, evaluation, "csv").read_text()
    assert "rouge_l of tuned" in table.splitlines()[0]
    assert json.dumps(rows), "NaN is no JSON"


def test_format_metrics_takes_the_scores_once_they_exist(evaluation):
    running = evaluation.answers().metrics
    assert list(result.format_metrics(running[0])) == ["Tokens", "Ended by itself"]
    texts = result.format_metrics(running[0], scoring.load(evaluation), 0)
    assert texts["Loss on the reference"] == "1.250"
    assert texts["Exact match"] == "50.0%"


def test_quartile_labels_never_split_equal_lengths():
    labels = quartile_labels(np.array([1, 2, 2, 3, 40, 41, 42, 43, -1]))
    assert labels == [*["1 to 2 words"] * 3, "3 words", *["40 to 41 words"] * 2, *["42 to 43 words"] * 2, NO_REFERENCE]
    assert set(quartile_labels(np.array([7, 7, 7]))) == {"7 words"}
    assert quartile_labels(np.array([-1, -1])) == [NO_REFERENCE] * 2


def test_labels_group_the_prompts_in_the_spelling_that_counts():
    labels = find_labels(["good", "good", "Good ", "bad", "bad", "bad"] * 4)
    traits = Traits(lambda text: "en", labels)
    for number, reference in enumerate(["good", "Good ", "bad", ""]):
        columns = {"answer": reference or "?", "source": "ab"[number % 2]}
        traits.add(Prompt([{"role": "user", "content": f"Is row {number} good?"}], reference, number, columns=columns))
    groups = traits.groups()
    assert groups["label"].tolist() == ["good", "good", "bad", "no label"]
    # The column of the labels would group by their spellings.
    assert "column answer" not in groups
    assert "column source" in groups


def test_traits_leave_out_groupings_with_one_label():
    traits = Traits(lambda text: {"?": None}.get(text, "en"))
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    assert traits.add(Prompt([*turns, {"role": "user", "content": "Why?"}], columns={"label": "a"})) == "en"
    assert traits.add(Prompt([{"role": "user", "content": "?"}])) is None
    assert traits.add(Prompt([*turns * 6, {"role": "user", "content": "Why?"}], columns={"label": "b"})) == "en"
    groups = traits.groups()
    assert {name: list(labels) for name, labels in groups.items() if name != "prompt length"} == {
        "language": ["en", "unknown", "en"],
        "turns": ["2 turns", "1 turn", "5 or more turns"],
        "column label": ["a", "no value", "b"],
    }
