"""Frozen projections of one input, unpacked side by side with their LoRA factors.

LoRA's y = x Wᵀ + s (x Aᵀ) Bᵀ (Hu et al. 2021, arXiv:2106.09685) is one product when x Aᵀ is beside x and s B
beside W. For query, key and value, which share their input x:

               in features   lora columns                   in features          lora columns
             +-------------+-------------+               +-------------+-----------------------------+
      tokens |      x      |    x Aᵀ     |            q  |     W_q     |  s B_q    0       0       0 |
             +-------------+-------------+     times  k  |     W_k     |    0    s B_k     0       0 |  transposed
               "extended"                             v  |     W_v     |    0      0     s B_v     0 |
                                                         +-------------+-----------------------------+
                                                            "weights": (out features, in features + columns)

A, "lora_down", stacks the A of all projections: (columns, in features). B, "lora_up", is on the diagonal, scaled.
`columns` is the sum of the ranks, padded with zeros to a multiple of 64.

The sum x Wᵀ + … is the tensor core's own, in float32, and nothing as large as y is read twice. In the backward pass
one product of the gradient with `weights` gives both the gradient of x through W and that of x Aᵀ.

Where LoRA has dropout, each projection drops elements of x for itself, so x Aᵀ is computed projection by projection.
The backward pass makes the same choice again from the same seed.

Activations, weights and products have the compute dtype (that of the block's input); factors and their gradients are
float32. tests/gpu/test_kernels_gpu.py compares gradients with PEFT's, bench/train.py times the step.
"""

from collections.abc import Iterator

import torch

from core.kernels.elementwise import uses_triton
from core.kernels.nf4 import unpack_reference
from core.train.kernels.elementwise import copy_rows, dropout, dropout_backward
from core.train.kernels.scratch import ScratchBuffers

# Ranks are padded to a multiple of this many columns: rows stay aligned to 128 bytes, where tensor cores load fastest.
_COLUMN_MULTIPLE = 64


class Projection:
    """A frozen linear layer, in 4 bits or not, with its LoRA factors if it has some.

    Attributes:
        base: The frozen layer.
        a: (rank, in features), float32, LoRA's A; None without LoRA.
        b: (out features, rank), float32, LoRA's B; None without LoRA.
        rank: 0 without LoRA.
        scale: LoRA's s.
        dropout: Probability.
    """

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

    def unpack(self, weights: torch.Tensor, lora_down: torch.Tensor, first: int, pad: int) -> None:
        """Write the frozen weight and the factors into the matrices of the group.

        Args:
            weights: (out features, in features + columns), becomes [W, s B].
            lora_down: (columns, in features); A goes into it from `first` on, and zeros below.
            first: Number of the first rank, among those of all projections of the group.
            pad: Ranks of zeros below A.
        """
        out, weight, columns = weights[:, : self.in_features], self.base.weight, len(lora_down)
        state = getattr(weight, "quant_state", None)
        # Without LoRA, the factors are empty: (0, in features) and (out features, 0).
        a, b = (self.a.detach(), self.b.detach()) if self.rank else (out[:0], out[:, :0])
        if uses_triton(out):
            from core.train.kernels import unpack_triton

            if state is not None and self.in_features % state.blocksize == 0:
                unpack_triton.unpack_4bit(weight.data, state, out, a, b, self.scale, first, pad, columns, lora_down)
                return
            unpack_reference(weight, state, out)
            if columns:
                unpack_triton.place_factors(out, a, b, self.scale, first, pad, columns, lora_down)
            return
        unpack_reference(weight, state, out)
        weights[:, self.in_features :] = 0
        weights[:, self.in_features + first : self.in_features + first + self.rank] = b * self.scale
        lora_down[first : first + self.rank] = a
        lora_down[first + self.rank : first + self.rank + pad] = 0


