"""RMSNorm, rotary embedding and SwiGLU: Triton kernels on a GPU, a PyTorch reference elsewhere.

Training's fused block and the chat's prefill call these functions, so both round alike. The chat's decode step has
other RMSNorm and SwiGLU kernels (core/chat/cuda/elementwise.py): they also add up the parts of a product, and write
their output in paired order. Prompts of hundreds of tokens need neither.

All matrices are (tokens, width), bfloat16, float16 or float32; every sum is in float32. A matrix may be a view whose
rows lie further apart than they are long (`stride(0) > width`), so that results land beside other columns without a
copy:

    storage  | x x x x x x x x | a a |      out = storage[:, :width]: a row of x is contiguous,
             | x x x x x x x x | a a |      the next one starts stride(0) numbers later
              <---- width ---->
              <----- stride(0) ----->

Formulas: RMSNorm, Zhang and Sennrich 2019, arXiv:1910.07467; rotary embedding, Su et al. 2021, arXiv:2104.09864;
SwiGLU, Shazeer 2020, arXiv:2002.05202. tests/gpu/test_kernels_gpu.py measures the kernels against the reference.
"""

import importlib.util

import torch

HAS_TRITON = importlib.util.find_spec("triton") is not None


def uses_triton(tensor: torch.Tensor) -> bool:
    """Return whether the Triton kernels handle this tensor."""
    return tensor.is_cuda and HAS_TRITON


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float, out: torch.Tensor) -> torch.Tensor:
    """Write x / √(mean(x²) + eps) · weight into `out`.

    Args:
        x: (tokens, width).
        weight: (width,).
        eps: Added to the mean square, as the model's configuration has it.
        out: (tokens, width), dtype of x.

    Returns:
        1 / √(mean(x²) + eps) of each token, (tokens,), float32: the backward pass needs it.
    """
    if uses_triton(x):
        from core.kernels import elementwise_triton

        rstd = torch.empty(len(x), dtype=torch.float32, device=x.device)  # (tokens,), float32
        elementwise_triton.rms_norm(x, weight, eps, out, rstd)
        return rstd
    value = x.float()  # (tokens, width), float32
    rstd = torch.rsqrt(value.square().mean(dim=1) + eps)  # (tokens,), float32
    # Round to the dtype of x before the weight is applied: transformers' LlamaRMSNorm does so too.
    torch.mul((value * rstd[:, None]).to(x.dtype), weight, out=out)
    return rstd


def apply_rotary(
    source: torch.Tensor, out: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, backward: bool = False
) -> None:
    """Rotate pairs of a head's numbers by the angles of their positions, from `source` into `out`.

    The first half of a head pairs with the second, as in Llama: (a, b) becomes (a cos − b sin, b cos + a sin).

    Args:
        source: (tokens, heads, head width).
        out: (tokens, heads, head width); may be `source`.
        cos: (positions, head width), the same numbers in both halves; token t takes row t modulo positions.
        sin: Like `cos`.
        backward: Rotate by the negative angle, which is the backward pass.
    """
    if uses_triton(source):
        from core.kernels import elementwise_triton

        elementwise_triton.apply_rotary(source, out, cos, sin, backward)
        return
    half, repeats = source.shape[2] // 2, len(source) // len(cos)
    tables = (cos, -sin if backward else sin)
    c, s = (table.repeat(repeats, 1)[:, None, :half].float() for table in tables)  # (tokens, 1, half)
    left, right = source[..., :half].float(), source[..., half:].float()  # (tokens, heads, half)
    out.copy_(torch.cat([left * c - right * s, right * c + left * s], dim=2))


def swiglu(gate_up: torch.Tensor, out: torch.Tensor) -> None:
    """Write silu(gate) · up into `out`.

    Args:
        gate_up: (tokens, 2 · width), gate in the first half of each row, up in the second.
        out: (tokens, width).
    """
    if uses_triton(gate_up):
        from core.kernels import elementwise_triton

        elementwise_triton.swiglu(gate_up, out)
        return
    gate, up = gate_up.float().chunk(2, dim=1)  # each (tokens, width)
    out.copy_(torch.nn.functional.silu(gate) * up)
