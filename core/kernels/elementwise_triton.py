"""Triton kernels of RMSNorm, rotary embedding and SwiGLU; `core.kernels.elementwise` calls them.

Each kernel reads its input and writes its output once, so its time is that of the memory traffic. One program handles
one token (axis 0), or one token and a block of its columns or heads (axis 1):

    grid (tokens,)                    program t:     row t, all columns
    grid (tokens, column blocks)      program (t, b): row t, columns [b · BLOCK, (b + 1) · BLOCK)

Pointers advance by the row strides that are passed in, so rows may lie apart. Row numbers are int64: tokens × stride
can exceed 2³¹. Loads convert to float32, stores round to the output's dtype; sums and products are float32.
Only the weight of RMSNorm is applied after rounding, in the output's dtype, as in transformers' LlamaRMSNorm.
"""

import torch
import triton
import triton.language as tl


@triton.jit
def _rms_norm(x, weight, out, rstd, width, x_stride, out_stride, eps, ROW: tl.constexpr):
    """Compute RMSNorm of one token.

    x, out: (tokens, width), one dtype. weight: (width,). rstd: (tokens,), float32. ROW: width rounded up to a power
    of two, as Triton's blocks must be.
    """
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, ROW)  # (ROW,)
    inside = column < width  # (ROW,), bool
    value = tl.load(x + row * x_stride + column, mask=inside, other=0.0).to(tl.float32)  # (ROW,)
    # Masked columns are 0 and add nothing to the sum.
    scale = 1 / tl.sqrt(tl.sum(value * value) / width + eps)  # scalar, float32
    tl.store(rstd + row, scale)
    # The rounding before the weight is that of transformers' LlamaRMSNorm.
    normed = (value * scale).to(out.dtype.element_ty)  # (ROW,)
    tl.store(out + row * out_stride + column, normed * tl.load(weight + column, mask=inside), mask=inside)


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float, out: torch.Tensor, rstd: torch.Tensor) -> None:
    """Launch one program per token; shapes as in `core.kernels.elementwise.rms_norm`."""
    rows, width = x.shape
    _rms_norm[(rows,)](
        x, weight, out, rstd, width, x.stride(0), out.stride(0), eps, ROW=triton.next_power_of_2(width), num_warps=8
    )


@triton.jit
def _apply_rotary(
    source, out, cos, sin, heads, table_rows, source_stride, head_stride, out_stride, sign,
    HEADS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """Apply rotary embedding to HEADS heads of one token.

    source, out: (tokens, heads, 2 · HALF); the heads of `out` follow one another, those of `source` lie `head_stride`
    numbers apart. cos, sin: (table_rows, 2 · HALF). sign: 1.0 forward, −1.0 backward.
    """
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)  # (HEADS,)
    column = tl.arange(0, HALF)  # (HALF,)
    # Both halves of a table row hold the same numbers: only the first is read.
    table_index = (row % table_rows) * 2 * HALF + column
    cosine, sine = (
        tl.load(cos + table_index).to(tl.float32)[None, :],
        tl.load(sin + table_index).to(tl.float32)[None, :] * sign,
    )  # (1, HALF)
    inside = (head < heads)[:, None] & (column < HALF)[None, :]  # (HEADS, HALF)
    # (HEADS, HALF), pointers
    source_pointers = source + row * source_stride + head[:, None] * head_stride + column[None, :]
    out_pointers = out + row * out_stride + head[:, None] * 2 * HALF + column[None, :]
    # Both halves are loaded before either is stored, so source and out may be the same tensor.
    # (HEADS, HALF) each, float32
    first_half, second_half = (
        tl.load(source_pointers, mask=inside).to(tl.float32),
        tl.load(source_pointers + HALF, mask=inside).to(tl.float32),
    )
    tl.store(out_pointers, (first_half * cosine - second_half * sine).to(out.dtype.element_ty), mask=inside)
    tl.store(out_pointers + HALF, (second_half * cosine + first_half * sine).to(out.dtype.element_ty), mask=inside)


def apply_rotary(source: torch.Tensor, out: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, backward: bool) -> None:
    """Launch one program per token and up to 16 heads; shapes as in `core.kernels.elementwise.apply_rotary`."""
    rows, heads, width = source.shape
    block = min(16, triton.next_power_of_2(heads))
    _apply_rotary[(rows, triton.cdiv(heads, block))](
        source, out, cos, sin, heads, cos.shape[0], source.stride(0), source.stride(1), out.stride(0),
        -1.0 if backward else 1.0, HEADS=block, HALF=width // 2, num_warps=4,
    )  # fmt: skip


@triton.jit
def _swiglu(gate_up, out, width, gate_up_stride, out_stride, BLOCK: tl.constexpr):
    """Compute SwiGLU of BLOCK columns of one token. gate_up: (tokens, 2 · width). out: (tokens, width)."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)  # (BLOCK,)
    inside = column < width
    gate = tl.load(gate_up + row * gate_up_stride + column, mask=inside).to(tl.float32)  # (BLOCK,)
    up = tl.load(gate_up + row * gate_up_stride + width + column, mask=inside).to(tl.float32)  # (BLOCK,)
    tl.store(out + row * out_stride + column, (gate * tl.sigmoid(gate) * up).to(out.dtype.element_ty), mask=inside)


def swiglu(gate_up: torch.Tensor, out: torch.Tensor) -> None:
    """Launch one program per token and 2,048 columns; shapes as in `core.kernels.elementwise.swiglu`."""
    rows, width = out.shape
    _swiglu[(rows, triton.cdiv(width, 2048))](
        gate_up, out, width, gate_up.stride(0), out.stride(0), BLOCK=2048, num_warps=4
    )
