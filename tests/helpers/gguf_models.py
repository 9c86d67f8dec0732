"""Tiny random models of each family that can be written as GGUF, merged with a random adapter."""

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from core.export.base_weights import WeightFiles
from core.export.gguf_file import write_gguf
from core.export.merge import MergedModel
from core.models import catalogue
from core.models.loading import Precision
from tests.helpers.exports import write_tiny_run
from tests.helpers.tiny_model import tiny_llama

SHAPE = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "initializer_range": 0.2,
}  # fmt: skip
# The window is shorter than the texts of the tests, and Gemma 3's six layers have both kinds of attention.
GEMMA = SHAPE | {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 8}
LLAMA_3 = {
    "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}  # fmt: skip
# Factors of the 8 rotary frequencies of a head.
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10_000.0, "short_factor": [1 + 0.1 * n for n in range(8)],
    "long_factor": [1 + 0.5 * n for n in range(8)],
}  # fmt: skip
MODELS = {
    "llama, tied": lambda size: tiny_llama(vocab_size=size, intermediate_size=96),
    "llama, untied": lambda size: tiny_llama(vocab_size=size, tie_word_embeddings=False),
    # All widths are multiples of 256, the blocks of llama.cpp's K-quants.
    "wide": lambda size: tiny_llama(vocab_size=size, hidden_size=256, intermediate_size=512),
    "llama 3": lambda size: tiny_llama(vocab_size=size, rope_parameters=LLAMA_3),
    "mistral": lambda size: MistralForCausalLM(MistralConfig(**SHAPE, vocab_size=size, sliding_window=128)),
    "qwen2": lambda size: Qwen2ForCausalLM(Qwen2Config(**SHAPE, vocab_size=size)),
    "qwen3": lambda size: Qwen3ForCausalLM(Qwen3Config(**SHAPE, vocab_size=size, head_dim=128)),
    "gemma2": lambda size: Gemma2ForCausalLM(Gemma2Config(**GEMMA, vocab_size=size)),
    "gemma3": lambda size: Gemma3ForCausalLM(
        Gemma3TextConfig(**(GEMMA | {"num_hidden_layers": 6}), vocab_size=size, final_logit_softcapping=20.0)
    ),
    "phi3": lambda size: Phi3ForCausalLM(Phi3Config(**SHAPE, vocab_size=size, original_max_position_embeddings=512)),
    "phi3, longrope": lambda size: Phi3ForCausalLM(
        Phi3Config(**SHAPE, vocab_size=size, original_max_position_embeddings=256, rope_parameters=LONGROPE)
    ),
    "gpt2": lambda size: GPT2LMHeadModel(
        GPT2Config(
            vocab_size=size, n_embd=64, n_head=4, n_layer=2, n_positions=1024, bos_token_id=1, eos_token_id=2,
            initializer_range=0.2,
        )
    ),
}  # fmt: skip


def build(name, size):
    """Return a model of a family; its norms and biases are random, too."""
    torch.manual_seed(0)
    model = MODELS[name](size)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def write_model(settings, tokenizer, path, kind="F16", model="llama, tied", **options):
    """Write a merged model of a family as GGUF, and return it."""
    run = write_tiny_run(settings, tokenizer, build(model, len(tokenizer)))
    source = WeightFiles(catalogue.find(settings, "tiny"), Precision("none", compute_dtype="float32"), "original")
    merged = MergedModel(source, run.adapter)
    write_gguf(merged, kind, path, "tiny", lambda share, stage: None, **options)
    return merged
