"""Llama decoder block in one piece: forward and backward pass written out over a few large products.

The steps, with x (tokens, hidden) the block's input and all rows of the batch laid out as tokens:

    attention half                                   MLP half
      1. RMSNorm of x                                  6. RMSNorm of the residual stream
      2. one product with [W_q; W_k; W_v]              7. one product with [W_gate; W_up]
      3. rotary embedding of q and k, in place         8. SwiGLU
      4. attention, by the model's own function        9. one product with W_down, added to the residual stream
      5. one product with W_o, added to x

Every product includes LoRA (core/train/kernels/lora_linear.py). Only step 4 is left to autograd, because attention
functions are exchangeable; all else is computed by hand in `_BlockFunction`.

`keep` decides what a block saves for its backward pass; the planner sets it per batch:

    keep off              x alone; the backward pass computes the rest again
    keep on, per token    q, k, v, attended values, residual stream, gate, up, x Aᵀ of each group

Norms, SwiGLU and unpacked weights are cheap to compute and are never saved. The recomputation leaves out the down
projection, whose output nothing needs, and the backward pass uses the weights that it has unpacked. With `chunk`, the
MLP half works on that many tokens at a time, so that gate and up never exist for all tokens at once.

Activations have the model's compute dtype, `rstd` and factor gradients float32. tests/core/train/test_kernels.py and
tests/gpu/test_kernels_gpu.py compare loss and gradients with transformers and PEFT; bench/train.py times steps.
"""

import torch

from core.kernels.elementwise import apply_rotary, rms_norm, swiglu
from core.models.shape import ModelShape
from core.train.kernels.activation_offload import ActivationOffload
from core.train.kernels.block_state import AttentionState, CallContext, MLPState
from core.train.kernels.elementwise import copy_rows, rms_norm_backward, swiglu_backward
from core.train.kernels.lora_linear import ProjectionGroup
from core.train.kernels.scratch import ScratchBuffers


class Block:
    """Frozen weights and adapters of one decoder layer, and its forward and backward pass.

    Attributes:
        keep: Whether activations are kept for the backward pass, or computed again.
        chunk: Tokens that the MLP half takes at a time; 0 takes all.
        offload: Where the block's input goes until its backward pass; None leaves it on the GPU.
        factors: Trained LoRA factors of all projections, in the order in which the backward pass returns gradients.
    """

    def __init__(self, layer: torch.nn.Module, scratch: ScratchBuffers):
        attention, mlp = layer.self_attn, layer.mlp
        self.layer, self.scratch = layer, scratch
        self.first_norm, self.second_norm = layer.input_layernorm, layer.post_attention_layernorm
        # The numbers are the groups' seed offsets: no two of the seven projections may share one.
        self.qkv = ProjectionGroup("qkv", [attention.q_proj, attention.k_proj, attention.v_proj])
        self.o = ProjectionGroup("o", [attention.o_proj], 4)
        self.gate_up = ProjectionGroup("gate_up", [mlp.gate_proj, mlp.up_proj], 8)
        self.down = ProjectionGroup("down", [mlp.down_proj], 12)
        self.groups = (self.qkv, self.o, self.gate_up, self.down)
        self.head_width = ModelShape.from_config(attention.config).head_width
        self.widths = [part.out_features for part in self.qkv.parts]
        self.keep, self.chunk = True, 0
        self.offload: ActivationOffload | None = None
        self.factors = [factor for group in self.groups for factor in group.factors]
        self.has_dropout = any(group.has_dropout for group in self.groups)

    def __call__(self, hidden: torch.Tensor, call: CallContext) -> torch.Tensor:
        """Return the block's output, (batch, length, hidden), of its input of the same shape."""
        return _BlockFunction.apply(hidden, self, call, *self.factors)

    def attention(self, x: torch.Tensor, call: CallContext) -> AttentionState:
        """Compute the attention half from the block's input x (tokens, hidden)."""
        tokens = len(x)
        extended = self.qkv.new_input(tokens, x)  # (tokens, hidden + columns)
        norm = self.first_norm
        # The norm writes straight into the columns that x takes beside x Aᵀ.
        rstd = rms_norm(x, norm.weight, norm.variance_epsilon, extended[:, : x.shape[1]])  # (tokens,)
        weights, lora_down = self.qkv.unpack(self.scratch, x)
        qkv_hidden = self.qkv.append_lora_hidden(extended, lora_down, call.seed)  # (tokens, columns)
        qkv = extended @ weights.t()  # (tokens, (heads + 2 · key-value heads) · head width)
        del extended
        heads = qkv.view(tokens, -1, self.head_width)  # (tokens, heads + 2 · key-value heads, head width)
        # Query and key heads come first and are rotated in place, in one launch.
        rotated = heads[:, : (self.widths[0] + self.widths[1]) // self.head_width]
        apply_rotary(rotated, rotated, call.cos, call.sin)
        # Attention gets leaves of a graph of its own, so that autograd differentiates it alone.
        leaves = tuple(
            part.view(call.batch, -1, width // self.head_width, self.head_width).transpose(1, 2).requires_grad_()
            for part, width in zip(qkv.detach().split(self.widths, 1), self.widths, strict=True)
        )  # each (batch, heads, length, head width)
        with torch.enable_grad() if call.training else torch.no_grad():
            out = call.attend(*leaves)  # (batch, length, heads, head width)
        extended = self.o.new_input(tokens, x)  # (tokens, heads · head width + columns)
        copy_rows(out.detach().reshape(tokens, -1), extended[:, : self.o.in_features])
        weights, lora_down = self.o.unpack(self.scratch, x)
        o_hidden = self.o.append_lora_hidden(extended, lora_down, call.seed)  # (tokens, columns)
        residual = torch.addmm(x, extended, weights.t())  # (tokens, hidden)
        return AttentionState(rstd, leaves, out, qkv_hidden, o_hidden, residual)

    def compute_gate_up(self, residual: torch.Tensor, reuse: bool, seed: int | None) -> MLPState:
        """Compute gate and up from the residual stream (tokens, hidden).

        Args:
            residual: The residual stream after attention.
            reuse: Whether weights that lie unpacked may be used.
            seed: Seed of dropout; None without.
        """
        extended = self.gate_up.new_input(len(residual), residual)  # (tokens, hidden + columns)
        norm = self.second_norm
        rstd = rms_norm(residual, norm.weight, norm.variance_epsilon, extended[:, : residual.shape[1]])
        weights, lora_down = self.gate_up.unpack(self.scratch, residual, reuse)
        hidden = self.gate_up.append_lora_hidden(extended, lora_down, seed)
        return MLPState(rstd, extended @ weights.t(), hidden, None)

    def mlp(self, residual: torch.Tensor, out: torch.Tensor, reuse: bool, seed: int | None) -> MLPState:
        """Write the block's output into `out` (tokens, hidden); arguments as in `compute_gate_up`."""
        state = self.compute_gate_up(residual, reuse, seed)
        extended = self.down.new_input(len(residual), residual)  # (tokens, intermediate + columns)
        swiglu(state.gate_up, extended[:, : self.down.in_features])
        weights, lora_down = self.down.unpack(self.scratch, residual, reuse)
        state.down_hidden = self.down.append_lora_hidden(extended, lora_down, seed)
        torch.addmm(residual, extended, weights.t(), out=out)
        return state

    def mlp_backward(
        self, residual: torch.Tensor, gradient: torch.Tensor, state: MLPState, reuse: tuple[bool, bool],
        seed: int | None,
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:  # fmt: skip
        """Return the gradients of the residual stream and of the factors of gate, up and down.

        Args:
            residual: (tokens, hidden), the residual stream after attention.
            gradient: (tokens, hidden), of the block's output.
            state: Saved tensors; used up, because gradients overwrite gate and up.
            reuse: Whether the weights of gate and up, and whether those of down, may lie unpacked.
            seed: Seed of the forward pass; None without dropout.
        """
        weights, lora_down = self.down.unpack(self.scratch, gradient, reuse[1])
        product, down_hidden_gradient = (gradient @ weights).split([self.down.in_features, self.down.columns], 1)
        if seed is not None and self.down.rank:
            # Dropout has to be applied to LoRA's part of the gradient first, so that it cannot be fused.
            self.down.add_lora_input_gradient(down_hidden_gradient, lora_down, seed, product)
            swiglu_backward(state.gate_up, product, down_hidden_gradient[:, :0], lora_down[:0], 0)
        else:
            swiglu_backward(state.gate_up, product, down_hidden_gradient, lora_down, self.down.rank)
        # `product` is now the input of the down projection, `state.gate_up` holds the gradients of gate and up.
        if state.down_hidden is None and self.down.rank:
            state.down_hidden = self.down.lora_hidden(product, lora_down, seed)
        down = self.down.factor_gradients(gradient, product, state.down_hidden, down_hidden_gradient, seed)
        # Free (tokens, intermediate) before the next large product.
        del product, down_hidden_gradient
        normed_gradient, hidden_gradient = self.gate_up.backward(self.scratch, state.gate_up, reuse[0], seed)
        back, normed = rms_norm_backward(residual, self.second_norm.weight, state.rstd, normed_gradient, gradient)
        return back, self.gate_up.factor_gradients(state.gate_up, normed, state.hidden, hidden_gradient, seed) + down

    def attention_backward(
        self, x: torch.Tensor, gradient: torch.Tensor, state: AttentionState, call: CallContext, reuse: bool
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the gradients of the block's input and of the factors of query, key, value and output.

        Args:
            x: (tokens, hidden), the block's input.
            gradient: (tokens, hidden), of the residual stream after attention.
            state: Saved tensors; used up.
            call: Arguments of the forward pass.
            reuse: Whether weights may lie unpacked.
        """
        tokens = len(x)
        attended_gradient, hidden_gradient = self.o.backward(self.scratch, gradient, reuse, call.seed)
        attended = state.out.detach().reshape(tokens, -1)  # (tokens, heads · head width)
        o_factors = self.o.factor_gradients(gradient, attended, state.o_hidden, hidden_gradient, call.seed)
        del hidden_gradient
        if not attended_gradient.is_contiguous():
            # The gradient is a view beside LoRA's columns, and attention's backward pass needs contiguous rows.
            contiguous = torch.empty_like(attended)
            copy_rows(attended_gradient, contiguous)
            attended_gradient = contiguous
            del contiguous
        leaf_gradients = torch.autograd.grad(state.out, state.leaves, attended_gradient.view(state.out.shape))
        # The graph holds query, key, value and the attended values: free them before the next products.
        state.out = state.leaves = None
        del attended_gradient, attended
        qkv = self._join_leaf_gradients(leaf_gradients, x, call)  # (tokens, (heads + 2 · key-value heads) · head width)
        del leaf_gradients
        normed_gradient, hidden_gradient = self.qkv.backward(self.scratch, qkv, reuse, call.seed)
        back, normed = rms_norm_backward(x, self.first_norm.weight, state.rstd, normed_gradient, gradient)
        return back, self.qkv.factor_gradients(qkv, normed, state.qkv_hidden, hidden_gradient, call.seed) + o_factors

    def chunks(self, tokens: int) -> list[slice]:
        """Return the chunks of tokens that the MLP half works on, one after the other."""
        size = self.chunk or tokens
        return [slice(start, start + size) for start in range(0, tokens, size)]

    def _join_leaf_gradients(
        self, gradients: tuple[torch.Tensor, ...], x: torch.Tensor, call: CallContext
    ) -> torch.Tensor:
        """Return the gradient of the product of query, key and value, before rotation.

        Args:
            gradients: Gradients of query, key and value after rotation, each (batch, heads, length, head width).
            x: (tokens, hidden), the block's input, for dtype and device.
            call: Arguments of the forward pass.

        Returns:
            (tokens, (heads + 2 · key-value heads) · head width).
        """
        tokens = len(x)
        # (tokens, (heads + 2 · key-value heads) · head width)
        qkv = torch.empty(tokens, self.qkv.out_features, dtype=x.dtype, device=x.device)
        start = 0
        for number, (part, width) in enumerate(zip(gradients, self.widths, strict=True)):
            source = part.transpose(1, 2).reshape(tokens, -1, self.head_width)  # (tokens, heads, head width)
            # (tokens, heads, head width), a view
            target = qkv[:, start : start + width].view(tokens, -1, self.head_width)
            if number < 2:
                apply_rotary(source, target, call.cos, call.sin, backward=True)
            else:
                # Values are not rotated.
                copy_rows(source.flatten(1), target.flatten(1))
            start += width
        return qkv


class _BlockFunction(torch.autograd.Function):
    """Autograd node of a fused block."""

    @staticmethod
    def forward(ctx, hidden: torch.Tensor, block: Block, call: CallContext, *factors: torch.Tensor) -> torch.Tensor:
        """Return the block's output, (batch, length, hidden).

        The factors are arguments so that autograd calls `backward` for them; the block reads its own.
        """
        x = hidden.reshape(-1, hidden.shape[-1])  # (tokens, hidden)
        attention = block.attention(x, call)
        out = torch.empty_like(x)  # (tokens, hidden)
        keep, chunk_states = block.keep and call.training, []
        for number, chunk in enumerate(block.chunks(len(x))):
            # The first chunk unpacks the weights, the others find them.
            state = block.mlp(attention.residual[chunk], out[chunk], number > 0, call.chunk_seed(number))
            if keep:
                chunk_states.append(state)
            del state
        if call.training:
            ctx.block, ctx.call = block, call
            ctx.kept = (attention, chunk_states) if keep else None
            ctx.x = block.offload.store(x) if block.offload and not keep else x
        return out.view(hidden.shape)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of the input and of the factors, in the order of `forward`'s arguments."""
        block, call = ctx.block, ctx.call
        x = block.offload.fetch(ctx.x) if block.offload and ctx.kept is None else ctx.x
        # Weights unpacked while activations are computed again still lie in the buffers for the backward pass.
        flat, recomputed = gradient.reshape(x.shape), ctx.kept is None
        attention, chunk_states = ctx.kept or (block.attention(x, call), None)
        # From here on the local names alone hold the saved tensors, so that each is freed after its last use.
        ctx.kept = ctx.x = None
        residual_gradient, mlp_factors = None, None
        chunks = block.chunks(len(x))
        for number, chunk in enumerate(chunks):
            residual, seed = attention.residual[chunk], call.chunk_seed(number)
            state = chunk_states[number] if chunk_states else block.compute_gate_up(residual, number > 0, seed)
            reuse = (recomputed or number > 0, number > 0)
            back, factors = block.mlp_backward(residual, flat[chunk], state, reuse, seed)
            if len(chunks) == 1:
                residual_gradient, mlp_factors = back, factors
                continue
            if residual_gradient is None:
                residual_gradient = torch.empty_like(x)  # (tokens, hidden)
            residual_gradient[chunk] = back
            # Factor gradients are sums over tokens: those of the chunks add up.
            mlp_factors = factors if mlp_factors is None else [
                total.add_(more) for total, more in zip(mlp_factors, factors, strict=True)
            ]  # fmt: skip
            del state, back, factors
        del flat, chunk_states
        attention.residual = None
        back, attention_factors = block.attention_backward(x, residual_gradient, attention, call, recomputed)
        # The block and the call context get no gradient.
        return back.view(gradient.shape), None, None, *attention_factors, *mlp_factors
