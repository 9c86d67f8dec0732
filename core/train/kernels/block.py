"""A Llama block in one piece: forward and backward pass written out over a few large products.

What a block keeps for its backward pass is its own choice: its input alone, everything else made again (`keep` off);
or with it query, key, value, the attended values, the residual stream between attention and MLP, gate and up (`keep`
on). Norms, SwiGLU and unpacked weights are cheap to make and are never kept. When recomputing, the down projection is
left out, as nothing needs it, and what it unpacks serves the backward pass too. With `chunk`, the MLP goes over so many
tokens at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from core.train.kernels import elementwise
from core.train.kernels.activation_offload import Offload
from core.train.kernels.lora_linear import Group, Space

_PARTS = 16  # places for what drops for itself


@dataclass
class Call:
    """What a forward pass gives every block.

    Attributes:
        batch: rows of the batch; 1 where rows lie end to end.
        cos, sin: (positions, head width).
        attend: from query, key and value, each (batch, heads, length, head width), to (batch, length, heads, width).
        training: whether a backward pass will come.
        seed: of LoRA's dropout; None without. It and the numbers after it are this block's alone.
    """

    batch: int
    cos: torch.Tensor
    sin: torch.Tensor
    attend: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    training: bool
    seed: int | None = None

    def seed_of(self, piece: int) -> int | None:
        """Of the MLP's tokens, taken so many at a time."""
        return None if self.seed is None else self.seed + _PARTS * piece


@dataclass
class Attended:
    """Of the first half of a block, for its backward pass."""

    rstd: torch.Tensor
    leaves: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    out: torch.Tensor  # the attended values, with the graph that leads to the leaves
    lowered: torch.Tensor | None
    lowered_out: torch.Tensor | None
    middle: torch.Tensor  # (tokens, hidden), the residual stream after attention


@dataclass
class Gated:
    """Of the second half."""

    rstd: torch.Tensor
    both: torch.Tensor  # gate and up
    lowered: torch.Tensor | None
    lowered_down: torch.Tensor | None


class Block:
    """One decoder layer's frozen weights and adapters, and how they work together."""

    def __init__(self, layer: torch.nn.Module, space: Space):
        attention, mlp = layer.self_attn, layer.mlp
        self.layer, self.space = layer, space
        self.first_norm, self.second_norm = layer.input_layernorm, layer.post_attention_layernorm
        self.qkv = Group("qkv", [attention.q_proj, attention.k_proj, attention.v_proj])
        self.o, self.down = Group("o", [attention.o_proj], 4), Group("down", [mlp.down_proj], 12)
        self.gate_up = Group("gate and up", [mlp.gate_proj, mlp.up_proj], 8)
        self.groups = (self.qkv, self.o, self.gate_up, self.down)
        self.head_dim = attention.head_dim
        self.widths = [part.out_features for part in self.qkv.parts]
        self.keep, self.chunk = True, 0
        self.offload: Offload | None = None
        self.factors = [factor for group in self.groups for factor in group.factors]
        self.drops = any(group.drops for group in self.groups)

    def __call__(self, hidden: torch.Tensor, call: Call) -> torch.Tensor:
        return _Step.apply(hidden, self, call, *self.factors)

    def attention(self, x: torch.Tensor, call: Call) -> Attended:
        """The first half, from the block's input (tokens, hidden)."""
        tokens = len(x)
        both = self.qkv.input(tokens, x)
        norm = self.first_norm
        rstd = elementwise.norm(x, norm.weight, norm.variance_epsilon, both[:, : x.shape[1]])
        weights, lower = self.qkv.unpack(self.space, x)
        lowered = self.qkv.extend(both, lower, call.seed)
        qkv = both @ weights.t()
        del both
        heads = qkv.view(tokens, -1, self.head_dim)
        turned = heads[:, : (self.widths[0] + self.widths[1]) // self.head_dim]
        elementwise.rotate(turned, turned, call.cos, call.sin)
        leaves = tuple(
            part.view(call.batch, -1, width // self.head_dim, self.head_dim).transpose(1, 2).requires_grad_()
            for part, width in zip(qkv.detach().split(self.widths, 1), self.widths, strict=True)
        )
        with torch.enable_grad() if call.training else torch.no_grad():
            out = call.attend(*leaves)
        attended = self.o.input(tokens, x)
        elementwise.copy(out.detach().reshape(tokens, -1), attended[:, : self.o.in_features])
        weights, lower = self.o.unpack(self.space, x)
        lowered_out = self.o.extend(attended, lower, call.seed)
        middle = torch.addmm(x, attended, weights.t())
        return Attended(rstd, leaves, out, lowered, lowered_out, middle)

    def gated(self, middle: torch.Tensor, again: bool, seed: int | None) -> Gated:
        """Gate and up from the residual stream (tokens, hidden)."""
        both = self.gate_up.input(len(middle), middle)
        norm = self.second_norm
        rstd = elementwise.norm(middle, norm.weight, norm.variance_epsilon, both[:, : middle.shape[1]])
        weights, lower = self.gate_up.unpack(self.space, middle, again)
        lowered = self.gate_up.extend(both, lower, seed)
        return Gated(rstd, both @ weights.t(), lowered, None)

    def mlp(self, middle: torch.Tensor, out: torch.Tensor, again: bool, seed: int | None) -> Gated:
        """The second half into `out` (tokens, hidden)."""
        gated = self.gated(middle, again, seed)
        product = self.down.input(len(middle), middle)
        elementwise.swiglu(gated.both, product[:, : self.down.in_features])
        weights, lower = self.down.unpack(self.space, middle, again)
        gated.lowered_down = self.down.extend(product, lower, seed)
        torch.addmm(middle, product, weights.t(), out=out)
        return gated

    def mlp_back(
        self, middle: torch.Tensor, gradient: torch.Tensor, gated: Gated, again: tuple[bool, bool], seed: int | None
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Of the residual stream (tokens, hidden), and of the factors of gate, up and down. Consumes `gated`.

        Args:
            again: whether gate and up, and whether down, lie unpacked.
        """
        weights, lower = self.down.unpack(self.space, gradient, again[1])
        product, of_down = (gradient @ weights).split([self.down.in_features, self.down.columns], 1)
        if seed is not None and self.down.rank:
            self.down.lowered_back(of_down, lower, seed, product)
            elementwise.swiglu_back(gated.both, product, of_down[:, :0], lower[:0], 0)
        else:
            elementwise.swiglu_back(gated.both, product, of_down, lower, self.down.rank)
        # product is now what down multiplied, gated.both its gradients
        if gated.lowered_down is None and self.down.rank:
            gated.lowered_down = self.down.lowered(product, lower, seed)
        down = self.down.factor_gradients(gradient, product, gated.lowered_down, of_down, seed)
        del product, of_down
        pulled, of_gate_up = self.gate_up.back(self.space, gated.both, again[0], seed)
        back, normed = elementwise.norm_back(middle, self.second_norm.weight, gated.rstd, pulled, gradient)
        return back, self.gate_up.factor_gradients(gated.both, normed, gated.lowered, of_gate_up, seed) + down

    def attention_back(
        self, x: torch.Tensor, gradient: torch.Tensor, kept: Attended, call: Call, again: bool
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Of the block's input, and of the factors of query, key, value and out."""
        tokens = len(x)
        pulled, of_o = self.o.back(self.space, gradient, again, call.seed)
        values = kept.out.detach().reshape(tokens, -1)
        out = self.o.factor_gradients(gradient, values, kept.lowered_out, of_o, call.seed)
        del of_o
        if not pulled.is_contiguous():
            joined = torch.empty_like(values)
            elementwise.copy(pulled, joined)
            pulled = joined
            del joined
        of_leaves = torch.autograd.grad(kept.out, kept.leaves, pulled.view(kept.out.shape))
        kept.out = kept.leaves = None
        del pulled, values
        qkv = torch.empty(tokens, self.qkv.out_features, dtype=x.dtype, device=x.device)
        at = 0
        for number, (part, width) in enumerate(zip(of_leaves, self.widths, strict=True)):
            source = part.transpose(1, 2).reshape(tokens, -1, self.head_dim)
            target = qkv[:, at : at + width].view(tokens, -1, self.head_dim)
            if number < 2:
                elementwise.rotate(source, target, call.cos, call.sin, back=True)
            else:
                elementwise.copy(source.flatten(1), target.flatten(1))
            at += width
        del of_leaves, source, part
        pulled, of_qkv = self.qkv.back(self.space, qkv, again, call.seed)
        back, normed = elementwise.norm_back(x, self.first_norm.weight, kept.rstd, pulled, gradient)
        return back, self.qkv.factor_gradients(qkv, normed, kept.lowered, of_qkv, call.seed) + out

    def pieces(self, tokens: int) -> list[slice]:
        size = self.chunk or tokens
        return [slice(start, start + size) for start in range(0, tokens, size)]


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden: torch.Tensor, block: Block, call: Call, *factors: torch.Tensor) -> torch.Tensor:
        x = hidden.reshape(-1, hidden.shape[-1])
        attended = block.attention(x, call)
        out = torch.empty_like(x)
        keep, gated = block.keep and call.training, []
        for number, piece in enumerate(block.pieces(len(x))):
            made = block.mlp(attended.middle[piece], out[piece], number > 0, call.seed_of(number))
            if keep:
                gated.append(made)
            del made
        if call.training:
            ctx.block, ctx.call = block, call
            ctx.kept = (attended, gated) if keep else None
            ctx.x = block.offload.store(x) if block.offload and not keep else x
        return out.view(hidden.shape)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        block, call = ctx.block, ctx.call
        x = block.offload.fetch(ctx.x) if block.offload and ctx.kept is None else ctx.x
        flat, fresh = gradient.reshape(x.shape), ctx.kept is None
        attended, gated = ctx.kept or (block.attention(x, call), None)
        ctx.kept = ctx.x = None
        middle_back, of_mlp = None, None
        pieces = block.pieces(len(x))
        for number, piece in enumerate(pieces):
            middle = attended.middle[piece]
            seed = call.seed_of(number)
            one = gated[number] if gated else block.gated(middle, number > 0, seed)
            back, found = block.mlp_back(middle, flat[piece], one, (fresh or number > 0, number > 0), seed)
            if len(pieces) == 1:
                middle_back, of_mlp = back, found
                continue
            if middle_back is None:
                middle_back = torch.empty_like(x)
            middle_back[piece] = back
            of_mlp = found if of_mlp is None else [a.add_(b) for a, b in zip(of_mlp, found, strict=True)]
            del one, back, found
        del flat, gated
        attended.middle = None
        back, of_attention = block.attention_back(x, middle_back, attended, call, fresh)
        return back.view(gradient.shape), None, None, *of_attention, *of_mlp
