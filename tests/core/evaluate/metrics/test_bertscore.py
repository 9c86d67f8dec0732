"""Tests of core.evaluate.metrics.bertscore: against the package on a tiny random model, and the sentence without it."""

import importlib.util
import math

import numpy as np
import pytest

from core.errors import StudioError
from core.evaluate import scoring
from core.evaluate.metrics.bertscore import INSTALL, BertScorer
from tests.helpers.labeled import write_model
from tests.helpers.scored_evaluation import scored_evaluation
from tests.helpers.source_files import PROJECT

installed = pytest.mark.skipif(
    importlib.util.find_spec("bert_score") is None, reason=f"bert-score is optional: {INSTALL}"
)
ANSWERS = ["The sea is calm tonight.", "light", "", "A lamp in the night, and the sea."]
REFERENCES = ["The sea was calm.", "The light of a lamp", "Something", "A lamp in the night, and the sea."]


@pytest.fixture
def without_package(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bert_score" else found(name))


@pytest.fixture
def with_package(monkeypatch):
    """Let everything before the first use of the package believe that it is there."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True if name == "bert_score" else found(name))


def test_without_the_package_the_command_is_named(settings, without_package):
    with pytest.raises(StudioError, match=r"bert-score is not installed\. Install it with: pip install -r"):
        BertScorer(settings, "roberta-large")
    assert (PROJECT / INSTALL.rpartition(" ")[2]).is_file()


def test_a_model_that_is_not_here_or_of_another_family_is_named(settings, with_package, small_tokenizer):
    with pytest.raises(StudioError, match="There is no model 'roberta-large'"):
        BertScorer(settings, "roberta-large")
    with pytest.raises(StudioError, match="is not on this machine"):
        BertScorer(settings, "some/model")
    write_model(settings, "llama", small_tokenizer, causal=True, name="llama")
    with pytest.raises(StudioError, match="needs a model of the BERT family, such as roberta-large; 'llama' is llama"):
        BertScorer(settings, "llama")


def test_scores_without_the_package_are_complete_but_for_it(settings, tmp_path, without_package):
    _, evaluation = scored_evaluation(settings, tmp_path, prompts=8, bert_score="roberta-large")
    scores = scoring.load(evaluation)
    names = {metric.name for metric in scores.metrics}
    assert "bert_score" not in names
    assert {"bleu", "rouge_l", "loss"} <= names
    assert f"BERTScore is missing: The package bert-score is not installed. Install it with: {INSTALL}" in scores.notes


def test_scores_say_nothing_where_no_model_was_chosen(settings, tmp_path):
    _, evaluation = scored_evaluation(settings, tmp_path, prompts=8)
    assert not any("BERTScore" in note for note in scoring.load(evaluation).notes)


def test_a_task_without_the_metric_is_named(settings, tmp_path):
    _, evaluation = scored_evaluation(settings, tmp_path, prompts=8, task="classification", bert_score="tiny")
    assert "BERTScore is not computed, because the task is classification." in scoring.load(evaluation).notes


@installed
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("layer", [1, 2])
def test_values_equal_those_of_the_package(family, layer, settings, small_tokenizer, monkeypatch):
    import bert_score
    from bert_score import utils

    small_tokenizer.add_special_tokens({"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<unk>"})
    write_model(settings, family, small_tokenizer)
    monkeypatch.setitem(utils.model2layers, "someone/tiny", layer)
    scorer = BertScorer(settings, "tiny")
    found = scorer.score(ANSWERS, REFERENCES)
    assert f"layer {layer} of 2" in scorer.note
    small_tokenizer.model_max_length = 126
    small_tokenizer.save_pretrained(settings.models_dir / "tiny")
    scored = [index for index, answer in enumerate(ANSWERS) if answer]
    _, _, f1 = bert_score.score(
        [ANSWERS[index] for index in scored], [REFERENCES[index] for index in scored],
        model_type=str(settings.models_dir / "tiny"), num_layers=layer, use_fast_tokenizer=True, device="cpu",
    )  # fmt: skip
    np.testing.assert_allclose([found[index] / 100 for index in scored], f1, atol=1e-5)
    assert found[2] == 0
    assert found[3] == pytest.approx(100, abs=1e-3)


@installed
def test_scores_of_an_evaluation_have_the_metric_and_its_model(settings, tmp_path, small_tokenizer):
    small_tokenizer.add_special_tokens({"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<unk>"})
    write_model(settings, "bert", small_tokenizer)
    _, evaluation = scored_evaluation(settings, tmp_path, prompts=8, bert_score="tiny")
    scores = scoring.load(evaluation)
    values = scores.values("bert_score", 0)
    assert np.isfinite(values).all()
    assert math.isclose(scores.summary("bert_score", 0), values.mean())
    assert any(note.startswith("BERTScore is computed with tiny, layer 2 of 2, the last one") for note in scores.notes)
