"""Plan of gradient checkpointing: how many transformer blocks recompute their activations.

Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174) works by block here: the first `blocks` of `total` blocks
keep only their input and recompute the rest in the backward pass. The first blocks are chosen because their backward
passes run last, when the activations of the other blocks are freed already. "auto" takes the smallest number of blocks
with which the memory forecast (core/runs/forecast.py) fits the GPU.
"""

from dataclasses import dataclass
from typing import Any

from core.models import fast_paths
from core.models.shape import ModelShape
from core.runs.config import QLoRAConfig, applies
from core.runs.forecast import MARGIN, forecast

_GIB = 2**30


@dataclass(frozen=True)
class Recompute:
    """Plan of one run, or of one batch.

    Attributes:
        blocks: Number of blocks that are recomputed.
        total: Number of blocks of the model.
        offload: Whether the kept inputs of these blocks move to the machine's memory.
        why: Reason for the choice.
    """

    blocks: int
    total: int
    offload: bool
    why: str

    @property
    def text(self) -> str:
        """Return the plan as a sentence with its reason."""
        extent = "off" if not self.blocks else "on"
        if 0 < self.blocks < self.total:
            extent = f"on for up to {self.blocks} of {self.total} blocks, as many as a batch needs"
        offload = ", the kept inputs move to the machine's memory" if self.offload else ""
        return f"Gradient checkpointing is {extent}{offload} ({self.why})."


def fuses(config: QLoRAConfig, model_config: Any) -> bool:
    """Return whether a run on a GPU will use the fused blocks.

    This predicts, from settings and the model's config alone, what `core.models.fast_paths.unfused_reason` decides
    block by block.

    Args:
        config: The settings of the run.
        model_config: The model's `PretrainedConfig`.
    """
    plain_lora = not (config.lora_dora or config.lora_bias != "none")
    # These modules are outside the blocks, so training them fully does not change a fused block.
    are_outside = {"lm_head", "embed_tokens", "norm"}.issuperset(config.whole_modules)
    wanted = config.kernels == "auto" and not config.classifies
    supported = wanted and config.quantization != "int8" and plain_lora and are_outside
    return supported and fast_paths.will_fuse(model_config)


def memory_budget(config: QLoRAConfig, free: int) -> int:
    """Return how many of `free` bytes the run may take: at most its setting “GPU memory”, where that applies."""
    is_limited = config.gpu_memory > 0 and applies("gpu_memory", config.model_dump())
    return min(free, round(config.gpu_memory * _GIB)) if is_limited else free


def plan(
    config: QLoRAConfig, shape: ModelShape | None, total: int, budget: int | None, fused: bool, tokens: int,
    dtype_bytes: int = 2,
) -> Recompute:  # fmt: skip
    """Return the plan for a batch.

    Args:
        config: The settings of the run.
        shape: The model's sizes; None for a model without a forecast.
        total: Number of blocks of the model.
        budget: Bytes of the GPU that the run may take, weights included; None without a GPU.
        fused: Whether the blocks are fused.
        tokens: Tokens of the batch; for a plan of the whole run, of the longest batch.
        dtype_bytes: Bytes per number of the compute dtype.
    """
    wish = config.gradient_checkpointing
    if wish == "offload":
        why = "as configured" if budget is not None else "offload needs a GPU, so nothing is moved"
        return Recompute(total, total, budget is not None, why)
    if wish != "auto":
        return Recompute(total if wish == "on" else 0, total, False, "as configured")
    if budget is None:
        return Recompute(0, total, False, "auto: without a GPU, speed matters more than memory")
    if shape is None:
        return Recompute(
            total, total, False, "auto: this kind of model has no memory forecast, and memory may be short"
        )

    def needs(blocks: int) -> float:
        return forecast(shape, config, blocks, dtype_bytes, fused, tokens).device

    limit = budget * (1 - MARGIN)
    blocks = next((count for count in range(total) if needs(count) <= limit), total)
    sizes = f"a batch of {tokens:,} tokens then takes {needs(blocks) / _GIB:.1f} of {budget / _GIB:.1f} GiB"
    if needs(blocks) > limit:
        sizes += ", which may not fit"
    return Recompute(blocks, total, False, f"auto: {sizes}")
