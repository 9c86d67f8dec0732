"""How much memory a run will take, before it is started: weights, adapters, optimiser, activations, and what is left.

The figures are arithmetic over the model's shape. The constants of the activations were fitted to measurements of one
forward and backward pass on an H100 (bench/card_memory.py --grid): Llama shapes of 1.1 and 7 billion weights, rows laid
end to end, 512 to 8,192 tokens, with and without gradient checkpointing.
"""

from dataclasses import dataclass
from typing import Any

from core.runs.config import QLoRAConfig
from core.runs.config.lora import ALL_LINEAR, ATTENTION, MLP

_MIB = 2**20
# Bytes an adapter weight's optimiser state takes on the GPU; paged state moves out when room is short.
_STATE_BYTES = {
    "adamw": 8.0, "adamw_8bit": 2.1, "paged_adamw_32bit": 0.0, "paged_adamw_8bit": 0.0, "adafactor": 0.1, "lion": 4.0,
    "lion_8bit": 1.05, "paged_lion_8bit": 0.0,
}  # fmt: skip
_WORKSPACE = 64 * _MIB  # what cuBLAS keeps
_BESIDE = 96 * _MIB  # what cuBLAS keeps more for a backward pass in a thread of its own, and small pieces
CONTEXT = 450 * _MIB  # what CUDA and its kernels take beside torch's allocator
FRAGMENTED = 1.06  # torch's allocator holds this much more than its peak, with segments that can grow
MARGIN = 0.05  # of the card that is left free


@dataclass(frozen=True)
class Shape:
    """What of a Llama-like model decides its memory. All sizes count numbers, not bytes."""

    layers: int
    hidden: int
    intermediate: int
    query: int  # heads × head width
    key: int  # key-value heads × head width
    vocabulary: int
    tied: bool

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """(in, out) of the linear layers of one block."""
        h, m = self.hidden, self.intermediate
        return {
            "q_proj": (h, self.query), "k_proj": (h, self.key), "v_proj": (h, self.key), "o_proj": (self.query, h),
            "gate_proj": (h, m), "up_proj": (h, m), "down_proj": (m, h),
        }  # fmt: skip


def shape_of(config: Any) -> Shape:
    """From a transformers config. Raises ValueError when it lacks what a Llama has."""
    text = config.get_text_config()
    try:
        heads = text.num_attention_heads
        width = getattr(text, "head_dim", None) or text.hidden_size // heads
        keys = getattr(text, "num_key_value_heads", None) or heads
        return Shape(
            layers=text.num_hidden_layers,
            hidden=text.hidden_size,
            intermediate=text.intermediate_size,
            query=heads * width,
            key=keys * width,
            vocabulary=text.vocab_size,
            tied=bool(getattr(text, "tie_word_embeddings", False)),
        )
    except AttributeError as error:
        raise ValueError(f"no forecast for a model without {error.name}") from error


@dataclass(frozen=True)
class Forecast:
    """Bytes by what they are for; `total` is the peak of torch's allocator, `device` what the card must have."""

    parts: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.parts.values())

    @property
    def device(self) -> float:
        return self.total * FRAGMENTED + CONTEXT


def forecast(
    shape: Shape,
    config: QLoRAConfig,
    checkpointing: bool | int,
    dtype_bytes: int = 2,
    fused: bool = False,
    tokens: int | None = None,
) -> Forecast:
    """The peak memory of a run on a GPU; on each, where several share the batch.

    Args:
        checkpointing: whether activations are recomputed, or of how many blocks.
        fused: whether the blocks are those of core/train/kernels.
        tokens: of the longest batch, one GPU's share of it; None: rows at the maximum length.
    """
    blocks = shape.layers * checkpointing if isinstance(checkpointing, bool) else checkpointing
    linear = sum(wide * high for wide, high in shape.linears.values()) * shape.layers
    outside = shape.vocabulary * shape.hidden * (1 if shape.tied else 2) + (2 * shape.layers + 1) * shape.hidden
    trained = _trained(shape, config)
    tokens = tokens or config.rows_per_gpu * config.max_length
    late = trained * 4.0 * (config.gradient_accumulation == 1)  # gradients that only stand when the backward pass ends
    if fused:
        offload = config.gradient_checkpointing == "offload"
        activations = _fused_activations(shape, tokens, late, blocks, offload, config.lora_dropout > 0)
    else:
        activations = _activations(shape, tokens, late, blocks)
    return Forecast(
        {
            "weights": linear * _weight_bytes(config, dtype_bytes) + outside * dtype_bytes,
            "adapters": trained * 4.0,
            # with several passes an update they stand from its first to its last
            "gradients": trained * 4.0 * (config.gradient_accumulation > 1),
            "optimiser": trained * _STATE_BYTES[config.optimizer],
            "activations": activations * dtype_bytes / 2,
            "workspace": _WORKSPACE,
        }
    )


