"""Triton kernels between the products of a decode step: RMSNorm with residual, and SwiGLU.

Computation, for each of R rows (one token of each sequence):

    norm     residual += sum of the parts of the product before;  out = residual / rms(residual) * weight
    swiglu   out = silu(gate) * up

Steps: a program loads its row, adds up the P float32 parts of a product (`decode_graph`), computes in float32, and
stores in the model's dtype. Values are rounded to the model's dtype exactly where the PyTorch model rounds them, so
both round alike (tests/gpu/test_fast_lanes_gpu.py).

    parts of a product, float32, (P, R, width)          out, (R, width)
    P ┌ part 0: R rows ┐
      │ part 1: R rows │ ─── added up by the reader ──▶  one row per program
      └ ...            ┘

Paired order of columns: inputs of products with packed 4-bit weights are stored with the even ones of every eight
columns first, then the odd ones. The two weights in a byte (an even and an odd column) then meet their inputs in two
contiguous loads:

    column   0 1 2 3 4 5 6 7        stored at   0 4 1 5 2 6 3 7
    so positions 0..3 hold columns 0 2 4 6, and positions 4..7 hold columns 1 3 5 7

The sum of the parts, the residual and the norm share one launch, because a step is made of many small launches, each
of which costs time. bench/chat_gpu.py measures the whole step.
"""

import torch
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

_SWIGLU_COLUMNS = 512


@triton.jit
def wait_for_previous(CHAINED: tl.constexpr):
    """Let the next kernel start its preamble, and wait for the results of the one before.

    Programmatic dependent launch: a kernel's start overlaps the end of the kernel before it.
    """
    if CHAINED:
        gdc_launch_dependents()
        gdc_wait()


def is_chained(tensor: torch.Tensor) -> bool:
    """Return whether kernels over a tensor use programmatic dependent launch: from Hopper (9.0) on."""
    return tensor.is_cuda and torch.cuda.get_device_capability(tensor.device)[0] >= 9


@triton.jit
def compute_paired_index(column, PAIRED: tl.constexpr):
    """Return the position of columns (int32, any shape) in paired order; unchanged if not PAIRED.

    Of each eight columns, the even ones come first: 0 2 4 6 1 3 5 7. A byte of packed weights holds an even column in
    its upper nibble and the next odd one in its lower nibble. So the upper nibbles of four bytes meet four contiguous
    columns, and so do the lower ones.
    """
    if PAIRED:
        return column // 8 * 8 + column % 2 * 4 + column % 8 // 2
    else:
        return column


@triton.jit
def sum_parts(parts, row, rows, total, column, inside, PARTS: tl.constexpr):
    """Add up the parts of a product at some columns of a row.

    parts: float32, (PARTS, rows, total). column, inside: of any shape. Returns that shape, float32.
    """
    accumulator = tl.load(parts + row * total + column, mask=inside, other=0.0)
    for part in tl.static_range(1, PARTS):
        accumulator += tl.load(parts + (part * rows + row) * total + column, mask=inside, other=0.0)
    return accumulator


@triton.jit
def _norm(
    residual, added, weight, out, rows, width, eps,
    PARTS: tl.constexpr, PAIRED: tl.constexpr, COLUMNS: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """Add a product to a row of the residual stream, and normalize it. Grid: (rows,).

    residual, out: (rows, width), model dtype. added: (PARTS, rows, width), float32. weight: (width,), model dtype.
    """
    wait_for_previous(CHAINED)
    row = tl.program_id(0)
    # COLUMNS is a power of two that is at least width: a program holds the whole row.
    column = tl.arange(0, COLUMNS)  # (COLUMNS,)
    inside = column < width  # (COLUMNS,), bool
    dtype = residual.dtype.element_ty
    value = tl.load(residual + row * width + column, mask=inside, other=0.0).to(tl.float32)  # (COLUMNS,), fp32
    if PARTS > 0:
        addend = sum_parts(added, row, rows, width, column, inside, PARTS)  # (COLUMNS,), fp32
        # Rounded before and after the addition, as PyTorch does.
        value = (value + addend.to(dtype).to(tl.float32)).to(dtype)
        tl.store(residual + row * width + column, value, mask=inside)
        value = value.to(tl.float32)
    scale = 1 / tl.sqrt(tl.sum(value * value) / width + eps)  # scalar, fp32
    normed = (value * scale).to(dtype) * tl.load(weight + column, mask=inside, other=0.0)  # (COLUMNS,)
    tl.store(out + row * width + compute_paired_index(column, PAIRED), normed.to(dtype), mask=inside)


def norm(
    residual: torch.Tensor, added: torch.Tensor | None, weight: torch.Tensor, eps: float, out: torch.Tensor,
    paired: bool,
) -> None:  # fmt: skip
    """Add a product to the residual stream in place, and compute its RMSNorm (Zhang and Sennrich 2019).

    Args:
        residual: (rows, width), model dtype, updated.
        added: (parts, rows, width), float32; None adds nothing.
        weight: (width,), model dtype.
        eps: Epsilon of the norm.
        out: (rows, width), model dtype, written.
        paired: Whether the columns of `out` are in paired order.
    """
    rows, width = residual.shape
    _norm[(rows,)](
        residual, residual if added is None else added, weight, out, rows, width, eps,
        PARTS=0 if added is None else len(added), PAIRED=paired, COLUMNS=triton.next_power_of_2(width),
        CHAINED=is_chained(residual), launch_pdl=is_chained(residual), num_warps=8,
    )  # fmt: skip


@triton.jit
def _swiglu(
    gate_up, out, rows, width, PARTS: tl.constexpr, PAIRED: tl.constexpr, COLUMNS: tl.constexpr, CHAINED: tl.constexpr
):
    """Compute SwiGLU for COLUMNS columns of a row. Grid: (rows, width / COLUMNS).

    gate_up: (PARTS, rows, 2 * width), float32: gate, then up. out: (rows, width), model dtype.
    """
    wait_for_previous(CHAINED)
    row = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)  # (COLUMNS,)
    inside = column < width
    dtype = out.dtype.element_ty
    gate = sum_parts(gate_up, row, rows, 2 * width, column, inside, PARTS).to(dtype).to(tl.float32)  # (COLUMNS,)
    up = sum_parts(gate_up, row, rows, 2 * width, column + width, inside, PARTS).to(dtype).to(tl.float32)  # (COLUMNS,)
    activated = (gate * tl.sigmoid(gate)).to(dtype).to(tl.float32)  # (COLUMNS,), fp32 with the rounding of the dtype
    tl.store(out + row * width + compute_paired_index(column, PAIRED), (activated * up).to(dtype), mask=inside)


def swiglu(gate_up: torch.Tensor, out: torch.Tensor, paired: bool) -> None:
    """Compute SwiGLU (Shazeer 2020).

    Args:
        gate_up: (parts, rows, 2 * width), float32.
        out: (rows, width), model dtype, written.
        paired: Whether the columns of `out` are in paired order.
    """
    rows, width = out.shape
    _swiglu[(rows, triton.cdiv(width, _SWIGLU_COLUMNS))](
        gate_up, out, rows, width, PARTS=len(gate_up), PAIRED=paired, COLUMNS=_SWIGLU_COLUMNS,
        CHAINED=is_chained(out), launch_pdl=is_chained(out), num_warps=4,
    )  # fmt: skip
