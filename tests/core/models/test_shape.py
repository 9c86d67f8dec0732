"""Sizes of models from their configs, for many families."""

import pytest
from transformers import AutoConfig, LlamaConfig, LlavaConfig, MistralConfig

from core.models.shape import ModelShape, cache_bytes_per_token
from tests.helpers.answering_architectures import EXTRA


def test_model_shape_of_llama_2_7b():
    shape = ModelShape.from_config(LlamaConfig(vocab_size=32000))
    assert shape == ModelShape(32, 4096, 11008, 32, 32, 128, 32000, is_tied=False)
    total = sum(a * b for a, b in shape.linears.values()) * 32 + 2 * 32000 * 4096
    assert total == pytest.approx(6.74e9, rel=0.005)


def test_model_shape_of_grouped_heads_and_stated_head_width():
    shape = ModelShape.from_config(
        LlamaConfig(hidden_size=64, num_attention_heads=8, num_key_value_heads=2, head_dim=16)
    )
    assert (shape.head_width, shape.query_width, shape.key_width) == (16, 128, 32)


def test_model_shape_of_config_without_head_width_divides_hidden_size():
    shape = ModelShape.from_config(MistralConfig(hidden_size=96, num_attention_heads=8, head_dim=None))
    assert shape.head_width == 12


def test_model_shape_of_multimodal_config_is_that_of_its_text_config():
    text = LlamaConfig(hidden_size=64, num_attention_heads=8)
    assert ModelShape.from_config(LlavaConfig(text_config=text)) == ModelShape.from_config(text)


def test_model_shape_of_unsupported_model_is_rejected():
    class Odd:
        def get_text_config(self):
            return type("Text", (), {"num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 8})()

    with pytest.raises(ValueError, match="num_attention_heads"):
        ModelShape.from_config(Odd())


@pytest.mark.parametrize("name", EXTRA)
def test_cache_bytes_per_token_are_known_for_every_family(name):
    assert 0 < cache_bytes_per_token(AutoConfig.for_model(name), 2) < 2**23


def test_cache_bytes_per_token_count_key_value_heads():
    shape = LlamaConfig(hidden_size=64, num_hidden_layers=3, num_attention_heads=8, num_key_value_heads=2)
    assert cache_bytes_per_token(shape, 2) == 2 * 3 * 2 * 8 * 2