class ProjectionGroup:
    """Projections of one input: query, key and value; gate and up; or one alone."""

    def __init__(self, name: str, modules: list[torch.nn.Module], seed_offset: int = 0):
        """Collect the projections of a group.

        Args:
            name: "qkv", "o", "gate_up" or "down"; names the group's scratch buffer.
            modules: Linear layers, or PEFT's LoRA layers around them.
            seed_offset: Added to the block's dropout seed; different for each group, so that no two projections drop
                the same elements.
        """
        self.name, self.seed_offset = name, seed_offset
        self.parts = [Projection(module) for module in modules]
        self.in_features = self.parts[0].in_features
        self.out_features = sum(part.out_features for part in self.parts)
        self.rank = sum(part.rank for part in self.parts)
        self.columns = -(-self.rank // _COLUMN_MULTIPLE) * _COLUMN_MULTIPLE
        self.has_dropout = any(part.dropout for part in self.parts)

    @property
    def factors(self) -> list[torch.nn.Parameter]:
        """Return the trained factors: A and B of each projection that has them, in order."""
        return [factor for part in self.parts if part.rank for factor in (part.a, part.b)]

    def unpack(
        self, scratch: ScratchBuffers, like: torch.Tensor, reuse: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the group's weights and A, unpacked into scratch memory.

        Args:
            scratch: The buffers.
            like: A tensor of the compute dtype and device.
            reuse: Whether the factors are as they were at the last call, so that weights that still lie in the buffer
                can be used.

        Returns:
            [W, s B], (out features, in features + columns), B on the diagonal of its columns; and all A, one below the
            other, padded with zeros, (columns, in features).
        """
        slot = scratch.slot(self.name)
        weights = scratch.take(slot, self.out_features, self.in_features + self.columns, like)
        lora_down = scratch.take(f"{self.name}, lora_down", self.columns, self.in_features, like)
        if reuse and scratch.owner.get(slot) is self:
            return weights, lora_down
        scratch.owner[slot] = self
        output = first = 0
        for part in self.parts:
            # The last projection also clears the padding below all A.
            pad = self.columns - self.rank if part is self.parts[-1] else 0
            part.unpack(weights[output : output + part.out_features], lora_down, first, pad)
            output, first = output + part.out_features, first + part.rank
        return weights, lora_down

    def new_input(self, tokens: int, like: torch.Tensor) -> torch.Tensor:
        """Return uninitialized memory for [x, x Aᵀ]: (tokens, in features + columns), dtype of `like`."""
        return torch.empty(tokens, self.in_features + self.columns, dtype=like.dtype, device=like.device)

    def append_lora_hidden(
        self, extended: torch.Tensor, lora_down: torch.Tensor, seed: int | None
    ) -> torch.Tensor | None:
        """Write x Aᵀ beside x, and return it in separate memory.

        The copy is what a block may keep for its backward pass when x itself is dropped.

        Args:
            extended: (tokens, in features + columns), x in its first columns.
            lora_down: (columns, in features).
            seed: Seed of dropout; None without.

        Returns:
            (tokens, columns); None without LoRA.
        """
        if not self.rank:
            return None
        lora_hidden = self.lora_hidden(extended[:, : self.in_features], lora_down, seed)  # (tokens, columns)
        copy_rows(lora_hidden, extended[:, self.in_features :])
        return lora_hidden

    def lora_hidden(self, x: torch.Tensor, lora_down: torch.Tensor, seed: int | None) -> torch.Tensor:
        """Return x Aᵀ, (tokens, columns), of x (tokens, in features) after dropout."""
        if seed is None or not self.has_dropout:
            return x @ lora_down.t()
        # Zeros, because the padding columns are not written below.
        hidden = torch.zeros(len(x), self.columns, dtype=x.dtype, device=x.device)  # (tokens, columns)
        for part, columns, part_seed in self._parts_with_dropout(seed):
            torch.mm(dropout(x, part.dropout, part_seed), lora_down[columns].t(), out=hidden[:, columns])
        return hidden

    def add_lora_input_gradient(
        self, lora_hidden_gradient: torch.Tensor, lora_down: torch.Tensor, seed: int | None, x_gradient: torch.Tensor
    ) -> None:
        """Add to `x_gradient` the gradient that reaches x through x Aᵀ.

        Args:
            lora_hidden_gradient: (tokens, columns).
            lora_down: (columns, in features).
            seed: Seed of the forward pass; None without dropout.
            x_gradient: (tokens, in features).
        """
        if seed is None or not self.has_dropout:
            x_gradient.addmm_(lora_hidden_gradient, lora_down)
            return
        for part, columns, part_seed in self._parts_with_dropout(seed):
            through_a = lora_hidden_gradient[:, columns] @ lora_down[columns]  # (tokens, in features)
            dropout_backward(through_a, part.dropout, part_seed, x_gradient)

    def _parts_with_dropout(self, seed: int) -> Iterator[tuple[Projection, slice, int]]:
        """Yield each projection with LoRA, its columns, and its own seed."""
        first = 0
        for number, part in enumerate(self.parts):
            if part.rank:
                yield part, slice(first, first + part.rank), seed + self.seed_offset + number
                first += part.rank

    def backward(
        self, scratch: ScratchBuffers, gradient: torch.Tensor, reuse: bool, seed: int | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the gradients of x (tokens, in features) and of x Aᵀ (tokens, columns), as views of one product.

        Args:
            scratch: The buffers.
            gradient: (tokens, out features), of the group's output.
            reuse: As in `unpack`.
            seed: Seed of the forward pass; None without dropout.
        """
        weights, lora_down = self.unpack(scratch, gradient, reuse)
        product = gradient @ weights  # (tokens, in features + columns)
        x_gradient, lora_hidden_gradient = product[:, : self.in_features], product[:, self.in_features :]
        if self.rank:
            self.add_lora_input_gradient(lora_hidden_gradient, lora_down, seed, x_gradient)
        return x_gradient, lora_hidden_gradient

    def factor_gradients(
        self,
        gradient: torch.Tensor,
        x: torch.Tensor,
        lora_hidden: torch.Tensor | None,
        lora_hidden_gradient: torch.Tensor,
        seed: int | None,
    ) -> list[torch.Tensor]:
        """Return the gradients of the factors in the order of `factors`, float32.

        Args:
            gradient: (tokens, out features), of the group's output.
            x: (tokens, in features).
            lora_hidden: (tokens, columns), x Aᵀ; None without LoRA.
            lora_hidden_gradient: (tokens, columns).
            seed: Seed of the forward pass; None without dropout.
        """
        if not self.rank:
            return []
        if seed is None or not self.has_dropout:
            all_a = _product_float32(lora_hidden_gradient[:, : self.rank].t(), x)  # (rank, in features)
        else:
            all_a = torch.cat([
                _product_float32(lora_hidden_gradient[:, columns].t(), dropout(x, part.dropout, part_seed))
                for part, columns, part_seed in self._parts_with_dropout(seed)
            ])  # fmt: skip
        gradients, scales, output, column = [], [], 0, 0
        for part in self.parts:
            if part.rank:
                columns, outputs = slice(column, column + part.rank), slice(output, output + part.out_features)
                # (rank, in features) of A, and (out features, rank) of B, which still lacks the factor s.
                gradients += [all_a[columns], _product_float32(gradient[:, outputs].t(), lora_hidden[:, columns])]
                scales.append(part.scale)
            output, column = output + part.out_features, column + part.rank
        # One launch scales the gradients of every B. Those of A contain s already, because `backward` multiplied by
        # [W, s B].
        torch._foreach_mul_(gradients[1::2], scales)
        return gradients


def _product_float32(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return left @ right in float32, whatever the dtype of both: factor gradients are sums over all tokens."""
    if left.is_cuda and left.dtype != torch.float32:
        return torch.mm(left, right, out_dtype=torch.float32)
    return (left @ right).float()
