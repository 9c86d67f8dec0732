"""RMSNorm, rotary embedding and SwiGLU with their backward passes: Triton on a GPU, PyTorch elsewhere.

All matrices are (tokens, width); rows may lie further apart than they are long. Formulas: RMSNorm, Zhang and Sennrich
2019, arXiv:1910.07467; rotary embedding, Su et al. 2021, arXiv:2104.09864; SwiGLU, Shazeer 2020, arXiv:2002.05202.
"""

import importlib.util

import torch

HAS_TRITON = importlib.util.find_spec("triton") is not None


def fused(tensor: torch.Tensor) -> bool:
    """Whether the Triton kernels serve this tensor."""
    return tensor.is_cuda and HAS_TRITON


def norm(x: torch.Tensor, weight: torch.Tensor, eps: float, out: torch.Tensor) -> torch.Tensor:
    """RMSNorm of x (tokens, width) into `out`; returns 1 / root mean square a token (float32), for the way back."""
    if fused(x):
        from core.train.kernels import gpu

        rstd = torch.empty(len(x), dtype=torch.float32, device=x.device)
        gpu.norm(x, weight, eps, out, rstd)
        return rstd
    value = x.float()
    rstd = torch.rsqrt(value.square().mean(dim=1) + eps)
    torch.mul((value * rstd[:, None]).to(x.dtype), weight, out=out)
    return rstd


def norm_back(
    x: torch.Tensor, weight: torch.Tensor, rstd: torch.Tensor, gradient: torch.Tensor, passed: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient of x, and the normed x again.

    Args:
        gradient: (tokens, width), of the norm's output.
        passed: (tokens, width), what reaches x past the norm; it is added.
    """
    back, normed = torch.empty_like(x), torch.empty_like(x)
    if fused(x):
        from core.train.kernels import gpu

        gpu.norm_back(x, weight, rstd, gradient, passed, back, normed)
        return back, normed
    unit = x.float() * rstd[:, None]
    torch.mul(unit.to(x.dtype), weight, out=normed)
    pulled = gradient.float() * weight.float()
    back.copy_((pulled - unit * (pulled * unit).mean(dim=1, keepdim=True)) * rstd[:, None] + passed.float())
    return back, normed


def rotate(source: torch.Tensor, out: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, back: bool = False) -> None:
    """Rotary embedding of source (tokens, heads, head width) into `out`, which may be `source`.

    Args:
        cos, sin: (positions, head width), both halves alike; token t takes row t modulo positions.
        back: turn the other way, which is the backward pass.
    """
    if fused(source):
        from core.train.kernels import gpu

        gpu.rotate(source, out, cos, sin, back)
        return
    half, times = source.shape[2] // 2, len(source) // len(cos)
    c, s = (table.repeat(times, 1)[:, None, :half].float() for table in (cos, -sin if back else sin))
    left, right = source[..., :half].float(), source[..., half:].float()
    out.copy_(torch.cat([left * c - right * s, right * c + left * s], dim=2))


def swiglu(both: torch.Tensor, out: torch.Tensor) -> None:
    """silu(gate) × up into `out` (tokens, width), from both (tokens, gate and up)."""
    if fused(both):
        from core.train.kernels import gpu

        gpu.swiglu(both, out)
        return
    gate, up = both.float().chunk(2, dim=1)
    out.copy_(torch.nn.functional.silu(gate) * up)


def swiglu_back(
    both: torch.Tensor, gradient: torch.Tensor, lowered: torch.Tensor, lower: torch.Tensor, rank: int
) -> None:
    """In place: `both` becomes the gradients of gate and up, `gradient` (tokens, width) the product itself again.

    Args:
        lowered, lower: (tokens, columns) and (columns, width); their product is what of the gradient came through
            LoRA, and is added to it first.
        rank: columns that are not 0.
    """
    if fused(both):
        from core.train.kernels import gpu

        gpu.swiglu_back(both, gradient, lowered, lower, rank)
        return
    gate, up = both.float().chunk(2, dim=1)
    pulled, open_ = torch.addmm(gradient.float(), lowered.float(), lower.float()), torch.sigmoid(gate)
    gated = gate * open_
    product = gated * up
    both.copy_(torch.cat([pulled * up * (open_ + gated * (1 - open_)), pulled * gated], dim=1))
    gradient.copy_(product)


def drop(x: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    """Dropout of x (tokens, width) (Srivastava et al. 2014): what the seed chooses is 0, the rest divided by 1 - share.

    The same seed chooses the same again: nothing of the choice is kept for the backward pass.
    """
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if fused(x):
        from core.train.kernels import gpu

        gpu.drop(x, share, seed, out, add=False)
        return out
    return torch.mul(x, _kept(x, share, seed), out=out)


def drop_back(gradient: torch.Tensor, share: float, seed: int, out: torch.Tensor) -> None:
    """What of the gradient (tokens, width) of `drop` reaches x is added to `out`."""
    if fused(out):
        from core.train.kernels import gpu

        gpu.drop(gradient, share, seed, out, add=True)
        return
    out += gradient * _kept(gradient, share, seed)


def _kept(x: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    chances = torch.rand(x.shape, generator=torch.Generator(x.device).manual_seed(seed), device=x.device)
    return (chances >= share).float() / (1 - share)


def copy(source: torch.Tensor, out: torch.Tensor) -> None:
    """Between matrices of one shape whose rows may lie apart."""
    if fused(out):
        from core.train.kernels import gpu

        gpu.copy(source, out)
        return
    out.copy_(source)
