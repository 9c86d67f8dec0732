"""How much of the activations a run makes again instead of keeping them: what fits the card asks for, and no more.

Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174) by block: of `of` blocks the first `blocks` keep only their
input. The first ones, because their backward passes come last, when what the others kept is gone.
"""

from dataclasses import dataclass
from typing import Any

from core.runs.config import QLoRAConfig
from core.runs.forecast import MARGIN, Shape, forecast

_GIB = 2**30


@dataclass(frozen=True)
class Recompute:
    """Attributes:
    blocks, of: how many blocks are recomputed, of how many.
    offload: whether what these keep goes to the machine's memory.
    """

    blocks: int
    of: int
    offload: bool
    why: str

    @property
    def text(self) -> str:
        said = "off" if not self.blocks else "on"
        if 0 < self.blocks < self.of:
            said = f"on for up to {self.blocks} of {self.of} blocks, as many as a batch asks for"
        kept = ", what is kept goes to the machine's memory" if self.offload else ""
        return f"Gradient checkpointing is {said}{kept} ({self.why})."


def fuses(config: QLoRAConfig, model_config: Any) -> bool:
    """Whether a run on a GPU will have the fused blocks; `core.train.kernels.patch` decides it module by module."""
    text = model_config.get_text_config()
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    biased = any(getattr(text, name, False) for name in ("attention_bias", "mlp_bias", "attention_dropout"))
    plain_lora = not (config.lora_dora or config.lora_bias != "none")
    whole = {"lm_head", "embed_tokens", "norm"}  # outside the blocks
    return (
        config.kernels == "auto" and text.model_type == "llama" and getattr(text, "hidden_act", "") == "silu"
        and not biased and width & (width - 1) == 0 and plain_lora and config.quantization != "int8"
        and whole.issuperset(config.whole_modules)
    )  # fmt: skip


def room_of(config: QLoRAConfig, free: int) -> int:
    """Bytes of `free` that the run may take."""
    return min(free, round(config.gpu_memory * _GIB)) if config.gpu_memory else free


def plan(
    config: QLoRAConfig, shape: Shape | None, of: int, room: int | None, fused: bool, tokens: int, dtype_bytes: int = 2
) -> Recompute:
    """What to recompute of a batch.

    Args:
        shape: None for a model without a forecast.
        of: blocks of the model.
        room: bytes of the card that the run may take, all its weights included; None without a GPU.
        tokens: of the batch; what the longest asks for is what a run has to have room for.
    """
    wish = config.gradient_checkpointing
    if wish == "offload":
        return Recompute(of, of, room is not None, "as configured" if room is not None else "without a GPU it is on")
    if wish != "auto":
        return Recompute(of if wish == "on" else 0, of, False, "as configured")
    if room is None:
        return Recompute(0, of, False, "auto: without a GPU, time is scarcer than memory")
    if shape is None:
        return Recompute(of, of, False, "auto: there is no forecast for this kind of model, and memory may be short")

    def needs(blocks: int) -> float:
        return forecast(shape, config, blocks, dtype_bytes, fused, tokens).device

    may = room * (1 - MARGIN)
    blocks = next((count for count in range(of) if needs(count) <= may), of)
    sizes = f"a batch of {tokens:,} tokens then takes {needs(blocks) / _GIB:.1f} of {room / _GIB:.1f} GiB"
    if needs(blocks) > may:
        sizes += ", which may be too much"
    return Recompute(blocks, of, False, f"auto: {sizes}")