def _weight_bytes(config: QLoRAConfig, dtype_bytes: int) -> float:
    """Bytes a weight of a linear layer: 4 bits and a scale a block of 64, itself quantised with double quantization
    (Dettmers et al. 2023, section 3)."""
    if config.quantization in ("nf4", "fp4"):
        return 0.5 + (1 / 64 + 4 / (64 * 256) if config.double_quantization else 4 / 64)
    return 1.002 if config.quantization == "int8" else dtype_bytes


def _trained(shape: Shape, config: QLoRAConfig) -> int:
    attention, mlp = ["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"]
    groups = {ALL_LINEAR: attention + mlp, ATTENTION: attention, MLP: mlp}
    targets = {part for name in config.target_names for part in groups.get(name, [name.rpartition(".")[2]])}
    names = [name for name in shape.linears if name in targets]
    a_layer = sum(sum(shape.linears[name]) for name in names) * config.lora_rank
    magnitudes = sum(shape.linears[name][1] for name in names) * config.lora_dora
    whole = {"lm_head": shape.vocabulary * shape.hidden, "embed_tokens": shape.vocabulary * shape.hidden}
    return (a_layer + magnitudes) * shape.layers + sum(whole.get(name, 0) for name in config.whole_modules)


def _activations(shape: Shape, tokens: int, late: float, blocks: int) -> float:
    """Of transformers' own blocks, `blocks` of them recomputed."""
    h, m, kv = shape.hidden, shape.intermediate, shape.key
    unpacked = 2.0 * h * m  # one weight matrix, dequantised for its product
    kept = (shape.layers - blocks) * tokens * 2.0 * (4 * m + 9.74 * h + 1.72 * kv)
    if not blocks:
        return kept + unpacked
    live = tokens * 2.0 * (5 * m + 13 * h + 2 * kv)  # one block's, recomputed
    inputs = blocks * tokens * 2.0 * h
    # the first block's backward pass comes when all gradients stand, but for those that stood before
    end = live * 1.3 + unpacked + late
    return max(inputs + (kept + unpacked if kept else live + 0.4 * unpacked), inputs + live + 0.4 * unpacked, end)


def _fused_activations(shape: Shape, tokens: int, late: float, blocks: int, offload: bool, drops: bool) -> float:
    """Of the fused blocks: what core/train/kernels/block.py holds at its peak, and what measuring added to it."""
    h, m, q, kv = shape.hidden, shape.intermediate, shape.query, shape.key
    unpacked = 2.0 * (2 * m + q + 2 * kv) * (h + 64) + _BESIDE  # gate and up, side by side; query, key and value
    if not offload:
        unpacked += 2.0 * (h * (q + 64) + h * (m + 64))  # out and down in places of their own
    a_token = 2.0 * tokens
    kept = (shape.layers - blocks) * a_token * (2 * h + 2 * q + 2 * kv + 2 * m + 256)
    inputs = (2 if offload else blocks) * a_token * h
    left = m * drops  # an input with some of it dropped
    live = a_token * (m + 7 * h + left)
    if not blocks:
        return kept + live + unpacked
    again = a_token * (3 * m + 6 * h + 2 * q + 2 * kv + left)
    if offload:
        piece = 2.0 * min(tokens, 2048)
        again = max(
            piece * (3 * m + 3 * h + left) + a_token * (6 * h + 2 * q + 2 * kv), a_token * (6 * h + 3 * q + 4 * kv)
        )
    return max(inputs + kept + live * (kept > 0), inputs + again) + unpacked + late


def smaller(
    shape: Shape, config: QLoRAConfig, checkpointing: bool, free: float, fused: bool = False
) -> tuple[dict[str, Any], str] | None:
    """The smallest change that makes a run fit into `free` bytes of a card, and its reason; None when nothing does.

    What keeps the result as it is comes first: recomputing, then smaller passes with as many rows an update, then
    paged state; only then shorter rows.
    """

    def fits(changes: dict[str, Any]) -> bool:
        changed = config.model_copy(update=changes)
        wish = changed.gradient_checkpointing
        on = wish in ("on", "offload") or (checkpointing and wish == "auto")
        return forecast(shape, changed, on, fused=fused).device <= free

    changes: dict[str, Any] = {}
    if not checkpointing:
        changes["gradient_checkpointing"] = "on"
        if fits(changes):
            return changes, "recompute activations: slower by a third, the same losses"
    if fused and config.gradient_checkpointing != "offload":
        changes["gradient_checkpointing"] = "offload"
        if fits(changes):
            return changes, "keep the blocks' inputs in the machine's memory: a little slower, the same losses"
    batch, passes = config.batch_size, config.gradient_accumulation
    while batch > config.gpus:
        batch, passes = -(-batch // (2 * config.gpus)) * config.gpus, passes * 2
        changes |= {"batch_size": batch, "gradient_accumulation": passes}
        if fits(changes):
            return changes, f"{batch} rows a pass and {passes} passes an update: as many rows an update as before"
    changes["optimizer"] = "paged_adamw_8bit"
    if fits(changes):
        return changes, "the optimiser's state in 8 bits, out of the GPU when it must be"
    length = config.max_length
    while length > 256:
        length //= 2
        changes["max_length"] = length
        if fits(changes):
            return changes, f"rows of at most {length:,} tokens: longer ones are cut"
    return None
