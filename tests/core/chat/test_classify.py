"""Classifiers in Chat and Evaluate: probabilities against PEFT's own model, lanes of the engine, and refusals."""

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

from core.chat import peft_model
from core.chat.classify import classify
from core.chat.engine import Engine
from core.chat.queue_entry import QueueEntry
from core.chat.requests import resolve_lanes
from core.chat.sampling import Sampling
from core.chat.types import GenerationResult, LaneRequest
from core.errors import StudioError
from core.evaluate import process as evaluation_process
from core.evaluate.classification.predict import NONE, predict
from core.evaluate.config import EvaluationConfig
from core.evaluate.prompts import Prompt
from core.runs import classifier
from core.runs.config import QLoRAConfig
from core.runs.store import RunStore
from core.train import worker
from tests.helpers.labeled import LABELS, classify_config, write_model, write_subset

TEXTS = ["A good film, number 3, of words", "bad", "A bad day and a good film " * 20]
GREEDY = Sampling(temperature=0, max_new_tokens=3)


@pytest.fixture(params=["llama", "bert"])
def run(request, settings, small_tokenizer):
    write_model(settings, request.param, small_tokenizer, causal=request.param == "llama")
    write_subset(settings)
    made = RunStore(settings).create(classify_config(max_steps=2, batch_size=8, eval_rows=0, save_steps=1))
    assert worker.train(settings, made) == ("finished", "")
    return made


def ask(engine, *lanes):
    *_, entry = engine.ask(QueueEntry(resolve_lanes(engine.store, lanes)))
    return entry.generations


def question(text):
    return [{"role": "user", "content": text}]


def test_probabilities_and_predictions_equal_peft(settings, run, small_tokenizer):
    base = AutoModelForSequenceClassification.from_pretrained(settings.models_dir / "tiny", num_labels=2)
    base.config.pad_token_id = classifier.read(run.adapter).pad_token_id
    tuned = PeftModel.from_pretrained(base, run.adapter).eval()
    expected = []
    for text in TEXTS:
        ids = small_tokenizer(text, truncation=True, max_length=64, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            expected.append(tuned(input_ids=ids).logits[0].softmax(dim=0).numpy())
    found = classify(settings, run, TEXTS)
    assert np.abs(found - np.array(expected)).max() < 1e-5
    assert not np.allclose(found, classify(settings, run, TEXTS, "step 1"))

    frame = "\n\nWhat is the label?"
    prompts = [
        Prompt(question(TEXTS[0] + frame), " GOOD film"),
        Prompt(question(TEXTS[1]), "another"),
        Prompt(question(TEXTS[2]), ""),
        Prompt(question(frame), "bad day"),
    ]
    made = predict(RunStore(settings), run.id, prompts)
    assert made.labels == LABELS
    assert made.probabilities[:3] == pytest.approx(found)
    assert np.isnan(made.probabilities[3]).all()
    assert made.true.tolist() == [1, NONE, NONE, 0]
    assert made.predicted.tolist() == [*found.argmax(axis=1), NONE]
    assert (made.truncated, list(made.failures)) == (1, [3])

    engine, tuned_lane = Engine(settings), f"{run.id}/final"
    (answer,) = ask(engine, LaneRequest(question(TEXTS[2]), GREEDY, tuned_lane))
    assert dict(answer.labels) == pytest.approx(dict(zip(LABELS, found[2], strict=True)))
    assert (answer.text, answer.end) == (LABELS[found[2].argmax()], "end")
    assert "longer than 64 tokens" in answer.note
    assert GenerationResult.from_generation(answer, (run.id, "final"), {}).labels == answer.labels
    both = LaneRequest(question(TEXTS[0]), GREEDY), LaneRequest(question(TEXTS[0]), GREEDY, tuned_lane)
    if base.config.model_type == "bert":
        with pytest.raises(StudioError, match=r"tiny cannot write answers: .* Choose a run that is a classifier"):
            ask(engine, *both)
    else:
        written, labeled = ask(engine, *both)
        assert written.tokens == 3
        assert not written.labels
        assert labeled.labels[0][1] == pytest.approx(found[0].max())
    assert engine.unload() >= 0
    assert engine.loaded is None
    with pytest.raises(StudioError, match="final is a classifier, which chooses a label"):
        evaluation_process.resolve_evaluation_lanes(
            engine.store, EvaluationConfig(lanes=[run.id], run=run.id), prompts[0]
        )


def test_generating_run_is_no_classifier(settings, runs, a_run):
    made = a_run(config=QLoRAConfig())
    with pytest.raises(StudioError, match="generates text, so it has no labels"):
        classify(settings, made, ["a"])
    assert not classifier.is_classifier(made.folder)
    with pytest.raises(StudioError, match=r"no readable classifier\.json"):
        classifier.read(made.folder)
    with pytest.raises(StudioError, match="holds no adapter"):
        peft_model.read_config(made.folder)
