"""Models that the two fast paths compute, and the reasons against all others.

Two parts of the studio replace transformers' own forward pass: the fused blocks of training (core/train/kernels) and
the CUDA decoder of Chat and Evaluate (core/chat/cuda). Both are written for one architecture, Llama's block, which
Mistral shares but for its sliding window. The kinds of blocks, norms, linear layers and activations that they know are
listed here once. A model that neither path takes is trained and answered with by transformers and PEFT.

Reasons are the rest of a sentence ("the activation is gelu"), or None. They are shown in the run's notes and in the
Chat tab, after sentences about blocks, answers and decoders, so each has a subject of its own. Imports no torch at the
top: kinds are recognized by their class names.
"""

from typing import TYPE_CHECKING, Any

from core.models.shape import ModelShape

if TYPE_CHECKING:
    import torch

# Mistral's block is Llama's with a sliding window.
CAUSAL_MODELS = ("LlamaForCausalLM", "MistralForCausalLM")
_BLOCKS = ("LlamaDecoderLayer", "MistralDecoderLayer")
_NORMS = ("LlamaRMSNorm", "MistralRMSNorm")
_ACTIVATION = "silu"
# Unquantized layers, and those that bitsandbytes packs in NF4 or FP4.
_LINEARS = ("Linear", "Linear4bit")
_ATTENTION, _MLP = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")

# The limits of `_DECODER_…` concern only the CUDA decoder.
_DECODER_DTYPES = ("torch.bfloat16", "torch.float16", "torch.float32")
# Kinds of rotary embedding whose angles do not depend on the length of the text.
_DECODER_ROTARY = ("default", "linear", "llama3", "yarn")
_DECODER_MIN_HEAD_WIDTH = 32
# Size of the tiles of inputs and outputs; also bitsandbytes' block size.
_DECODER_TILE = 64


def projections(layer: "torch.nn.Module") -> list["torch.nn.Module"]:
    """Return the seven projections of a block: q, k, v, o, gate, up, down."""
    attention, mlp = layer.self_attn, layer.mlp
    return [*(getattr(attention, name) for name in _ATTENTION), *(getattr(mlp, name) for name in _MLP)]


def projection_names(number: int) -> list[str]:
    """Return the names of the seven projections of a block, in the same order."""
    attention = [f"model.layers.{number}.self_attn.{name}" for name in _ATTENTION]
    return attention + [f"model.layers.{number}.mlp.{name}" for name in _MLP]


def has_sliding_window(layer: "torch.nn.Module") -> bool:
    """Return whether a block that can be fused passes a sliding window to its attention function."""
    return type(layer).__name__ == "MistralDecoderLayer"


def will_fuse(config: Any) -> bool:
    """Return whether the blocks of a model will be fused in training, predicted from its config alone.

    `unfused_reason` decides it block by block, once the model is loaded. Mistral is left out: its memory forecast has
    not been measured.

    Args:
        config: The model's `PretrainedConfig`.
    """
    text = config.get_text_config()
    if text.model_type != "llama" or _activation_reason(text):
        return False
    if any(getattr(text, name, False) for name in ("attention_bias", "mlp_bias", "attention_dropout")):
        return False
    return _is_power_of_two(ModelShape.from_config(config).head_width)


def unfused_reason(layer: "torch.nn.Module") -> str | None:
    """Return why a decoder layer of a PEFT model cannot be fused, as the rest of a sentence; None when it can."""
    if type(layer).__name__ not in _BLOCKS:
        return f"{type(layer).__name__} is not a Llama block"
    norms = (layer.input_layernorm, layer.post_attention_layernorm)
    if any(type(norm).__name__ not in _NORMS or norm.weight.requires_grad for norm in norms):
        return "a norm is trained or of another kind"
    config = layer.self_attn.config
    if reason := _activation_reason(config):
        return reason
    if layer.self_attn.attention_dropout:
        return "the attention has dropout"
    # The rotary kernel's blocks must be powers of two.
    width = ModelShape.from_config(config).head_width
    if not _is_power_of_two(width):
        return f"the head width {width} is not a power of two"
    return next(filter(None, map(_unfused_linear_reason, projections(layer))), None)


