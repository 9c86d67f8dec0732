"""Adapter slots: the LoRA factors of all loaded adapters in one tensor per projection group.

A sequence then needs only the number of its adapter's slot, and one kernel launch serves sequences of many adapters.

    a["qkv"]   (slots, 3 * rank, inputs)         A of q, k, v one below the other
    b["qkv"]   (slots, outputs, rank)            B of q, k, v one below the other, with the scale

Factors are padded with zeros to the largest rank; a projection that an adapter does not change has zeros only.
"""

import torch

from core.chat.adapters import Adapter
from core.chat.cuda.weights import GROUPS, Weights
from core.models.fast_paths import projection_names

# Minimum number of ranks of a tensor-core product.
_RANK_STEP = 16


class AdapterSlots:
    """LoRA factors by slot, in the model's dtype.

    Attributes:
        rank: Rank that all factors are padded to: a power of two, at least 16; 0 before the first adapter.
        a: Per block and group (slots, projections * rank, inputs); columns in paired order if the weights are packed.
        b: Per block and group (slots, outputs, rank).
        version: Changes whenever the tensors are reallocated, so that captured CUDA graphs must be rebuilt.
    """

    def __init__(self, weights: Weights):
        self._weights = weights
        self._held: list[Adapter | None] = []
        self.rank = 0
        self.a: list[dict[str, torch.Tensor]] = []
        self.b: list[dict[str, torch.Tensor]] = []
        self.version = 0

    def __len__(self) -> int:
        return len(self._held)

    def slot_of(self, adapter: Adapter, in_use: list[Adapter]) -> int:
        """Return the slot of an adapter, which is loaded into an unused or a new slot if it has none.

        Args:
            adapter: The adapter.
            in_use: Adapters that must stay.
        """
        for at, held in enumerate(self._held):
            if held is adapter:
                return at
        rank = max((len(factors.a) for factors in adapter.lora.values()), default=1)
        rank = -(-rank // _RANK_STEP) * _RANK_STEP
        rank = 1 << (rank - 1).bit_length()
        free = [at for at, held in enumerate(self._held) if not any(held is one for one in in_use)]
        if rank > self.rank or not free:
            self._reallocate(max(rank, self.rank), len(self._held) + (not free))
            free = free or [len(self._held) - 1]
        self._held[free[0]] = adapter
        self._write(free[0])
        return free[0]

    def _reallocate(self, rank: int, slots: int) -> None:
        weights, before = self._weights, len(self._held)
        self._held += [None] * (slots - before)
        self.rank, self.version = rank, self.version + 1
        # Free the old tensors before the new ones are allocated.
        self.a, self.b = [], []
        options = {"dtype": weights.dtype, "device": weights.device}
        for block in weights.blocks:
            groups = block.groups.items()
            # (slots, projections * rank, inputs) and (slots, outputs, rank), in the model's dtype
            self.a.append({name: torch.zeros(slots, g.count * rank, g.width, **options) for name, g in groups})
            self.b.append({name: torch.zeros(slots, g.total, rank, **options) for name, g in groups})
        for at in range(before):
            self._write(at)

    def _write(self, slot: int) -> None:
        """Copy an adapter's factors into its slot."""
        adapter = self._held[slot]
        if adapter is None:
            return
        for number, block in enumerate(self._weights.blocks):
            names = projection_names(number)
            for group, members in GROUPS.items():
                a = self.a[number][group][slot].zero_()  # (projections * rank, inputs)
                b = self.b[number][group][slot].zero_()  # (outputs, rank)
                start = 0
                for at, member in enumerate(members):
                    outputs = block.groups[group].outputs[at]
                    if (factors := adapter.lora.get(names[member])) is not None:
                        rank = len(factors.a)
                        a[at * self.rank : at * self.rank + rank] = self._ordered(factors.a)
                        b[start : start + outputs, :rank] = factors.b
                    start += outputs

    def _ordered(self, a: torch.Tensor) -> torch.Tensor:
        return paired(a) if self._weights.is_packed else a


def paired(x: torch.Tensor) -> torch.Tensor:
    """Return (rows, columns) with its columns in paired order (`elementwise.compute_paired_index`)."""
    return x.view(len(x), -1, 4, 2).transpose(2, 3).reshape(x.shape)
