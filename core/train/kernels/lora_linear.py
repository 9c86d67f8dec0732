"""Frozen projections that read the same input, unpacked side by side with their LoRA factors into one matrix.

LoRA's y = x Wᵀ + s (x Aᵀ) Bᵀ (Hu et al. 2021, arXiv:2106.09685) is one product when x Aᵀ stands beside x and s B beside
W: y = [x, x Aᵀ] [W, s B]ᵀ. The sum is the tensor core's own, in float32; nothing as large as y is read twice. On the
way back one product with [W, s B] gives both the gradient of x through W and that of x Aᵀ.

Where LoRA drops out, each part drops some of x for itself, and x Aᵀ is made of what is left, part by part; on the way
back the same seed chooses the same again.
"""

from collections.abc import Iterator

import torch

from core.train.kernels.elementwise import copy, drop, drop_back, fused

_COLUMNS = 64  # ranks are padded to this: rows stay aligned to 128 bytes, the tensor cores' favourite


class Space:
    """Scratch memory that all blocks share, a slot a kind of group: what one unpacked stays until the next does."""

    def __init__(self) -> None:
        self._held: dict[str, torch.Tensor] = {}
        self.owner: dict[str, object] = {}  # whose weights lie in a slot, in the present state of their factors

        self.tight = False  # whether all but the largest share one place

    def slot(self, name: str) -> str:
        return "rest" if self.tight and name in ("qkv", "o", "down") else name

    def take(self, slot: str, rows: int, columns: int, like: torch.Tensor) -> torch.Tensor:
        """(rows, columns) with whatever was there before; it is the caller's until the slot is taken again."""
        size, held = rows * columns, self._held.get(slot)
        if held is None or held.numel() < size or held.dtype != like.dtype or held.device != like.device:
            self._held.pop(slot, None)  # its memory first
            self.owner.pop(slot, None)
            self._held[slot] = held = torch.empty(size, dtype=like.dtype, device=like.device)
        return held[:size].view(rows, columns)


class Projection:
    """A frozen linear layer, in 4 bits or not, and its LoRA factors where it has some."""

    def __init__(self, module: torch.nn.Module):
        self.base = module.get_base_layer() if hasattr(module, "get_base_layer") else module
        self.out_features, self.in_features = self.base.out_features, self.base.in_features
        self.module = module
        self.a = self.b = None
        self.rank, self.scale, self.dropout = 0, 1.0, 0.0
        if self.base is not module:
            (name,) = module.active_adapters
            self.a, self.b = module.lora_A[name].weight, module.lora_B[name].weight
            self.rank, self.scale = module.r[name], float(module.scaling[name])
            self.dropout = getattr(module.lora_dropout[name], "p", 0.0)

    def unpack(self, both: torch.Tensor, lower: torch.Tensor, first: int, pad: int) -> None:
        """The frozen weight and the factors into place.

        Args:
            both: (out features, in features + columns), becomes [W, s B].
            lower: (columns, in features); A goes into its rows from `first` on, zeros into `pad` rows below it.
        """
        out, weight, columns = both[:, : self.in_features], self.base.weight, len(lower)
        state = getattr(weight, "quant_state", None)
        a, b = (self.a.detach(), self.b.detach()) if self.rank else (out[:0], out[:, :0])
        if fused(out):
            from core.train.kernels import gpu

            if state is not None and self.in_features % state.blocksize == 0:
                gpu.unpack_4bit(weight.data, state, out, a, b, self.scale, first, pad, columns, lower)
                return
            _unpack_plainly(weight, state, out)
            if columns:
                gpu.place_factors(out, a, b, self.scale, first, pad, columns, lower)
            return
        _unpack_plainly(weight, state, out)
        both[:, self.in_features :] = 0
        both[:, self.in_features + first : self.in_features + first + self.rank] = b * self.scale
        lower[first : first + self.rank] = a
        lower[first + self.rank : first + self.rank + pad] = 0


def _unpack_plainly(weight: torch.Tensor, state, out: torch.Tensor) -> None:
    if state is None:
        out.copy_(weight)
        return
    from bitsandbytes.functional import dequantize_4bit

    out.copy_(dequantize_4bit(weight.data, state))


