"""Adapters in slots: every projection's factors of all slots in one tensor, so that a row needs only its slot's number.

Factors are padded with zeros to the largest rank, and a module that an adapter does not touch has zeros alone.
"""

import torch

from core.chat.adapters import Adapter
from core.chat.cuda.support import names_of
from core.chat.cuda.weights import GROUPS, Weights


class Slots:
    """Attributes:
    a: by block and group (slots, modules x rank, inputs); its columns `paired` where the weights are packed.
    b: by block and group (slots, outputs, rank).
    version: changes when these lie elsewhere than before.
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

    def place(self, adapter: Adapter, used: list[Adapter]) -> int:
        """The slot of an adapter, which is put into one that no row uses, or a new one.

        Args:
            used: adapters that must stay.
        """
        for at, held in enumerate(self._held):
            if held is adapter:
                return at
        rank = -(-max((len(factors.a) for factors in adapter.lora.values()), default=1) // 16) * 16
        rank = 1 << (rank - 1).bit_length()
        free = [at for at, held in enumerate(self._held) if not any(held is one for one in used)]
        if rank > self.rank or not free:
            self._enlarge(max(rank, self.rank), len(self._held) + (not free))
            free = free or [len(self._held) - 1]
        self._held[free[0]] = adapter
        self._write(free[0])
        return free[0]

    def _enlarge(self, rank: int, count: int) -> None:
        weights, before = self._weights, len(self._held)
        self._held += [None] * (count - before)
        self.rank, self.version = rank, self.version + 1
        self.a, self.b = [], []  # the former's memory first
        options = {"dtype": weights.dtype, "device": weights.device}
        for block in weights.blocks:
            groups = block.groups.items()
            self.a.append({name: torch.zeros(count, g.modules * rank, g.width, **options) for name, g in groups})
            self.b.append({name: torch.zeros(count, g.total, rank, **options) for name, g in groups})
        for at in range(before):
            self._write(at)

    def _write(self, slot: int) -> None:
        adapter = self._held[slot]
        if adapter is None:
            return
        for number, block in enumerate(self._weights.blocks):
            names = names_of(number)
            for group, members in GROUPS.items():
                a, b = self.a[number][group][slot].zero_(), self.b[number][group][slot].zero_()
                start = 0
                for at, member in enumerate(members):
                    outputs = block.groups[group].outputs[at]
                    if (factors := adapter.lora.get(names[member])) is not None:
                        rank = len(factors.a)
                        a[at * self.rank : at * self.rank + rank] = self._paired(factors.a)
                        b[start : start + outputs, :rank] = factors.b
                    start += outputs

    def _paired(self, a: torch.Tensor) -> torch.Tensor:
        return paired(a) if self._weights.packed else a


def paired(x: torch.Tensor) -> torch.Tensor:
    """Of every eight columns (rows, columns) the even ones first, as the kernels want them over packed weights."""
    return x.view(len(x), -1, 4, 2).transpose(2, 3).reshape(x.shape)
