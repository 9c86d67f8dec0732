"""Carries out what core.runs.checkpointing decides, on fused blocks and on others."""

import functools
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from core.models.loading import resolve_dtype
from core.runs.checkpointing import Recompute, plan, room_of
from core.runs.config import QLoRAConfig
from core.runs.forecast import shape_of
from core.train.kernels.activation_offload import ActivationOffload
from core.train.kernels.block import Block

_CHUNK = 2048  # tokens that a fused MLP takes at a time where memory is what is short
_STEP = 512  # tokens by which batches are told apart


class Planner:
    """Sets what each block recomputes, batch by batch: short ones leave room to keep what long ones cannot."""

    def __init__(
        self,
        config: QLoRAConfig,
        model: torch.nn.Module,
        blocks: list[Block],
        rows: list[dict[str, Any]],
        packed: bool = True,
    ):
        """
        Args:
            packed: whether rows lie end to end.
            blocks: those of the model that are fused.
            rows: what it will train on.
        """
        self._config, self._layers = config, _layers(model)
        self._fused = {block.layer: block for block in blocks}
        self._offload = ActivationOffload()
        self._room = None
        if torch.cuda.is_available():
            self._room = room_of(config, torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved())
        try:
            self._shape = shape_of(model.config)
        except ValueError:
            self._shape = None
        self._bytes = getattr(torch, resolve_dtype(config.compute_dtype)[0]).itemsize
        lengths = sorted((len(row["input_ids"]) for row in rows), reverse=True)[: config.rows_per_gpu]
        self.longest = self._plan(sum(lengths) if packed else max(lengths, default=0) * len(lengths))
        self._set: Recompute | None = None
        self._apply(self.longest)

    def prepare(self, tokens: int) -> None:
        """For a batch of so many tokens, padding included."""
        if self.longest.blocks and self._config.gradient_checkpointing == "auto":
            self._apply(self._plan(-(-tokens // _STEP) * _STEP))

    @functools.lru_cache(maxsize=256)  # noqa: B019  lives as long as its trainer
    def _plan(self, tokens: int) -> Recompute:
        fused = bool(self._fused)
        return plan(self._config, self._shape, len(self._layers), self._room, fused, tokens, self._bytes)

    def _apply(self, chosen: Recompute) -> None:
        if self._set and (chosen.blocks, chosen.offload) == (self._set.blocks, self._set.offload):
            return
        self._set = chosen
        offload = self._offload if chosen.offload else None
        for number, layer in enumerate(self._layers):
            again = number < chosen.blocks
            if block := self._fused.get(layer):
                # the last one's backward pass comes at once: to keep takes no more than to make again
                block.keep = not again or (number + 1 == len(self._layers) and not offload)
                block.offload, block.scratch.tight = offload, offload is not None
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
