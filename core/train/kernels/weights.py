"""Frozen projections that read the same input, unpacked side by side with their LoRA factors into one matrix.

LoRA's y = x Wᵀ + s (x Aᵀ) Bᵀ (Hu et al. 2021, arXiv:2106.09685) is one product when x Aᵀ stands beside x and s B beside
W: y = [x, x Aᵀ] [W, s B]ᵀ. The sum is the tensor core's own, in float32; nothing as large as y is read twice. On the
way back one product with [W, s B] gives both the gradient of x through W and that of x Aᵀ.
"""

import torch

from core.train.kernels.elementwise import copy, fused

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
        self.rank, self.scale = 0, 1.0
        if self.base is not module:
            (name,) = module.active_adapters
            self.a, self.b = module.lora_A[name].weight, module.lora_B[name].weight
            self.rank, self.scale = module.r[name], float(module.scaling[name])

    def unpack(self, out: torch.Tensor) -> None:
        """The frozen weight into out (out features, in features)."""
        weight, state = self.base.weight, getattr(self.base.weight, "quant_state", None)
        if state is None:
            out.copy_(weight)
        elif fused(out) and self.in_features % state.blocksize == 0:
            from core.train.kernels import gpu

            gpu.unpack_4bit(weight.data, state, out)
        else:
            from bitsandbytes.functional import dequantize_4bit

            out.copy_(dequantize_4bit(weight.data, state))


class Group:
    """Projections of one input: query, key and value; gate and up; or one alone."""

    def __init__(self, name: str, modules: list[torch.nn.Module]):
        self.name = name
        self.parts = [Projection(module) for module in modules]
        self.in_features = self.parts[0].in_features
        self.out_features = sum(part.out_features for part in self.parts)
        self.rank = sum(part.rank for part in self.parts)
        self.columns = -(-self.rank // _COLUMNS) * _COLUMNS

    @property
    def factors(self) -> list[torch.nn.Parameter]:
        """The trained factors: A and B of each part that has them."""
        return [factor for part in self.parts if part.rank for factor in (part.a, part.b)]

    def unpack(self, space: Space, like: torch.Tensor, again: bool = False) -> torch.Tensor:
        """[W, s B], (out features, in features + columns); B stands on the diagonal of its columns.

        Args:
            again: the factors are as they were at the last call, so what still lies there will do.
        """
        slot = space.slot(self.name)
        both = space.take(slot, self.out_features, self.in_features + self.columns, like)
        if again and space.owner.get(slot) is self:
            return both
        space.owner[slot] = self
        first_row = first_column = 0
        for part in self.parts:
            rows = both[first_row : first_row + part.out_features]
            part.unpack(rows[:, : self.in_features])
            if self.columns:
                _place(part, first_column, rows[:, self.in_features :])
            first_row, first_column = first_row + part.out_features, first_column + part.rank
        return both

    def lower(self, space: Space, like: torch.Tensor, again: bool = False) -> torch.Tensor:
        """All A, one below the other and padded with zeros: (columns, in features)."""
        slot = f"{self.name}, lower"
        lower = space.take(slot, self.columns, self.in_features, like)
        if again and space.owner.get(slot) is self:
            return lower
        space.owner[slot] = self
        first = 0
        for part in self.parts:
            if part.rank:
                lower[first : first + part.rank].copy_(part.a.detach())
                first += part.rank
        lower[first:].zero_()
        return lower

    def input(self, rows: int, like: torch.Tensor) -> torch.Tensor:
        """Room for [x, x Aᵀ]: (rows, in features + columns)."""
        return torch.empty(rows, self.in_features + self.columns, dtype=like.dtype, device=like.device)

    def extend(self, space: Space, both: torch.Tensor) -> torch.Tensor | None:
        """Put x Aᵀ beside x, and return it, (rows, columns), in memory of its own; None without LoRA."""
        if not self.rank:
            return None
        x, beside = both[:, : self.in_features], both[:, self.in_features :]
        lowered = x @ self.lower(space, both).t()
        copy(lowered, beside)
        return lowered

    def back(self, space: Space, gradient: torch.Tensor, again: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """The gradients of x (rows, in features) and of x Aᵀ (rows, columns), as views of one product.

        Args:
            gradient: (rows, out features).
        """
        of_x, of_lowered = self.back_apart(space, gradient, again)
        if self.rank:
            of_x.addmm_(of_lowered, self.lower(space, of_x, again))
        return of_x, of_lowered

    def back_apart(self, space: Space, gradient: torch.Tensor, again: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, but for what reaches x through A."""
        product = gradient @ self.unpack(space, gradient, again)
        return product[:, : self.in_features], product[:, self.in_features :]

    def factor_gradients(
        self, gradient: torch.Tensor, x: torch.Tensor, lowered: torch.Tensor | None, of_lowered: torch.Tensor
    ) -> list[torch.Tensor]:
        """In the order of `factors`, float32."""
        if not self.rank:
            return []
        of_a, of_b = of_lowered[:, : self.rank].t() @ x, None
        found, row, column = [], 0, 0
        for part in self.parts:
            if part.rank:
                columns, rows = slice(column, column + part.rank), slice(row, row + part.out_features)
                of_b = gradient[:, rows].t() @ lowered[:, columns]
                found += [of_a[columns].float(), of_b.float().mul_(part.scale)]
            row, column = row + part.out_features, column + part.rank
        return found


def _place(part: Projection, first: int, out: torch.Tensor) -> None:
    """s B into its columns of `out` (out features, columns), zeros into the others."""
    if part.rank and fused(out):
        from core.train.kernels import gpu

        gpu.place(part.b.detach(), part.scale, first, out)
        return
    out.zero_()
    if part.rank:
        out[:, first : first + part.rank] = part.b.detach() * part.scale
