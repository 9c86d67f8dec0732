"""Application of the activation checkpointing plan to fused and other blocks, batch by batch.

core/runs/activation_checkpointing.py computes the plan from the memory forecast.
"""

import functools
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from core.models.loading import resolve_dtype
from core.models.shape import ModelShape
from core.runs.activation_checkpointing import Recompute, memory_budget, plan
from core.runs.config import QLoRAConfig
from core.train.kernels.activation_offload import ActivationOffload
from core.train.kernels.block import Block

# Tokens that a fused MLP takes at a time while activations are offloaded.
_MLP_CHUNK_TOKENS = 2048
# Batches are planned for a multiple of this many tokens, so that few different plans are computed.
_PLAN_STEP_TOKENS = 512


class Planner:
    """Decides for each batch which blocks recompute their activations: short batches may keep more than long ones.

    Attributes:
        longest: The plan of the largest batch that the rows can make.
    """

    def __init__(
        self,
        config: QLoRAConfig,
        model: torch.nn.Module,
        blocks: list[Block],
        rows: list[dict[str, Any]],
        packed: bool = True,
    ):
        """Plan the largest batch, and apply that plan.

        Args:
            config: The run's settings.
            model: The base model.
            blocks: The model's fused blocks.
            rows: Training rows.
            packed: Whether rows lie end to end, instead of being padded to the longest.
        """
        self._config, self._layers = config, _checkpointing_layers(model)
        self._fused = {block.layer: block for block in blocks}
        self._offload = ActivationOffload()
        # Bytes of the GPU that the run may take; what PyTorch has reserved is the run's already.
        self._budget = None
        if torch.cuda.is_available():
            self._budget = memory_budget(config, torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved())
        try:
            self._shape = ModelShape.from_config(model.config)
        except ValueError:
            self._shape = None
        self._dtype_bytes = getattr(torch, resolve_dtype(config.compute_dtype)[0]).itemsize
        lengths = sorted((len(row["input_ids"]) for row in rows), reverse=True)[: config.rows_per_gpu]
        self.longest = self._plan(sum(lengths) if packed else max(lengths, default=0) * len(lengths))
        self._applied: Recompute | None = None
        self._apply(self.longest)

    def prepare(self, tokens: int) -> None:
        """Set the blocks for a batch of `tokens` tokens, padding included."""
        if self.longest.blocks and self._config.gradient_checkpointing == "auto":
            self._apply(self._plan(-(-tokens // _PLAN_STEP_TOKENS) * _PLAN_STEP_TOKENS))

    # The cache holds `self`, which is harmless: a planner lives as long as its trainer.
    @functools.lru_cache(maxsize=256)  # noqa: B019
    def _plan(self, tokens: int) -> Recompute:
        is_fused = bool(self._fused)
        layers = len(self._layers)
        return plan(self._config, self._shape, layers, self._budget, is_fused, tokens, self._dtype_bytes)

    def _apply(self, chosen: Recompute) -> None:
        if self._applied and (chosen.blocks, chosen.offload) == (self._applied.blocks, self._applied.offload):
            return
        self._applied = chosen
        offload = self._offload if chosen.offload else None
        for number, layer in enumerate(self._layers):
            recomputes = number < chosen.blocks
            if block := self._fused.get(layer):
                # The backward pass of the last block comes at once: keeping takes no more memory than recomputing.
                block.keep = not recomputes or (number + 1 == len(self._layers) and not offload)
                block.offload, block.scratch.tight = offload, offload is not None
                block.chunk = _MLP_CHUNK_TOKENS if offload else 0
                continue
            layer.gradient_checkpointing = recomputes
            layer._gradient_checkpointing_func = _checkpoint_offloaded if offload else _checkpoint


# The reentrant variant needs inputs with gradients, which the first block of a frozen model does not have.
_checkpoint = functools.partial(checkpoint, use_reentrant=False)


def _checkpoint_offloaded(*arguments: Any, **options: Any) -> Any:
    """Checkpoint a block, and keep its input in the machine's memory instead of the GPU's."""
    with torch.autograd.graph.save_on_cpu(pin_memory=True):
        return _checkpoint(*arguments, **options)


def _checkpointing_layers(model: torch.nn.Module) -> list[torch.nn.Module]:
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
