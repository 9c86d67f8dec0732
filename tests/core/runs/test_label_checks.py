"""Preflight checks of a classifier: refused labels, left out rows, similar labels, and settings without effect."""

import json

import pytest

from core.data import sources, subset
from core.data.recipe import Recipe
from core.runs import checks
from core.runs.findings import texts
from tests.helpers.datasets import copy_bundled
from tests.helpers.labeled import classify_config, write_model, write_subset


@pytest.fixture
def home(settings, small_tokenizer):
    write_model(settings, "bert", small_tokenizer)
    write_subset(settings)
    return settings


def write_rows(settings, answers):
    """Create the subset "odd" of questions with these answers."""
    path = settings.home / "odd.jsonl"
    turns = [
        [{"role": "user", "content": f"Text {n} " + "word " * 40}, {"role": "assistant", "content": answer}]
        for n, answer in enumerate(answers)
    ]
    path.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in turns))
    data = sources.open_file(settings, path)
    return subset.create(settings, "odd", Recipe(dataset=data.id, held_out_share=0))


def test_classifier_that_can_start_has_labels_and_no_problem(home):
    found = checks.check(home, classify_config())
    assert texts(found, "problem") == texts(found, "warning") == []
    fine = " ".join(texts(found, "fine"))
    assert "2 labels: '" in fine
    assert "The memory forecast is that of a model of this size that generates text" in fine
    assert "2 are fully trained, the classifier's head among them" in fine
    assert "chat template" not in fine


@pytest.mark.parametrize(
    ("answers", "level", "sentence"),
    [
        (["yes"] * 6, "problem", "All labeled rows of 'odd' have the label 'yes'"),
        ([f"answer {n}" for n in range(6)], "problem", "No label of 'odd' occurs twice"),
        (["yes", "no", "yes", "no", "maybe"], "warning", "1 label has a single row to train on ('maybe')"),
        (["yes", "no", "yes", "no"], "warning", "4 of the first 4 texts are longer than 16 tokens"),
        (["yes", "Yes", "no", "no", "yes"], "warning", "are kept apart: 'Yes', 'yes'"),
    ],
)
def test_labels_are_refused_or_reported(home, answers, level, sentence):
    write_rows(home, answers)
    config = classify_config(subset="odd", max_length=16, merge_labels=False, held_out_share=0, batch_size=1)
    assert any(sentence in text for text in texts(checks.check(home, config), level))


def test_merged_labels_are_no_warning(home):
    write_rows(home, ["yes", "Yes", "no", "no"])
    found = checks.check(home, classify_config(subset="odd", held_out_share=0, batch_size=1, max_length=128))
    assert any("one label: 'Yes' as 'yes'" in text or "'yes' as 'Yes'" in text for text in texts(found, "fine"))
    assert not any("case or spaces" in text for text in texts(found, "warning"))


def test_rows_with_long_answers_are_no_labels(home):
    copy_bundled(home)
    assert any(
        "occurs twice" in text for text in texts(checks.check(home, classify_config(subset="keeper")), "problem")
    )


def test_changed_settings_without_effect_are_named(home):
    found = checks.check(home, classify_config(packing=False, answers_only=False, sample_tokens=9))
    (text,) = texts(found, "warning")
    assert text == ("Without effect with Task classify: Loss on answers only off, Packing off, Tokens per sample 9.")


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ({"max_length": 512}, "Set it to 128 or less."),
        ({"lora_targets": "classifier"}, "'classifier'"),
        ({"model": "mamba"}, "No classifier can be trained from mamba: transformers has no classifier for mamba"),
    ],
)
def test_model_that_cannot_be_trained_so_is_refused(home, small_tokenizer, over, sentence):
    write_model(home, "mamba", small_tokenizer, causal=True, name="mamba")
    assert any(sentence in text for text in texts(checks.check(home, classify_config(**over)), "problem"))
