"""Sizes and constants of a model as fields of a GGUF file, by llama.cpp's names."""

from typing import TYPE_CHECKING, Any

from core.models.gguf_families import FAMILIES, longrope_factor, rope_of
from core.models.shape import ModelShape

if TYPE_CHECKING:
    import gguf

# Every n-th layer attends to all tokens and the others to a window, unless the file says otherwise.
_WINDOW_PERIODS = {"gemma2": 2, "gemma3_text": 6}


def write_settings(writer: "gguf.GGUFWriter", config: Any, name: str) -> None:
    """Write the sizes and constants of a model.

    Args:
        writer: Receives them.
        config: The model's `PretrainedConfig`.
        name: Name of the model.
    """
    import gguf

    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    if FAMILIES[config.model_type].architecture == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    shape = ModelShape.from_config(config)
    writer.add_feed_forward_length(shape.intermediate)
    writer.add_head_count_kv(shape.key_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    _write_rope(writer, config, shape.head_width)
    _write_attention(writer, config)


def _write_rope(writer: "gguf.GGUFWriter", config: Any, width: int) -> None:
    import gguf

    rope = rope_of(config)
    writer.add_rope_dimension_count(int(width * rope.get("partial_rotary_factor", 1.0)))
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10_000.0)))
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))
    if config.model_type == "phi3":
        writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
    if rope.get("rope_type") == "longrope":
        writer.add_rope_scaling_attn_factors(longrope_factor(config))
    if config.model_type == "gemma3_text":
        local = rope_of(config, "sliding_attention")
        writer.add_rope_freq_base_swa(float(local.get("rope_theta", 10_000.0)))


def _write_attention(writer: "gguf.GGUFWriter", config: Any) -> None:
    """Write the window and the caps of the attention."""
    if config.model_type == "phi3":
        # llama.cpp takes a Phi-3 file with a window of 0 for Phi-4, which has none.
        writer.add_sliding_window(config.sliding_window or 0)
    elif window := getattr(config, "sliding_window", None):
        writer.add_sliding_window(window)
    if (period := _WINDOW_PERIODS.get(config.model_type)) is not None:
        has_window = [kind == "sliding_attention" for kind in config.layer_types]
        if has_window != [bool((layer + 1) % period) for layer in range(len(has_window))]:
            writer.add_sliding_window_pattern(has_window)
        if config.attn_logit_softcapping:
            writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        if config.final_logit_softcapping:
            writer.add_final_logit_softcapping(config.final_logit_softcapping)
