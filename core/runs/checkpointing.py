"""Plan of gradient checkpointing: how many transformer blocks recompute their activations.

Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174) works by block here: the first `blocks` of `of` blocks keep
only their input and recompute the rest in the backward pass. The first blocks are chosen because their backward passes
run last, when the activations of the other blocks are freed already. "auto" takes the smallest number of blocks with
which the memory forecast (core/runs/forecast.py) fits the GPU.
"""

from dataclasses import dataclass
from typing import Any

from core.runs.config import QLoRAConfig
from core.runs.forecast import MARGIN, Shape, forecast

_GIB = 2**30


@dataclass(frozen=True)
class Recompute:
    """Plan of one run, or of one batch.

    Attributes:
        blocks: number of blocks that are recomputed.
        of: number of blocks of the model.
        offload: whether the kept inputs of these blocks move to the machine's memory.
        why: reason for the choice.
    """

    blocks: int
    of: int
    offload: bool
    why: str

    @property
    def text(self) -> str:
        """Return the plan as a sentence with its reason."""
        extent = "off" if not self.blocks else "on"
        if 0 < self.blocks < self.of:
            extent = f"on for up to {self.blocks} of {self.of} blocks, as many as a batch needs"
        offload = ", the kept inputs move to the machine's memory" if self.offload else ""
        return f"Gradient checkpointing is {extent}{offload} ({self.why})."


def fuses(config: QLoRAConfig, model_config: Any) -> bool:
    """Return whether a run on a GPU will use the fused blocks.

    This predicts, from the model's config alone, what `core.train.kernels.patch` decides module by module.
    """
    text = model_config.get_text_config()
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    biased = any(getattr(text, name, False) for name in ("attention_bias", "mlp_bias", "attention_dropout"))
    plain_lora = not (config.lora_dora or config.lora_bias != "none")
    # Modules outside the blocks; training these whole does not touch a fused block.
    whole = {"lm_head", "embed_tokens", "norm"}
    return (
        config.kernels == "auto" and text.model_type == "llama" and getattr(text, "hidden_act", "") == "silu"
        and not biased and width & (width - 1) == 0 and plain_lora and config.quantization != "int8"
        and whole.issuperset(config.whole_modules)
    )  # fmt: skip


def room_of(config: QLoRAConfig, free: int) -> int:
    """Return how many of `free` bytes the run may take, by its setting GPU memory."""
    return min(free, round(config.gpu_memory * _GIB)) if config.gpu_memory else free


def plan(
    config: QLoRAConfig, shape: Shape | None, of: int, room: int | None, fused: bool, tokens: int, dtype_bytes: int = 2
) -> Recompute:
    """Return the plan for a batch.

    Args:
        config: The settings of the run.
        shape: The model's sizes; None for a model without a forecast.
        of: Number of blocks of the model.
        room: Bytes of the GPU that the run may take, weights included; None without a GPU.
        fused: Whether the blocks are fused.
        tokens: Tokens of the batch; for a plan of the whole run, of the longest batch.
        dtype_bytes: Bytes per number of the compute dtype.
    """
    wish = config.gradient_checkpointing
    if wish == "offload":
        return Recompute(
            of,
            of,
            room is not None,
            "as configured" if room is not None else "offloading needs a GPU, so it is only on",
        )
    if wish != "auto":
        return Recompute(of if wish == "on" else 0, of, False, "as configured")
    if room is None:
        return Recompute(0, of, False, "auto: without a GPU, speed matters more than memory")
    if shape is None:
        return Recompute(of, of, False, "auto: this kind of model has no memory forecast, and memory may be short")

    def needs(blocks: int) -> float:
        return forecast(shape, config, blocks, dtype_bytes, fused, tokens).device

    may = room * (1 - MARGIN)
    blocks = next((count for count in range(of) if needs(count) <= may), of)
    sizes = f"a batch of {tokens:,} tokens then takes {needs(blocks) / _GIB:.1f} of {room / _GIB:.1f} GiB"
    if needs(blocks) > may:
        sizes += ", which may not fit"
    return Recompute(blocks, of, False, f"auto: {sizes}")
