"""Carries out what core.runs.recompute decides, on fused blocks and on others."""

import functools
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from core.models.loading import resolve_dtype
from core.runs.config import QLoRAConfig
from core.runs.forecast import shape_of
from core.runs.recompute import Recompute, plan
from core.train.kernels.block import Block
from core.train.kernels.offload import Offload

_CHUNK = 2048  # tokens that a fused MLP takes at a time where memory is what is short


def decide(config: QLoRAConfig, model: torch.nn.Module, fused: bool, rows: list[dict[str, Any]]) -> Recompute:
    """For a loaded model and the rows it will train on."""
    try:
        shape = shape_of(model.config)
    except ValueError:
        shape = None
    lengths = sorted((len(row["input_ids"]) for row in rows), reverse=True)[: config.batch_size]
    tokens = sum(lengths) if config.packs else max(lengths, default=0) * len(lengths)
    room = None
    if torch.cuda.is_available():
        room = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
    dtype, _ = resolve_dtype(config.compute_dtype)
    return plan(config, shape, len(_layers(model)), room, fused, tokens, getattr(torch, dtype).itemsize)


def apply(chosen: Recompute, model: torch.nn.Module, blocks: list[Block]) -> None:
    """Set every block to keep its activations or to make them again."""
    offload = Offload() if chosen.offload else None
    layers = _layers(model)
    fused = {block.layer: block for block in blocks}
    for number, layer in enumerate(layers):
        again = number < chosen.blocks
        if block := fused.get(layer):
            block.keep, block.offload = not again, offload
            block.chunk = _CHUNK if offload else 0
            continue
        layer.gradient_checkpointing = again
        layer._gradient_checkpointing_func = _offloading if offload else _AGAIN


_AGAIN = functools.partial(checkpoint, use_reentrant=False)


def _offloading(*arguments: Any, **named: Any) -> Any:
    with torch.autograd.graph.save_on_cpu(pin_memory=True):
        return _AGAIN(*arguments, **named)


def _layers(model: torch.nn.Module) -> list[torch.nn.Module]:
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
