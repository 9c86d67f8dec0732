"""Plain LoRA with the dropout choices of the fused blocks, so that their results can be compared."""

import contextlib

import torch

from core.train.kernels import elementwise
from core.train.kernels.block import Block
from core.train.kernels.block_state import SEEDS_PER_CHUNK
from core.train.kernels.scratch import ScratchBuffers


class _MatchedDropout(torch.nn.Module):
    """Dropout whose mask is that of the fused kernels for the same seeds."""

    def __init__(self, share: float, seeds: list[int], size: int):
        super().__init__()
        self.share, self.seeds, self.size = share, seeds, size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        pieces = zip(torch.ones_like(flat).split(self.size), self.seeds, strict=True)
        mask = torch.cat([elementwise.dropout(ones, self.share, seed) for ones, seed in pieces])
        return (flat * mask).view(x.shape)


@contextlib.contextmanager
def match_fused_dropout(model: torch.nn.Module, share: float, tokens: int, chunk: int = 0):
    """Give LoRA's dropout in `model` the choices of the fused blocks after the same torch.manual_seed.

    Args:
        model: A PEFT model that is not fused.
        share: Dropout probability.
        tokens: Tokens of the batch.
        chunk: Tokens that the fused MLP takes at a time; 0 takes all.
    """
    found = []
    for layer in model.get_base_model().model.layers:
        seed, block = int(torch.randint(2**33, 2**62, ())), Block(layer, ScratchBuffers())
        for group in block.groups:
            whole = group.name in ("qkv", "o") or not chunk
            size = tokens if whole else chunk
            for number, part in enumerate(group.parts):
                if part.rank:
                    first = seed + group.seed_offset + number
                    seeds = [first + SEEDS_PER_CHUNK * piece for piece in range(-(-tokens // size))]
                    found.append((part.module.lora_dropout, _MatchedDropout(share, seeds, size)))
    plain = [dropouts["default"] for dropouts, _ in found]
    for dropouts, alike in found:
        dropouts["default"] = alike
    try:
        yield
    finally:
        for (dropouts, _), before in zip(found, plain, strict=True):
            dropouts["default"] = before
