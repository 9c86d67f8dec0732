"""Facts about a model's configuration that decide how it is loaded and answers. Imports no torch at the top."""

from typing import Any

# Names that families give to the longest text that the model can read.
_CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "context_length")
# Families whose positions begin after the id of the padding token, so that the first positions are never used.
_POSITIONS_AFTER_PADDING = {
    "camembert", "data2vec-text", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip
# Rotary embeddings whose angles change with the length of the longest row in a batch.
_LENGTH_DEPENDENT = ("longrope", "dynamic")


def unanswerable_reason(config: Any) -> str | None:
    """Return why Chat and Evaluate cannot answer with a model, as the rest of a sentence; None when they can.

    Every causal language model that transformers can build and that can `generate` is supported, at least by the plain
    path. Preflight calls this before anything is trained.

    Args:
        config: The model's `PretrainedConfig`.
    """
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    if getattr(config, "is_encoder_decoder", False):
        return f"{config.model_type} is an encoder-decoder model"
    if type(config) not in AutoModelForCausalLM._model_mapping:
        return f"transformers has no causal language model for {config.model_type}"
    # transformers has a causal class for BERT and the like, for checkpoints that were trained as decoders.
    if type(config) in AutoModelForMaskedLM._model_mapping and not getattr(config, "is_decoder", False):
        return f"{config.model_type} reads texts in both directions"
    model = AutoModelForCausalLM._model_mapping[type(config)]
    if not getattr(model, "can_generate", lambda: False)():
        return f"{model.__name__} cannot generate text"
    return None


def attention_for(config: Any) -> str | None:
    """Return the attention implementation that suits a model; None leaves the choice to transformers.

    Args:
        config: The model's `PretrainedConfig`.
    """
    # PyTorch's fused attention cannot cap scores.
    return "eager" if getattr(config.get_text_config(), "attn_logit_softcapping", None) else None


def context_of(config: Any) -> int | None:
    """Return how many tokens a model can read, question and answer together; None where nothing limits it."""
    text = config.get_text_config()
    found = next((value for name in _CONTEXT_FIELDS if (value := getattr(text, name, None))), None)
    if found and config.model_type in _POSITIONS_AFTER_PADDING:
        return int(found) - (text.pad_token_id or 0) - 1
    return int(found) if found else None


def length_limit(config: Any) -> int | None:
    """Return the length in tokens up to which rotary angles do not depend on the length; None where they never do."""
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    layers = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    limits = [
        each.get("original_max_position_embeddings")
        or getattr(text, "original_max_position_embeddings", None)
        or context_of(config)
        for each in layers
        if each.get("rope_type") in _LENGTH_DEPENDENT
    ]
    return min(limits) if limits else None