def _unfused_linear_reason(module: "torch.nn.Module") -> str | None:
    """Return why a projection, with an adapter or without, cannot be part of a fused block."""
    from peft.tuners.lora import LoraLayer

    base = module
    if isinstance(module, LoraLayer):
        base = module.get_base_layer()
        if reason := _unfused_lora_reason(module):
            return reason
    if type(base).__name__ not in _LINEARS:
        return f"{type(base).__name__} is neither a plain nor a 4-bit linear layer"
    if base.bias is not None:
        return "a projection has biases"
    return "a projection is trained in full" if base.weight.requires_grad else None


def _unfused_lora_reason(module: Any) -> str | None:
    """Return what a fused block does not support of a LoRA layer; None if nothing."""
    from torch.nn import Dropout, Identity

    active = module.active_adapters
    if len(active) != 1 or active[0] not in module.lora_A or module.merged:
        return "a projection does not have exactly one active adapter"
    name = active[0]
    if not isinstance(module.lora_dropout[name], Identity | Dropout):
        return "the LoRA dropout is of another kind"
    if name in getattr(module, "lora_variant", {}):
        return "the adapter is a variant of LoRA"
    return "the LoRA has biases" if module.lora_B[name].bias is not None else None


def undecoded_reason(model: "torch.nn.Module") -> str | None:
    """Return what the CUDA decoder does not support of a model's architecture or weights; None if nothing.

    Args:
        model: The loaded base model, on any device.
    """
    from torch.nn import Embedding, Linear

    config = model.config
    if type(model).__name__ not in CAUSAL_MODELS:
        return f"{type(model).__name__} does not have Llama's architecture"
    if getattr(config, "sliding_window", None):
        return "the attention uses a sliding window"
    if reason := _activation_reason(config):
        return reason
    # Triton's ranges are powers of two.
    width = ModelShape.from_config(config).head_width
    if width < _DECODER_MIN_HEAD_WIDTH or not _is_power_of_two(width):
        return f"the head width {width} is not a power of two of at least {_DECODER_MIN_HEAD_WIDTH}"
    if (kind := getattr(model.model.rotary_emb, "rope_type", "default")) not in _DECODER_ROTARY:
        return f"the rotary embedding is of type {kind}"
    if str(model.dtype) not in _DECODER_DTYPES:
        return f"the model computes in {model.dtype}"
    if any(parameter.device != model.device for parameter in model.parameters()):
        return "the model is spread over several devices"
    if any(type(module) not in (Embedding, Linear) for module in (model.model.embed_tokens, model.lm_head)):
        return "the first or last layer is quantized"
    linears = [module for layer in model.model.layers for module in projections(layer)]
    return next(filter(None, map(_undecoded_linear_reason, linears)), None) or _mixed_kinds_reason(linears)


def _undecoded_linear_reason(module: "torch.nn.Module") -> str | None:
    """Return what the CUDA decoder does not support of one projection; None if nothing."""
    kind = type(module).__name__
    if kind not in _LINEARS:
        return f"{kind} is neither unquantized nor in 4 bits"
    if module.bias is not None:
        return "the projections have biases"
    if module.in_features % _DECODER_TILE or module.out_features % _DECODER_TILE:
        return f"a projection from {module.in_features} to {module.out_features} is no multiple of {_DECODER_TILE}"
    if kind == "Linear":
        return None
    state = getattr(module.weight, "quant_state", None)
    # bitsandbytes packs two weights into each uint8; other storage dtypes hold them in another order.
    if state is None or state.blocksize != _DECODER_TILE or str(module.weight.dtype) != "torch.uint8":
        return "the 4-bit weights are packed in another way"
    return None


def _mixed_kinds_reason(linears: list["torch.nn.Module"]) -> str | None:
    # The launches of all blocks share their constants, so one kind must serve all.
    kinds = {(type(m).__name__, bool(getattr(getattr(m.weight, "quant_state", None), "nested", 0))) for m in linears}
    return "the projections are of several kinds" if len(kinds) > 1 else None


def _activation_reason(config: Any) -> str | None:
    # Both paths compute SwiGLU: silu(gate) times up.
    activation = getattr(config, "hidden_act", "")
    return None if activation == _ACTIVATION else f"the activation is {activation}"


def _is_power_of_two(width: int) -> bool:
    return width & (width - 1) == 0
