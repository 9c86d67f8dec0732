"""Tests of core.evaluate.classification.choice: the arithmetic, and the virtual prompts."""

import json

import numpy as np
import pytest

from core.evaluate.classification.choice import LabelPrompts, choice_labels, choose, read_choices
from core.evaluate.likelihood import LossReader
from core.evaluate.prompts import Prompts
from core.evaluate.task import find_task


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    references = ["yes", "no", "Yes", "no", "yes", "no", "", "perhaps not at all, I would say"[:0]]
    lines = [
        {"messages": [{"role": "user", "content": f"Is it {n}?"}], "reference": r} for n, r in enumerate(references)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Prompts(path)


def test_label_prompts_ask_every_label_of_labeled_prompts_only(prompts):
    labels, note = choice_labels(find_task("auto", prompts).labels)
    assert (labels.names, note) == (["no", "yes"], "")
    asked = LabelPrompts(prompts, labels)
    assert len(asked) == 16
    assert [prompt.reference for prompt in asked] == ["no", "yes"] * 6 + [""] * 4
    assert asked[5].reference == "yes"
    assert asked[5].question == "Is it 2?"


def test_too_many_labels_are_left_out_with_a_sentence(tmp_path):
    path = tmp_path / "prompts.jsonl"
    messages = [{"role": "user", "content": "?"}]
    path.write_text("".join(json.dumps({"messages": messages, "reference": f"l{n % 30}"}) + "\n" for n in range(120)))
    labels, note = choice_labels(find_task("auto", Prompts(path)).labels)
    assert labels is None
    assert "30 labels" in note


def test_choose_by_likelihood_and_per_token():
    # "not spam" has three tokens; it is less likely as a whole, but more likely per token.
    losses, tokens = np.array([[1.0, 1.5], [2.0, 0.3], [np.nan, 1.0]]), np.array([[1, 3], [1, 3], [1, 3]])
    chosen, probabilities = choose(losses, tokens, per_token=False)
    assert chosen.tolist() == [0, 1, -1]
    assert probabilities[0] == pytest.approx(np.exp([-1.0, -1.5]) / np.exp([-1.0, -1.5]).sum())
    assert np.isnan(probabilities[2]).all()
    assert choose(losses, tokens, per_token=True)[0].tolist() == [1, 1, -1]
    assert choose(losses[2:], tokens[2:], per_token=False)[0].tolist() == [-1]


def test_read_choices_leaves_what_is_missing(tmp_path):
    path = tmp_path / "choices.jsonl"
    lines = [(0, 0, 1.0, 2), (1, 0, 2.0, 3), (0, 1, 5.0, 2), (3, 0, 4.0, 2)]
    path.write_text(
        "".join(
            json.dumps({"prompt": p, "lane": lane, "nll": nll, "tokens": count, "cut": False, "note": ""}) + "\n"
            for p, lane, nll, count in lines
        )
    )
    losses, tokens = read_choices(LossReader(path, 2).update(), 0, 2, 2)
    assert losses[0].tolist() == [1.0, 2.0]
    assert np.isnan(losses[1, 0])
    assert losses[1, 1] == 4.0
    assert tokens[0].tolist() == [2.0, 3.0]
