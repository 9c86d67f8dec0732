"""Arguments of a fused block's forward pass, and the tensors it saves for its backward pass."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

# Dropout seeds that one pass over a block reserves. A projection takes seed + group offset + number in its group, which
# is at most seed + 12.
SEEDS_PER_CHUNK = 16


@dataclass
class CallContext:
    """Arguments of one forward pass of a fused block.

    Attributes:
        batch: Rows of the batch; 1 where rows lie end to end.
        cos: (positions, head width), of the rotary embedding.
        sin: Like `cos`.
        attend: Attention, from query, key and value, each (batch, heads, length, head width), to (batch, length,
            heads, head width).
        training: Whether a backward pass will follow.
        seed: First of the seeds of LoRA's dropout, which no other block uses: `SEEDS_PER_CHUNK` for each chunk of the
            MLP's tokens. None without dropout.
    """

    batch: int
    cos: torch.Tensor
    sin: torch.Tensor
    attend: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    training: bool
    seed: int | None = None

    def chunk_seed(self, chunk: int) -> int | None:
        """Return the dropout seed of a chunk of the MLP's tokens."""
        return None if self.seed is None else self.seed + SEEDS_PER_CHUNK * chunk


@dataclass
class AttentionState:
    """Tensors saved by the attention half for the backward pass.

    Attributes:
        rstd: (tokens,), float32, of the first norm.
        leaves: Query, key and value, each (batch, heads, length, head width), views of one product.
        out: (batch, length, heads, head width), the attended values, with the graph that leads to the leaves.
        qkv_hidden: (tokens, columns), x Aᵀ of query, key and value; None without LoRA.
        o_hidden: (tokens, columns), the same of the output projection.
        residual: (tokens, hidden), the residual stream after attention.
    """

    rstd: torch.Tensor
    leaves: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    out: torch.Tensor
    qkv_hidden: torch.Tensor | None
    o_hidden: torch.Tensor | None
    residual: torch.Tensor


@dataclass
class MLPState:
    """Tensors saved by the MLP half for the backward pass, of one chunk of tokens.

    Attributes:
        rstd: (tokens,), float32, of the second norm.
        gate_up: (tokens, 2 · intermediate).
        hidden: (tokens, columns), x Aᵀ of gate and up; None without LoRA.
        down_hidden: (tokens, columns), the same of down; None without LoRA, and where it is yet to be computed.
    """

    rstd: torch.Tensor
    gate_up: torch.Tensor
    hidden: torch.Tensor | None
    down_hidden: torch.Tensor | None
