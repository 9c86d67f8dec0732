"""Forecast of a run's peak GPU memory: weights, adapters, gradients, optimizer state, activations, workspace.

All terms are arithmetic over the model's sizes. The factors of the activations were fitted to measurements of one
forward and backward pass on an H100 (bench/card_memory.py --grid): Llama shapes of 1.1 and 7 billion weights, packed
rows, 512 to 8,192 tokens, with and without gradient checkpointing. Other families and unpacked rows are not measured.

T is the tokens of the batch, h the hidden width, m the MLP width, q the width of all query heads, kv that of all key
heads, L the blocks, R of them recomputed. Activations have 2 bytes per number (bfloat16).

| term                                      | tensors                                               | bytes            |
|-------------------------------------------|-------------------------------------------------------|------------------|
| blocks of transformers                    |                                                       |                  |
| (L - R) T 2 (4m + 9.74h + 1.72kv)         | gate, up, their product, SwiGLU; norms, residual      | per kept block   |
|                                           | stream, query, attended values; key and value         |                  |
| R T 2 h                                   | input of each recomputed block                        | per block        |
| T 2 (5m + 13h + 2kv), times 1.3 in the    | activations and their gradients of the one block that | one block        |
| first block's backward pass               | is recomputed                                         |                  |
| 2 h m, times 0.4 beside a recomputed one  | one weight matrix, unpacked from 4 bits               | once             |
| fused blocks                              |                                                       |                  |
| (L - R) T 2 (2h + 2q + 2kv + 2m + 256)    | input, middle residual; query, attended values; key,  | per kept block   |
|                                           | value; gate, up; x Aᵀ of LoRA (4 groups of 64)        |                  |
| R T 2 h (2 T 2 h with offload)            | input of each recomputed block (two in flight)        | per block        |
| T 2 (m + 7h), + m with dropout            | SwiGLU's product; norms and gradients of the residual | one block        |
| T 2 (3m + 6h + 2q + 2kv), + m with dropout| the same for a recomputed block, with gate, up and    | one block        |
|                                           | the attention's inputs and gradients                  |                  |
| 2 (2m + q + 2kv) (h + 64)                 | unpacked weights of gate and up, and of query, key    | once             |
|                                           | and value, side by side, with 64 adapter columns      |                  |
| 2 (h (q + 64) + h (m + 64))               | unpacked weights of the output and down projections   | once, no offload |
| any blocks                                |                                                       |                  |
| 64 MiB, and 96 MiB for fused blocks       | cuBLAS workspaces of the two threads; small tensors   | once             |
| 4 per adapter weight                      | gradients, kept during the backward pass              | once             |
| 450 MiB                                   | CUDA context and kernels, outside torch's allocator   | once             |
| times 1.06                                | fragmentation of torch's allocator                    | of the total     |
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from core.models.shape import ModelShape
from core.runs.config import QLoRAConfig
from core.runs.config.lora import ALL_LINEAR, ATTENTION, MLP
from core.system.counting import counted

_MIB = 2**20
# Bytes of optimizer state per adapter weight on the GPU; paged state moves to the machine's memory when it is needed.
_STATE_BYTES = {
    "adamw": 8.0, "adamw_8bit": 2.1, "paged_adamw_32bit": 0.0, "paged_adamw_8bit": 0.0, "adafactor": 0.1, "lion": 4.0,
    "lion_8bit": 1.05, "paged_lion_8bit": 0.0,
}  # fmt: skip
# cuBLAS workspace.
_WORKSPACE = 64 * _MIB
# A second cuBLAS workspace, because autograd runs the backward pass in its own thread, and small tensors.
_BACKWARD_WORKSPACE = 96 * _MIB
# CUDA context and loaded kernels, outside torch's allocator.
CONTEXT = 450 * _MIB
# Reserved memory of torch's allocator divided by its peak of allocated memory, with expandable segments.
FRAGMENTATION = 1.06
# Fraction of the GPU that a run leaves free.
MARGIN = 0.05


@dataclass(frozen=True)
class Forecast:
    """Bytes of a run by purpose."""

    parts: dict[str, float]

    @property
    def total(self) -> float:
        """Return the peak of torch's allocator in bytes."""
        return sum(self.parts.values())

    @property
    def device(self) -> float:
        """Return the bytes that the GPU must have, with fragmentation and the CUDA context."""
        return self.total * FRAGMENTATION + CONTEXT


def forecast(
    shape: ModelShape,
    config: QLoRAConfig,
    checkpointing: bool | int,
    dtype_bytes: int = 2,
    fused: bool = False,
    tokens: int | None = None,
) -> Forecast:
    """Return the peak memory of a run on a GPU, or on each of several that share the batch.

    Args:
        shape: The model's sizes.
        config: The settings of the run.
        checkpointing: Whether activations are recomputed, or in how many blocks.
        dtype_bytes: Bytes per number of the compute dtype.
        fused: Whether the blocks are those of core/train/kernels.
        tokens: Tokens of the longest batch on one GPU; None: rows of the maximum length.
    """
    blocks = shape.layers * checkpointing if isinstance(checkpointing, bool) else checkpointing
    trained = _trained(shape, config)
    tokens = tokens or config.rows_per_gpu * config.max_length
    # Without accumulation, float32 gradients appear during the backward pass, block by block, so that they only
    # overlap with the activations of the first blocks.
    late = trained * 4.0 * (config.gradient_accumulation == 1)
    if fused:
        offload = config.gradient_checkpointing == "offload"
        activations = _fused_activations(shape, tokens, late, blocks, offload, config.lora_dropout > 0)
    else:
        activations = _activations(shape, tokens, late, blocks)
    return Forecast(
        {
            "weights": _base_bytes(shape, config, dtype_bytes),
            "adapters": trained * 4.0,
            # With accumulation, gradients exist during all passes of an update.
            "gradients": trained * 4.0 * (config.gradient_accumulation > 1),
            "optimizer": trained * _STATE_BYTES[config.optimizer],
            "activations": activations * dtype_bytes / 2,
            "workspace": _WORKSPACE,
        }
    )


def _base_bytes(shape: ModelShape, config: QLoRAConfig, dtype_bytes: int) -> float:
    """Return the bytes of the base model: the blocks' linear layers, embeddings and norms."""
    linear = sum(wide * high for wide, high in shape.linears.values()) * shape.layers
    # Embeddings, output layer and norms stay in the compute dtype.
    outside = shape.vocabulary * shape.hidden * (1 if shape.is_tied else 2) + (2 * shape.layers + 1) * shape.hidden
    return linear * _weight_bytes(config, dtype_bytes) + outside * dtype_bytes


def _weight_bytes(config: QLoRAConfig, dtype_bytes: int) -> float:
    """Return the bytes per weight of a linear layer.

    NF4 and FP4 have 4 bits per weight and a float32 scale per 64 weights. With double quantization the scale
    has 8 bits, with a float32 scale per 256 scales (Dettmers et al. 2023, section 3). int8 adds a scale per output row.
    """
    if config.quantization in ("nf4", "fp4"):
        return 0.5 + (1 / 64 + 4 / (64 * 256) if config.double_quantization else 4 / 64)
    return 1.002 if config.quantization == "int8" else dtype_bytes


def _trained(shape: ModelShape, config: QLoRAConfig) -> int:
    """Return the number of trained parameters, estimated from the names of the targets."""
    attention, mlp = ["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"]
    groups = {ALL_LINEAR: attention + mlp, ATTENTION: attention, MLP: mlp}
    targets = {part for name in config.target_names for part in groups.get(name, [name.rpartition(".")[2]])}
    names = [name for name in shape.linears if name in targets]
    # LoRA on a layer of (in, out) has rank × in + out × rank weights.
    per_block = sum(sum(shape.linears[name]) for name in names) * config.lora_rank
    magnitudes = sum(shape.linears[name][1] for name in names) * config.lora_dora
    whole = {"lm_head": shape.vocabulary * shape.hidden, "embed_tokens": shape.vocabulary * shape.hidden}
    return (per_block + magnitudes) * shape.layers + sum(whole.get(name, 0) for name in config.whole_modules)


def _activations(shape: ModelShape, tokens: int, late: float, blocks: int) -> float:
    """Return the bytes of activations of transformers' blocks, `blocks` of them recomputed."""
    h, m, kv = shape.hidden, shape.intermediate, shape.key_width
    # One weight matrix, unpacked for its matrix product.
    unpacked = 2.0 * h * m
    kept = (shape.layers - blocks) * tokens * 2.0 * (4 * m + 9.74 * h + 1.72 * kv)
    if not blocks:
        return kept + unpacked
    # Activations and gradients of the one block that is recomputed at a time.
    live = tokens * 2.0 * (5 * m + 13 * h + 2 * kv)
    inputs = blocks * tokens * 2.0 * h
    # The backward pass of the first block comes last, when the adapter gradients of all other blocks exist. The peak is
    # at the end of the forward pass, at the first recomputed block, or here.
    end = live * 1.3 + unpacked + late
    return max(inputs + (kept + unpacked if kept else live + 0.4 * unpacked), inputs + live + 0.4 * unpacked, end)


def _fused_activations(
    shape: ModelShape, tokens: int, late: float, blocks: int, has_offload: bool, has_dropout: bool
) -> float:
    """Return the bytes of activations of the fused blocks: the tensors of core/train/kernels/block.py at its peak."""
    h, m, q, kv = shape.hidden, shape.intermediate, shape.query_width, shape.key_width
    # Gate and up share one buffer for unpacked weights; query, key and value another. 64 columns hold the adapter.
    unpacked = 2.0 * (2 * m + q + 2 * kv) * (h + 64) + _BACKWARD_WORKSPACE
    if not has_offload:
        # The output and down projections have buffers of their own; with offload they share the others.
        unpacked += 2.0 * (h * (q + 64) + h * (m + 64))
    bytes_per_column = 2.0 * tokens
    kept = (shape.layers - blocks) * bytes_per_column * (2 * h + 2 * q + 2 * kv + 2 * m + 256)
    inputs = (2 if has_offload else blocks) * bytes_per_column * h
    # With dropout, the input of the down projection exists twice: whole, and with dropped values.
    left = m * has_dropout
    live = bytes_per_column * (m + 7 * h + left)
    if not blocks:
        return kept + live + unpacked
    again = bytes_per_column * (3 * m + 6 * h + 2 * q + 2 * kv + left)
    if has_offload:
        # With offload the MLP runs over 2,048 tokens at a time. The peak is in the MLP or in the attention.
        piece = 2.0 * min(tokens, 2048)
        again = max(
            piece * (3 * m + 3 * h + left) + bytes_per_column * (6 * h + 2 * q + 2 * kv),
            bytes_per_column * (6 * h + 3 * q + 4 * kv),
        )
    return max(inputs + kept + live * (kept > 0), inputs + again) + unpacked + late


def find_smaller_settings(
    shape: ModelShape, config: QLoRAConfig, has_checkpointing: bool, free: float, fused: bool = False
) -> tuple[dict[str, Any], str] | None:
    """Return the smallest change of settings with which a run fits, and what it does; None if nothing helps.

    Changes that keep the result come first: recomputing, offloading, then smaller passes with as many rows per update.
    A paged optimizer and shorter rows come last.

    Args:
        shape: The model's sizes.
        config: The settings of the run.
        has_checkpointing: Whether the run recomputes activations already.
        free: Bytes of the GPU that the run may use.
        fused: Whether the blocks are fused.
    """

    def fits(changes: dict[str, Any]) -> bool:
        changed = config.model_copy(update=changes)
        wish = changed.gradient_checkpointing
        on = wish in ("on", "offload") or (has_checkpointing and wish == "auto")
        return forecast(shape, changed, on, fused=fused).device <= free

    return next((change for change in _smaller_settings(config, has_checkpointing, fused) if fits(change[0])), None)


def _smaller_settings(
    config: QLoRAConfig, has_checkpointing: bool, fused: bool
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield changes of settings, each with less memory than the one before, and what each does.

    Every change includes the ones before it.
    """
    changes: dict[str, Any] = {}
    if not has_checkpointing:
        changes |= {"gradient_checkpointing": "on"}
        yield dict(changes), "recompute activations: a third slower, the same losses"
    if fused and config.gradient_checkpointing != "offload":
        changes |= {"gradient_checkpointing": "offload"}
        yield dict(changes), "keep the blocks' inputs in the machine's memory: slightly slower, the same losses"
    batch, passes = config.batch_size, config.gradient_accumulation
    while batch > config.gpus:
        # Half of the batch, rounded up to a multiple of the GPUs.
        batch, passes = -(-batch // (2 * config.gpus)) * config.gpus, passes * 2
        changes |= {"batch_size": batch, "gradient_accumulation": passes}
        rows = counted(batch, "row")
        text = f"{rows} per pass and {passes} passes per update: at least as many rows per update as before"
        yield dict(changes), text
    changes |= {"optimizer": "paged_adamw_8bit"}
    yield dict(changes), "an optimizer with 8-bit state, which can move out of the GPU"
    length = config.max_length
    while length > 256:
        length //= 2
        changes |= {"max_length": length}
        yield dict(changes), f"rows of at most {length:,} tokens: longer ones are truncated"
