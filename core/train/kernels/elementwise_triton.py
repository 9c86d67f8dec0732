"""Triton kernels of strided copy, dropout and the backward passes of RMSNorm and SwiGLU.

`core.train.kernels.elementwise` calls them.

Each makes one pass over memory with sums in float32. Programs are laid out over tokens and columns as in
`core.kernels.elementwise_triton`; `*_stride` arguments are the numbers from one row to the next. No kernel adds with
atomics, so a result does not depend on the order in which programs run (core/train/determinism.py). tests/gpu/
test_kernels_gpu.py compares each with PyTorch in bfloat16, float16 and float32; bench/train.py times the whole step.
"""

import torch
import triton
import triton.language as tl


@triton.jit
def _copy_rows(source, out, width, source_stride, out_stride, BLOCK: tl.constexpr):
    """Copy BLOCK columns of one token; source, out: (tokens, width), one dtype."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)  # (BLOCK,)
    inside = column < width
    tl.store(out + row * out_stride + column, tl.load(source + row * source_stride + column, mask=inside), mask=inside)


def copy_rows(source: torch.Tensor, out: torch.Tensor) -> None:
    """Copy (tokens, width); PyTorch's own copy is slow where rows do not follow one another."""
    rows, width = out.shape
    block = min(2048, triton.next_power_of_2(width))
    _copy_rows[(rows, triton.cdiv(width, block))](
        source, out, width, source.stride(0), out.stride(0), BLOCK=block, num_warps=4 if block > 256 else 1
    )


@triton.jit
def _drop_quarter(source, out, column, width, uniform, probability, ACCUMULATE: tl.constexpr):
    """Apply dropout to some columns of one token; column, uniform: (QUARTER,), the latter float32 in [0, 1)."""
    inside = column < width
    value = tl.load(source + column, mask=inside, other=0.0).to(tl.float32)
    value = tl.where(uniform >= probability, value / (1 - probability), 0.0)  # (QUARTER,), float32
    if ACCUMULATE:
        value += tl.load(out + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + column, value.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["seed"])
def _dropout(
    source, out, width, source_stride, out_stride, seed, probability, ACCUMULATE: tl.constexpr, QUARTER: tl.constexpr
):
    """Apply dropout to 4 · QUARTER columns of one token; source, out: (tokens, width).

    Philox (Salmon et al. 2011) makes four random numbers from one counter, one for each quarter of the columns. The
    counter depends on the token and column only, so the same seed gives the same choice in the backward pass.
    """
    quarter_column = tl.arange(0, QUARTER)  # (QUARTER,)
    # A counter of 32 bits makes Philox twice as fast as one of 64.
    counter = (tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)) * QUARTER + quarter_column
    first, second, third, fourth = tl.rand4x(seed, counter)  # each (QUARTER,), float32
    row = tl.program_id(0).to(tl.int64)
    source += row * source_stride
    out += row * out_stride
    column = tl.program_id(1) * 4 * QUARTER + quarter_column  # (QUARTER,)
    _drop_quarter(source, out, column, width, first, probability, ACCUMULATE)
    _drop_quarter(source, out, column + QUARTER, width, second, probability, ACCUMULATE)
    _drop_quarter(source, out, column + 2 * QUARTER, width, third, probability, ACCUMULATE)
    _drop_quarter(source, out, column + 3 * QUARTER, width, fourth, probability, ACCUMULATE)


def dropout(source: torch.Tensor, probability: float, seed: int, out: torch.Tensor, accumulate: bool) -> None:
    """Write dropout of `source` (tokens, width) into `out`, or add it.

    A seed must be 2³² or more: Triton compiles one kernel for 32-bit and another for 64-bit integers.
    """
    rows, width = source.shape
    _dropout[(rows, triton.cdiv(width, 2048))](
        source, out, width, source.stride(0), out.stride(0), seed, probability, ACCUMULATE=accumulate, QUARTER=512,
        num_warps=4,
    )  # fmt: skip


@triton.jit
def _rms_norm_backward(
    x, weight, rstd, gradient, residual_gradient, x_gradient, normed, width, x_stride, gradient_stride,
    residual_stride, x_gradient_stride, ROW: tl.constexpr,
):  # fmt: skip
    """Compute RMSNorm's backward pass of one token, and its output again.

    All matrices (tokens, width), `normed` contiguous; weight: (width,); rstd: (tokens,), float32. ROW: width rounded
    up to a power of two.
    """
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, ROW)  # (ROW,)
    inside = column < width
    scale = tl.load(rstd + row)  # scalar
    normalized = tl.load(x + row * x_stride + column, mask=inside, other=0.0).to(tl.float32) * scale  # (ROW,)
    gain = tl.load(weight + column, mask=inside, other=0.0)  # (ROW,), dtype of the weight
    tl.store(normed + row * width + column, normalized.to(normed.dtype.element_ty) * gain, mask=inside)
    # (ROW,)
    weighted_gradient = tl.load(gradient + row * gradient_stride + column, mask=inside, other=0.0).to(tl.float32)
    weighted_gradient *= gain.to(tl.float32)
    # (ROW,), float32
    result = (weighted_gradient - normalized * (tl.sum(weighted_gradient * normalized) / width)) * scale
    result += tl.load(residual_gradient + row * residual_stride + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(x_gradient + row * x_gradient_stride + column, result.to(x_gradient.dtype.element_ty), mask=inside)


def rms_norm_backward(
    x: torch.Tensor, weight: torch.Tensor, rstd: torch.Tensor, gradient: torch.Tensor, residual_gradient: torch.Tensor,
    x_gradient: torch.Tensor, normed: torch.Tensor,
) -> None:  # fmt: skip
    """Launch one program per token; shapes as in `core.train.kernels.elementwise.rms_norm_backward`."""
    rows, width = x.shape
    _rms_norm_backward[(rows,)](
        x, weight, rstd, gradient, residual_gradient, x_gradient, normed, width, x.stride(0), gradient.stride(0),
        residual_gradient.stride(0), x_gradient.stride(0), ROW=triton.next_power_of_2(width), num_warps=8,
    )  # fmt: skip


@triton.jit
def _swiglu_backward(
    gate_up, gradient, lora_hidden_gradient, lora_down, rows, width, gate_up_stride, gradient_stride, hidden_stride,
    lora_down_stride, RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Compute SwiGLU's backward pass of ROWS tokens and COLUMNS columns, in place.

    gate_up: (rows, 2 · width). gradient: (rows, width). lora_hidden_gradient: (rows, RANK or more). lora_down: (RANK
    or more, width). RANK: the rank rounded up to 16, the depth of one tensor-core product; the columns behind the rank
    are 0.

    Fusing LoRA's product saves a pass over `gradient`, which is as large as the activations of the MLP.
    """
    row = (tl.program_id(1) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]  # (ROWS, 1)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]  # (1, COLUMNS)
    inside = (row < rows) & (column < width)  # (ROWS, COLUMNS)
    dtype = gate_up.dtype.element_ty
    # (ROWS, COLUMNS), float32
    hidden_gradient = tl.load(gradient + row * gradient_stride + column, mask=inside, other=0.0).to(tl.float32)
    for first in tl.static_range(0, RANK, 16):
        rank = first + tl.arange(0, 16)  # (16,): ranks
        lora_gradient = tl.load(lora_hidden_gradient + row * hidden_stride + rank[None, :], mask=row < rows, other=0.0)
        lora_down_tile = tl.load(lora_down + rank[:, None] * lora_down_stride + column, mask=column < width, other=0.0)
        # (ROWS, 16) × (16, COLUMNS) in float32; "ieee" keeps float32 inputs from being rounded to TF32.
        hidden_gradient = tl.dot(lora_gradient, lora_down_tile, hidden_gradient, input_precision="ieee")
    gate_pointers, up_pointers = (
        gate_up + row * gate_up_stride + column,
        gate_up + row * gate_up_stride + width + column,
    )
    gate = tl.load(gate_pointers, mask=inside, other=0.0).to(tl.float32)  # (ROWS, COLUMNS)
    up = tl.load(up_pointers, mask=inside, other=0.0).to(tl.float32)  # (ROWS, COLUMNS)
    sigmoid = tl.sigmoid(gate)  # (ROWS, COLUMNS)
    silu = gate * sigmoid  # (ROWS, COLUMNS): silu(gate)
    # Each element is loaded and stored by one program only, so overwriting in place is safe.
    tl.store(gate_pointers, (hidden_gradient * up * (sigmoid + silu * (1 - sigmoid))).to(dtype), mask=inside)
    tl.store(up_pointers, (hidden_gradient * silu).to(dtype), mask=inside)
    tl.store(gradient + row * gradient_stride + column, (silu * up).to(dtype), mask=inside)


def swiglu_backward(
    gate_up: torch.Tensor, gradient: torch.Tensor, lora_hidden_gradient: torch.Tensor, lora_down: torch.Tensor,
    rank: int,
) -> None:  # fmt: skip
    """Launch one program per 32 tokens and 128 columns; shapes as in `elementwise.swiglu_backward`."""
    rows, width = gradient.shape
    _swiglu_backward[(triton.cdiv(width, 128), triton.cdiv(rows, 32))](
        gate_up, gradient, lora_hidden_gradient, lora_down, rows, width, gate_up.stride(0), gradient.stride(0),
        lora_hidden_gradient.stride(0), lora_down.stride(0), RANK=-(-rank // 16) * 16, ROWS=32, COLUMNS=128,
        num_warps=4,
    )  # fmt: skip
