"""Puts the fused block in place of a decoder layer's forward pass where the two are the same function, and says where
they are not."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from peft.tuners.lora import LoraLayer

from core.train.kernels.block import Block, Call
from core.train.kernels.lora_linear import Space

# Mistral's block is Llama's with a sliding window.
_LAYERS = ("LlamaDecoderLayer", "MistralDecoderLayer")
_NORMS = ("LlamaRMSNorm", "MistralRMSNorm")
_LINEARS = ("Linear", "Linear4bit")
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def install(model: torch.nn.Module) -> tuple[list[Block], list[str]]:
    """Fuse what blocks of a PEFT model can be fused.

    Returns:
        The fused blocks in their order, and a sentence on what was done and why not everywhere.
    """
    layers = [module for name, module in model.named_modules() if type(module).__name__.endswith("DecoderLayer")]
    reasons = [why_not(layer) for layer in layers]
    space = Space()
    blocks = []
    for layer, reason in zip(layers, reasons, strict=True):
        if reason is None:
            block = Block(layer, space)
            layer.forward = _forward(block, layer, layer.forward)
            blocks.append(block)
    left = Counter(reason for reason in reasons if reason)
    if not layers:
        return [], ["Kernels are off: this model has no blocks of a kind that they know."]
    said = [f"{count} of {len(layers)} blocks as they are, because {reason}" for reason, count in left.items()]
    if blocks:
        said.insert(0, f"{len(blocks)} of {len(layers)} blocks are fused")
    return blocks, ["Kernels: " + "; ".join(said) + "."]


def why_not(layer: torch.nn.Module) -> str | None:
    """Why a decoder layer cannot be fused, as the rest of a sentence; None when it can."""
    if type(layer).__name__ not in _LAYERS:
        return f"{type(layer).__name__} is not a Llama block"
    attention, mlp = layer.self_attn, layer.mlp
    norms = (layer.input_layernorm, layer.post_attention_layernorm)
    if any(type(norm).__name__ not in _NORMS or norm.weight.requires_grad for norm in norms):
        return "a norm is trained or of another kind"
    if attention.config.hidden_act != "silu":
        return f"its activation is {attention.config.hidden_act}"
    if attention.attention_dropout:
        return "attention drops out"
    half = attention.head_dim // 2
    if half & (half - 1):
        return f"its heads are {attention.head_dim} wide"
    owners = {name: attention if hasattr(attention, name) else mlp for name in _PROJECTIONS}
    return next(filter(None, (_why_not_linear(getattr(owners[name], name)) for name in _PROJECTIONS)), None)


def _why_not_linear(module: torch.nn.Module) -> str | None:
    base = module
    if isinstance(module, LoraLayer):
        base = module.get_base_layer()
        active = module.active_adapters
        if len(active) != 1 or active[0] not in module.lora_A or module.merged:
            return "it carries not one adapter"
        name = active[0]
        if not isinstance(module.lora_dropout[name], torch.nn.Identity | torch.nn.Dropout):
            return "LoRA drops out in a way of its own"
        if name in getattr(module, "lora_variant", {}):
            return "its adapter is no plain LoRA"
        if module.lora_B[name].bias is not None:
            return "LoRA has biases"
    if type(base).__name__ not in _LINEARS:
        return f"{type(base).__name__} is not a weight in 4 bits or 16"
    if base.bias is not None:
        return "it has biases"
    return "weights are trained whole" if base.weight.requires_grad else None


def _forward(block: Block, layer: torch.nn.Module, plain: Callable[..., Any]) -> Callable[..., Any]:
    """The layer's forward pass: fused where nothing but hidden states comes out, plain for the rest."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    from transformers.models.llama.modeling_llama import eager_attention_forward

    attention = layer.self_attn
    windowed = type(layer).__name__ == "MistralDecoderLayer"
    adapted = [m for m in layer.modules() if isinstance(m, LoraLayer)]

    def forward(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        position = kwargs.get("position_embeddings")
        if (
            args
            or position is None
            or kwargs.get("use_cache")
            or kwargs.get("past_key_values") is not None
            or {_computes_in(hidden_states), block.first_norm.weight.dtype} != {hidden_states.dtype}
            or any(m.disable_adapters or m.merged for m in adapted)
        ):
            return plain(hidden_states, *args, **kwargs)
        cos, sin = position
        batch = len(hidden_states)
        given = {k: v for k, v in kwargs.items() if k not in ("position_embeddings", "past_key_values", "use_cache")}
        mask = given.pop("attention_mask", None)
        kind = ALL_ATTENTION_FUNCTIONS.get_interface(attention.config._attn_implementation, eager_attention_forward)

        if windowed:  # as MistralAttention passes it; its configuration can be changed after the block was fused
            given["sliding_window"] = getattr(attention.config, "sliding_window", None)

        def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            return kind(attention, query, key, value, mask, dropout=0.0, scaling=attention.scaling, **given)[0]

        rows = len(cos) if len(cos) in (1, batch) else batch
        call = Call(
            batch,
            cos[:rows].reshape(-1, cos.shape[-1]),
            sin[:rows].reshape(-1, sin.shape[-1]),
            attend,
            torch.is_grad_enabled(),
            # of the processor's generator, whose state a checkpoint keeps, and nothing that a GPU has to be waited for
            int(torch.randint(2**33, 2**62, ())) if block.drops and layer.training else None,
        )
        return block(hidden_states, call)

    return forward


def _computes_in(tensor: torch.Tensor) -> torch.dtype:
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype
