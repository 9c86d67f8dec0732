"""Replacement of a decoder layer's forward pass by the fused block where both compute the same function.

Each layer of a PEFT model is checked by itself (core/models/fast_paths.py): kind of block, norms, activation, head
width, adapters. A layer that does not qualify keeps its own forward pass, and the reason goes into the run's notes. A
fused layer still takes its own forward pass for calls that the block does not handle: a key-value cache, another
compute dtype, a disabled adapter.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from peft.tuners.lora import LoraLayer

from core.models.fast_paths import has_sliding_window, unfused_reason
from core.system.counting import verb_for
from core.train.kernels.block import Block, CallContext
from core.train.kernels.scratch import ScratchBuffers


def fuse_blocks(model: torch.nn.Module) -> tuple[list[Block], list[str]]:
    """Fuse the decoder layers of a PEFT model that can be fused.

    Returns:
        The fused blocks in their order, and a note on how many there are and why others are not fused.
    """
    layers = [module for name, module in model.named_modules() if type(module).__name__.endswith("DecoderLayer")]
    reasons = [unfused_reason(layer) for layer in layers]
    scratch = ScratchBuffers()
    blocks = []
    for layer, reason in zip(layers, reasons, strict=True):
        if reason is None:
            block = Block(layer, scratch)
            layer.forward = _make_forward(block, layer, layer.forward)
            blocks.append(block)
    obstacles = Counter(reason for reason in reasons if reason)
    if not layers:
        return [], ["Kernels are off: this model has no decoder layers."]
    notes = [
        f"{count} of {len(layers)} blocks {verb_for(count)} not fused, because {reason}"
        for reason, count in obstacles.items()
    ]
    if blocks:
        notes.insert(0, f"{len(blocks)} of {len(layers)} blocks {verb_for(len(blocks))} fused")
    return blocks, ["Kernels: " + "; ".join(notes) + "."]


def _make_forward(block: Block, layer: torch.nn.Module, plain: Callable[..., Any]) -> Callable[..., Any]:
    """Return the layer's new forward pass: fused where the call allows it, `plain` otherwise."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    from transformers.models.llama.modeling_llama import eager_attention_forward

    attention = layer.self_attn
    has_window = has_sliding_window(layer)
    adapted = [m for m in layer.modules() if isinstance(m, LoraLayer)]

    def forward(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        # hidden_states: (batch, length, hidden)
        has_adapter = not any(m.disable_adapters or m.merged for m in adapted)
        if args or not has_adapter or not _is_supported_call(block, hidden_states, kwargs):
            return plain(hidden_states, *args, **kwargs)
        options = {k: v for k, v in kwargs.items() if k not in ("position_embeddings", "past_key_values", "use_cache")}
        mask = options.pop("attention_mask", None)
        attention_function = ALL_ATTENTION_FUNCTIONS.get_interface(
            attention.config._attn_implementation, eager_attention_forward
        )

        # MistralAttention passes its window too. It is read at each call: a probe may change it after fusing.
        if has_window:
            options["sliding_window"] = getattr(attention.config, "sliding_window", None)

        def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            return attention_function(
                attention, query, key, value, mask, dropout=0.0, scaling=attention.scaling, **options
            )[0]

        # The seed comes from the processor's generator: a checkpoint keeps its state, and the GPU need not be awaited.
        seed = int(torch.randint(2**33, 2**62, ())) if block.has_dropout and layer.training else None
        cos, sin = _flatten_angles(kwargs["position_embeddings"], len(hidden_states))
        call = CallContext(len(hidden_states), cos, sin, attend, torch.is_grad_enabled(), seed)
        return block(hidden_states, call)

    return forward


def _flatten_angles(
    position_embeddings: tuple[torch.Tensor, torch.Tensor], batch: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cos and sin (positions, head width) of the rotary embedding's tables (1 or batch, length, head width)."""
    cos, sin = position_embeddings
    rows = len(cos) if len(cos) in (1, batch) else batch
    return cos[:rows].reshape(-1, cos.shape[-1]), sin[:rows].reshape(-1, sin.shape[-1])


def _is_supported_call(block: Block, hidden_states: torch.Tensor, options: dict[str, Any]) -> bool:
    """Return whether a call asks for nothing but hidden states, in the dtype of the block's weights."""
    return (
        options.get("position_embeddings") is not None
        and not options.get("use_cache")
        and options.get("past_key_values") is None
        and {_compute_dtype(hidden_states), block.first_norm.weight.dtype} == {hidden_states.dtype}
    )


def _compute_dtype(tensor: torch.Tensor) -> torch.dtype:
    """Return the dtype in which products of this tensor are computed, autocast considered."""
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype
