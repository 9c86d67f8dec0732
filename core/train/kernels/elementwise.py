"""Backward passes of RMSNorm and SwiGLU, dropout by seed and strided copies.

Triton kernels on a GPU, PyTorch elsewhere.

The forward functions that the chat uses too are in `core.kernels.elementwise`, with the layout of the matrices and the
sources of the formulas. All matrices are (tokens, width), all sums float32; rows may lie apart.
"""

import torch

from core.kernels.elementwise import uses_triton


def rms_norm_backward(
    x: torch.Tensor, weight: torch.Tensor, rstd: torch.Tensor, gradient: torch.Tensor, residual_gradient: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradient of x, and the norm's output again.

    With u = x · rstd and g = gradient · weight, the gradient of x is (g − u · mean(g · u)) · rstd.

    Args:
        x: (tokens, width), the norm's input.
        weight: (width,), frozen.
        rstd: (tokens,), float32, from the forward pass.
        gradient: (tokens, width), of the norm's output.
        residual_gradient: (tokens, width), the gradient that reaches x around the norm; it is added.

    Returns:
        Two tensors (tokens, width), contiguous, dtype of x.
    """
    x_gradient, normed = torch.empty_like(x), torch.empty_like(x)  # (tokens, width)
    if uses_triton(x):
        from core.train.kernels import elementwise_triton

        elementwise_triton.rms_norm_backward(x, weight, rstd, gradient, residual_gradient, x_gradient, normed)
        return x_gradient, normed
    unit = x.float() * rstd[:, None]  # (tokens, width)
    torch.mul(unit.to(x.dtype), weight, out=normed)
    scaled = gradient.float() * weight.float()  # (tokens, width)
    through_norm = (scaled - unit * (scaled * unit).mean(dim=1, keepdim=True)) * rstd[:, None]
    x_gradient.copy_(through_norm + residual_gradient.float())
    return x_gradient, normed


def swiglu_backward(
    gate_up: torch.Tensor, gradient: torch.Tensor, lora_hidden_gradient: torch.Tensor, lora_down: torch.Tensor,
    rank: int,
) -> None:  # fmt: skip
    """Turn `gate_up` into its gradients and `gradient` into the SwiGLU's output, both in place.

    The caller no longer needs what is overwritten, and the down projection's factor gradients need the output again.

    Args:
        gate_up: (tokens, 2 · width), gate in the first half; becomes their gradients.
        gradient: (tokens, width), of the output, without LoRA's part; becomes the output silu(gate) · up.
        lora_hidden_gradient: (tokens, columns), the gradient of x Aᵀ of the down projection.
        lora_down: (columns, width), its A. The product of both is LoRA's part of the gradient and is added first.
        rank: Leading columns that are not 0; 0 adds nothing.
    """
    if uses_triton(gate_up):
        from core.train.kernels import elementwise_triton

        elementwise_triton.swiglu_backward(gate_up, gradient, lora_hidden_gradient, lora_down, rank)
        return
    gate, up = gate_up.float().chunk(2, dim=1)  # each (tokens, width)
    hidden_gradient = torch.addmm(gradient.float(), lora_hidden_gradient.float(), lora_down.float())  # (tokens, width)
    sigmoid = torch.sigmoid(gate)  # (tokens, width)
    silu = gate * sigmoid  # (tokens, width)
    output = silu * up  # (tokens, width)
    # The derivative of silu is σ(z) + z σ(z) (1 − σ(z)).
    gate_gradient = hidden_gradient * up * (sigmoid + silu * (1 - sigmoid))  # (tokens, width)
    gate_up.copy_(torch.cat([gate_gradient, hidden_gradient * silu], dim=1))
    gradient.copy_(output)


def dropout(x: torch.Tensor, probability: float, seed: int) -> torch.Tensor:
    """Return x with some elements set to 0 and the others divided by 1 − probability (Srivastava et al. 2014).

    The seed alone decides which elements: the backward pass makes the same choice again, and no mask is stored.

    Args:
        x: (tokens, width).
        probability: Share of elements that become 0.
        seed: 2³² or more on a GPU, so that Triton compiles one kernel for all seeds.

    Returns:
        (tokens, width), contiguous, dtype of x.
    """
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)  # (tokens, width)
    if uses_triton(x):
        from core.train.kernels import elementwise_triton

        elementwise_triton.dropout(x, probability, seed, out, accumulate=False)
        return out
    return torch.mul(x, _keep_scale(x, probability, seed), out=out)


def dropout_backward(gradient: torch.Tensor, probability: float, seed: int, out: torch.Tensor) -> None:
    """Add to `out` the gradient of dropout's input.

    Args:
        gradient: (tokens, width), of dropout's output.
        probability: As in the forward pass.
        seed: As in the forward pass.
        out: (tokens, width).
    """
    if uses_triton(out):
        from core.train.kernels import elementwise_triton

        elementwise_triton.dropout(gradient, probability, seed, out, accumulate=True)
        return
    out += gradient * _keep_scale(gradient, probability, seed)


def _keep_scale(x: torch.Tensor, probability: float, seed: int) -> torch.Tensor:
    """Return (tokens, width), float32: 0 where an element is dropped, 1 / (1 − probability) elsewhere."""
    chances = torch.rand(x.shape, generator=torch.Generator(x.device).manual_seed(seed), device=x.device)
    return (chances >= probability).float() / (1 - probability)


def copy_rows(source: torch.Tensor, out: torch.Tensor) -> None:
    """Copy between matrices (tokens, width) of one dtype whose rows may lie apart."""
    if uses_triton(out):
        from core.train.kernels import elementwise_triton

        elementwise_triton.copy_rows(source, out)
        return
    out.copy_(source)
