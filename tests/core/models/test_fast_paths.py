"""Reasons against the fused blocks and the CUDA decoder. tests/core/train/test_kernels.py has those of adapters."""

import pytest
import torch
from transformers import GemmaConfig, GPT2Config, LlamaConfig, MistralConfig

from core.models.fast_paths import undecoded_reason, unfused_reason, will_fuse
from tests.helpers.tiny_model import pack_in_nf4, tiny_llama


def llama(**over):
    shape = {"hidden_size": 128, "intermediate_size": 192, "head_dim": 32, "dtype": torch.bfloat16}
    return tiny_llama(**(shape | over))


@pytest.mark.parametrize("double", [True, False])
def test_undecoded_reason_of_llama_in_4_16_or_32_bits_is_none(double):
    assert undecoded_reason(pack_in_nf4(llama(), double)) is None
    assert undecoded_reason(llama()) is None
    assert undecoded_reason(llama(dtype=torch.float32)) is None


@pytest.mark.parametrize(
    ("over", "reason"),
    [
        ({"head_dim": 16}, "the head width 16 is not a power of two of at least"),
        ({"hidden_act": "gelu"}, "activation is gelu"),
        ({"attention_bias": True}, "biases"),
        ({"intermediate_size": 200}, "no multiple of 64"),
        (
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "rotary embedding is of type dynamic",
        ),
        ({"dtype": torch.float64}, "computes in torch.float64"),
    ],
)
def test_undecoded_reason_names_what_is_unsupported(over, reason):
    assert reason in undecoded_reason(llama(**over))


def test_undecoded_reason_names_mixed_kinds_of_weights():
    model = llama()
    one = pack_in_nf4(llama()).model.layers[0].mlp.up_proj
    model.model.layers[0].mlp.up_proj = one
    assert "several kinds" in undecoded_reason(model)


@pytest.mark.parametrize(
    ("over", "reason"),
    [
        ({}, None),
        ({"hidden_act": "gelu"}, "the activation is gelu"),
        ({"attention_dropout": 0.1}, "the attention has dropout"),
        ({"head_dim": 24}, "the head width 24 is not a power of two"),
        ({"mlp_bias": True}, "a projection has biases"),
    ],
)
def test_unfused_reason_names_what_is_unsupported(over, reason):
    layer = llama(**over).requires_grad_(False).model.layers[0]
    assert unfused_reason(layer) == reason
    # The prediction from the config alone agrees.
    assert will_fuse(LlamaConfig(**over)) == (reason is None)


def test_unfused_reason_names_trained_norms_weights_and_foreign_blocks():
    layer = llama().model.layers[0]
    assert "norm is trained" in unfused_reason(layer)
    layer.input_layernorm.weight.requires_grad_(False)
    layer.post_attention_layernorm.weight.requires_grad_(False)
    assert "trained in full" in unfused_reason(layer)
    assert "is not a Llama block" in unfused_reason(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("config", [GPT2Config(), MistralConfig(), GemmaConfig()], ids=lambda one: one.model_type)
def test_will_fuse_of_other_families_is_false(config):
    assert not will_fuse(config)
