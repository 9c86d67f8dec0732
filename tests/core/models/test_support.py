"""Facts read from the configurations of many model families: support, attention, context and length limit."""

import pytest
from transformers import (
    AutoConfig,
    BloomConfig,
    Gemma2Config,
    LlamaConfig,
    MambaConfig,
    MptConfig,
    Phi3Config,
    T5Config,
    ViTConfig,
)

from core.models import support
from tests.helpers.answering_architectures import EXTRA


@pytest.mark.parametrize(("config", "words"), [
    (T5Config(), "encoder-decoder"), (ViTConfig(), "no causal language model for vit"), (LlamaConfig(), None),
    (MambaConfig(), None),
], ids=lambda one: getattr(one, "model_type", one))  # fmt: skip
def test_unanswerable_reason_unsupported_model_gives_the_reason(config, words):
    found = support.unanswerable_reason(config)
    assert found is None if words is None else words in found


def test_attention_for_capped_scores_is_eager():
    assert support.attention_for(Gemma2Config()) == "eager"
    assert support.attention_for(LlamaConfig()) is None


def test_context_of_reads_the_field_of_each_family():
    assert support.context_of(LlamaConfig(max_position_embeddings=512)) == 512
    assert support.context_of(MptConfig(max_seq_len=300)) == 300
    assert support.context_of(BloomConfig()) is None
    assert support.context_of(MambaConfig()) is None


def test_length_limit_exists_for_length_dependent_positions_only():
    longrope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}
    phi = Phi3Config(
        hidden_size=64, num_attention_heads=4, original_max_position_embeddings=16, max_position_embeddings=64,
        pad_token_id=0, rope_parameters=longrope,
    )  # fmt: skip
    assert support.length_limit(phi) == 16
    dynamic = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    assert support.length_limit(LlamaConfig(max_position_embeddings=32, rope_parameters=dynamic)) == 32
    assert support.length_limit(LlamaConfig()) is None


@pytest.mark.parametrize("name", EXTRA)
def test_every_extra_family_can_answer(name):
    assert support.unanswerable_reason(AutoConfig.for_model(name)) is None
