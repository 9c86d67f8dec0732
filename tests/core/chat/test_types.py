"""Identity of a base model: equal only if all fields agree, shown by a label, and compatible with earlier versions."""

import itertools
from dataclasses import fields, replace

import pytest
from pydantic import TypeAdapter

from core.chat.types import _FIELD_TITLES, BaseIdentity, Generation, GenerationResult, adapter_key
from core.models.loading import Precision
from core.runs.config import QLoRAConfig

NF4 = BaseIdentity("M")
# Identities that differ from NF4 in one field each, with the sentence that names it. Every field has an entry.
ONE_FIELD = [
    (replace(NF4, model="N"), "model is N, not M"),
    (replace(NF4, revision="0123456789"), "revision is 0123456789, not main"),
    (replace(NF4, quantization="fp4"), "quantization is fp4, not nf4"),
    (replace(NF4, double_quantization=False), "double quantization is off, not on"),
    (replace(NF4, compute_dtype="float32"), "compute dtype is float32, not auto"),
    (replace(NF4, attention="eager"), "attention is eager, not auto"),
]


@pytest.mark.parametrize(("other", "sentence"), ONE_FIELD, ids=lambda value: value if isinstance(value, str) else "")
def test_base_identity_one_field_differs_is_another_base_with_its_reason(other, sentence):
    assert other != NF4
    assert other.key != NF4.key
    assert other.label != NF4.label
    assert other.differences(NF4) == sentence


def test_base_identity_every_field_has_a_title_and_an_example():
    names = [field.name for field in fields(BaseIdentity)]
    assert list(_FIELD_TITLES) == names
    assert [[name for name in names if getattr(other, name) != getattr(NF4, name)] for other, _ in ONE_FIELD] == [
        [name] for name in names
    ]


@pytest.mark.parametrize("other", [other for other, _ in ONE_FIELD], ids=lambda other: other.label)
def test_base_identity_every_field_comes_from_the_config_and_reaches_the_precision(other):
    assert BaseIdentity.from_config(other.config) == other
    for field in fields(Precision):
        assert getattr(other.precision, field.name) == getattr(other, field.name)


def test_base_identity_all_pairs_have_distinct_keys_and_labels():
    identities = [NF4, replace(NF4, quantization="none"), replace(NF4, quantization="int8")]
    identities += [other for other, _ in ONE_FIELD]
    for one, other in itertools.combinations(identities, 2):
        assert one.key != other.key
        assert one.label != other.label


def test_base_identity_int8_label_is_int8():
    assert replace(NF4, quantization="int8").label == "M · int8"


@pytest.mark.parametrize("quantization", ["int8", "none"])
def test_base_identity_without_four_bit_weights_ignores_double_quantization(quantization):
    one, other = (BaseIdentity("M", "", quantization, double) for double in (True, False))
    assert one == other


def test_base_identity_differences_names_every_field_once():
    other = BaseIdentity("M", quantization="none", compute_dtype="float32")
    assert other.differences(NF4) == "quantization is none, not nf4 and compute dtype is float32, not auto"


def test_base_identity_of_config_survives_json_and_gives_the_same_config():
    config = QLoRAConfig(model="M", quantization="fp4", double_quantization=False, attention="eager")
    identity = BaseIdentity.from_config(config)
    adapter = TypeAdapter(BaseIdentity)
    assert adapter.validate_json(adapter.dump_json(identity)) == identity
    assert BaseIdentity.from_config(identity.config) == identity
    assert (identity.precision.quantization, identity.precision.double_quantization) == ("fp4", False)


def test_base_identity_sdpa_attention_is_the_same_base_as_auto():
    configs = [QLoRAConfig(model="M", attention=attention) for attention in ("auto", "sdpa")]
    assert BaseIdentity.from_config(configs[0]) == BaseIdentity.from_config(configs[1])


@pytest.mark.parametrize(
    ("label", "expected"),
    [("M · 4-bit nf4", True), ("M", True), ("M · 8-bit int8", False), ("M · 4-bit", False), ("N", False)],
)
def test_base_identity_recognizes_labels_of_earlier_versions(label, expected):
    assert NF4.has_legacy_label(label) == expected
    assert replace(NF4, quantization="int8").has_legacy_label("M · 8-bit int8")
    assert replace(NF4, quantization="none").has_legacy_label("M · unquantised")


def test_adapter_key_without_a_run_is_the_base():
    assert adapter_key("", "final") is None
    assert adapter_key("r", "step 20") == "r/step 20"


def test_generation_result_of_a_continued_answer_joins_pieces_and_probabilities():
    first = GenerationResult(text="a b", pieces=["a", " b"], logprobs=[-1.0, -2.0])
    rest = Generation("a b c", tokens=3, end="end", seconds=2.0, ids=[1, 2, 3], logprobs=[-3.0], pieces=[" c"])
    rest.prefix_tokens = 2
    result = GenerationResult.from_generation(rest, ("r", "final"), {"seed": 1}, first)
    assert "".join(result.pieces) == result.text == "a b c"
    assert result.logprobs == [-1.0, -2.0, -3.0]
    assert (result.run, result.adapter, result.settings) == ("r", "final", {"seed": 1})
    assert result.tokens_per_second == 0.5, "only new tokens count"


def test_generation_result_has_every_value_of_its_generation():
    labels = [("good", 0.75), ("bad", 0.25)]
    generation = Generation("a", 3, "end", 0.25, 0.5, 2.0, [1], [-1.0], ["a"], "note", prefix_tokens=1, labels=labels)
    result = GenerationResult.from_generation(generation, ("r", "final"), {"seed": 1})
    empty = GenerationResult()
    assert [name for name in GenerationResult.model_fields if getattr(result, name) == getattr(empty, name)] == []
    for name in {field.name for field in fields(Generation)} & set(GenerationResult.model_fields):
        assert getattr(result, name) == getattr(generation, name)
