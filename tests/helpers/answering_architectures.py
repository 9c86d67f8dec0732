"""Causal language models of many families at tiny size, with random float32 weights, for tests and their tables."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

VOCABULARY = 128
# Fields that every family gets if its configuration has them.
SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "sliding_window": 6, "num_local_experts": 4,
    "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 24,
    "n_routed_experts": 4, "state_size": 4, "initializer_range": 0.3,
}  # fmt: skip
EXTRA: dict[str, dict] = {
    "bloom": {},
    "codegen": {"rotary_dim": 4},
    "cohere": {},
    "cohere2": {},
    "deepseek_v3": {
        "q_lora_rank": 8,
        "kv_lora_rank": 8,
        "qk_rope_head_dim": 4,
        "qk_nope_head_dim": 4,
        "v_head_dim": 8,
        "head_dim": 4,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "num_key_value_heads": 4,
    },
    "exaone4": {"sliding_window_pattern": 2},
    "falcon": {"multi_query": True},
    "falcon_mamba": {},
    "gemma": {},
    "gemma2": {"query_pre_attn_scalar": 8},
    "gemma3_text": {"query_pre_attn_scalar": 8},
    "glm": {},
    "glm4": {},
    "gpt2": {},
    "gpt_bigcode": {},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 6, "num_layers": 2},
    "gpt_neox": {},
    "gpt_oss": {},
    "gptj": {"rotary_dim": 4},
    "granite": {},
    "granitemoe": {},
    "helium": {},
    "jamba": {
        "mamba_d_state": 4,
        "mamba_dt_rank": 4,
        "attn_layer_offset": 1,
        "attn_layer_period": 2,
        "use_mamba_kernels": False,
    },
    "lfm2": {"full_attn_idxs": [1], "block_ff_dim": 48},
    "llama": {},
    "mamba": {},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 2, "expand": 2},
    "mistral": {},
    "mixtral": {},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 128},
    "nemotron": {},
    "olmo": {},
    "olmo2": {},
    "olmoe": {},
    "opt": {"word_embed_proj_dim": 32, "ffn_dim": 48},
    "persimmon": {},
    "phi": {},
    "phi3": {},
    "phimoe": {},
    "qwen2": {},
    "qwen2_moe": {},
    "qwen3": {},
    "qwen3_moe": {},
    "qwen3_next": {
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "recurrent_gemma": {"lru_width": 32, "attention_window_size": 8, "block_types": ["recurrent", "attention"]},
    "rwkv": {"attention_hidden_size": 32},
    "smollm3": {},
    "stablelm": {},
    "starcoder2": {},
    "llama4_text": {"attention_chunk_size": 8, "intermediate_size_mlp": 48},
    "olmo3": {},
    "arcee": {},
    "apertus": {},
    "seed_oss": {},
    "ernie4_5": {},
    "hunyuan_v1_dense": {},
    "diffllama": {},
    "minimax": {"block_size": 8},
    "biogpt": {},
    "openai-gpt": {},
    "granitemoehybrid": {
        "layer_types": ["mamba", "attention"],
        "mamba_n_heads": 8,
        "mamba_d_head": 8,
        "mamba_d_state": 8,
        "shared_intermediate_size": 48,
        "mamba_n_groups": 1,
    },
    "xglm": {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 48},
}
# Chat and Evaluate answer these one at a time: their state is not keys and values, so a padded batch would be wrong.
ONE_AT_A_TIME = {
    "falcon_mamba", "granitemoehybrid", "jamba", "lfm2", "mamba", "mamba2", "minimax", "openai-gpt", "qwen3_next",
    "recurrent_gemma", "rwkv",
}  # fmt: skip
# These train on padded rows, every other family on packed ones: their attention cannot be replaced, does not pass on
# where rows end, or keeps a state from token to token.
PADDED = {
    "bloom", "codegen", "falcon", "falcon_mamba", "gpt_neo", "gptj", "granitemoehybrid", "jamba", "lfm2", "llama4_text",
    "mamba", "mamba2", "minimax", "mpt", "nemotron", "openai-gpt", "phimoe", "qwen3_next", "recurrent_gemma", "rwkv",
    "stablelm", "xglm",
}  # fmt: skip
# The router of these samples random numbers while it trains.
RANDOM_ROUTING = {"phimoe"}
# PEFT does not take every linear layer of these.
TARGETS = {
    "falcon_mamba": ["in_proj"], "mamba": ["in_proj"], "mamba2": ["in_proj"], "llama4_text": ["q_proj", "v_proj"],
    "phimoe": ["q_proj", "v_proj"],
}  # fmt: skip


def build(name: str, vocabulary: int = VOCABULARY, seed: int = 0) -> PreTrainedModel:
    """Return a tiny model of a family, in evaluation mode, with frozen weights."""
    fields = vars(AutoConfig.for_model(name)) | {key: None for key in AutoConfig.for_model(name).attribute_map}
    small = {key: value for key, value in SMALL.items() if key in fields}
    small |= {key: 0.0 for key, value in fields.items() if "drop" in key and isinstance(value, float)}
    config = AutoConfig.for_model(name, **(small | {"vocab_size": vocabulary} | EXTRA[name]))
    config.tie_word_embeddings = False
    torch.manual_seed(seed)
    softcap = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    attention = {"attn_implementation": "eager"} if softcap else {}
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, **attention)
    model.generation_config.pad_token_id = 0
    return model.eval().requires_grad_(False)