class Group:
    """Projections of one input: query, key and value; gate and up; or one alone."""

    def __init__(self, name: str, modules: list[torch.nn.Module], place: int = 0):
        """
        Args:
            place: among the parts of a block, so that no two drop alike.
        """
        self.name, self.place = name, place
        self.parts = [Projection(module) for module in modules]
        self.in_features = self.parts[0].in_features
        self.out_features = sum(part.out_features for part in self.parts)
        self.rank = sum(part.rank for part in self.parts)
        self.columns = -(-self.rank // _COLUMNS) * _COLUMNS
        self.drops = any(part.dropout for part in self.parts)

    @property
    def factors(self) -> list[torch.nn.Parameter]:
        """The trained factors: A and B of each part that has them."""
        return [factor for part in self.parts if part.rank for factor in (part.a, part.b)]

    def unpack(self, space: Space, like: torch.Tensor, again: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """[W, s B], (out features, in features + columns), B on the diagonal of its columns; and all A, one below the
        other and padded with zeros, (columns, in features).

        Args:
            again: the factors are as they were at the last call, so what still lies there will do.
        """
        slot = space.slot(self.name)
        both = space.take(slot, self.out_features, self.in_features + self.columns, like)
        lower = space.take(f"{self.name}, lower", self.columns, self.in_features, like)
        if again and space.owner.get(slot) is self:
            return both, lower
        space.owner[slot] = self
        row = first = 0
        for part in self.parts:
            pad = self.columns - self.rank if part is self.parts[-1] else 0
            part.unpack(both[row : row + part.out_features], lower, first, pad)
            row, first = row + part.out_features, first + part.rank
        return both, lower

    def input(self, rows: int, like: torch.Tensor) -> torch.Tensor:
        """Room for [x, x Aᵀ]: (rows, in features + columns)."""
        return torch.empty(rows, self.in_features + self.columns, dtype=like.dtype, device=like.device)

    def extend(self, both: torch.Tensor, lower: torch.Tensor, seed: int | None) -> torch.Tensor | None:
        """Put x Aᵀ beside x, and return it, (rows, columns), in memory of its own; None without LoRA.

        Args:
            seed: for dropout; None without.
        """
        if not self.rank:
            return None
        lowered = self.lowered(both[:, : self.in_features], lower, seed)
        copy(lowered, both[:, self.in_features :])
        return lowered

    def lowered(self, x: torch.Tensor, lower: torch.Tensor, seed: int | None) -> torch.Tensor:
        """x Aᵀ, (rows, columns)."""
        if seed is None or not self.drops:
            return x @ lower.t()
        found = torch.zeros(len(x), self.columns, dtype=x.dtype, device=x.device)
        for part, columns, own in self._dropping(seed):
            torch.mm(drop(x, part.dropout, own), lower[columns].t(), out=found[:, columns])
        return found

    def lowered_back(self, of_lowered: torch.Tensor, lower: torch.Tensor, seed: int | None, of_x: torch.Tensor) -> None:
        """Add what of the gradient of x came through x Aᵀ to `of_x` (rows, in features)."""
        if seed is None or not self.drops:
            of_x.addmm_(of_lowered, lower)
            return
        for part, columns, own in self._dropping(seed):
            drop_back(of_lowered[:, columns] @ lower[columns], part.dropout, own, of_x)

    def _dropping(self, seed: int) -> Iterator[tuple[Projection, slice, int]]:
        """Each part with LoRA, its columns, and its own seed."""
        first = 0
        for number, part in enumerate(self.parts):
            if part.rank:
                yield part, slice(first, first + part.rank), seed + self.place + number
                first += part.rank

    def back(
        self, space: Space, gradient: torch.Tensor, again: bool, seed: int | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The gradients of x (rows, in features) and of x Aᵀ (rows, columns), as views of one product.

        Args:
            gradient: (rows, out features).
        """
        weights, lower = self.unpack(space, gradient, again)
        product = gradient @ weights
        of_x, of_lowered = product[:, : self.in_features], product[:, self.in_features :]
        if self.rank:
            self.lowered_back(of_lowered, lower, seed, of_x)
        return of_x, of_lowered

    def factor_gradients(
        self,
        gradient: torch.Tensor,
        x: torch.Tensor,
        lowered: torch.Tensor | None,
        of_lowered: torch.Tensor,
        seed: int | None,
    ) -> list[torch.Tensor]:
        """In the order of `factors`, float32."""
        if not self.rank:
            return []
        if seed is None or not self.drops:
            of_a = _product(of_lowered[:, : self.rank].t(), x)
        else:
            of_a = torch.cat([
                _product(of_lowered[:, columns].t(), drop(x, part.dropout, own))
                for part, columns, own in self._dropping(seed)
            ])  # fmt: skip
        found, scales, row, column = [], [], 0, 0
        for part in self.parts:
            if part.rank:
                columns, rows = slice(column, column + part.rank), slice(row, row + part.out_features)
                found += [of_a[columns], _product(gradient[:, rows].t(), lowered[:, columns])]
                scales.append(part.scale)
            row, column = row + part.out_features, column + part.rank
        torch._foreach_mul_(found[1::2], scales)
        return found


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """left @ right in float32, however short their own numbers are."""
    if left.is_cuda and left.dtype != torch.float32:
        return torch.mm(left, right, out_dtype=torch.float32)
    return (left @ right).float()
