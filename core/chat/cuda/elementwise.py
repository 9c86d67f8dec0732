"""Triton kernels: what of a step lies between its products. Each adds up the parts that a product left.

Sums are in float32; numbers are rounded where the plain model rounds them, so that both round alike. `paired` columns:
of every eight the even ones first, then the odd ones (`product`).
"""

import torch
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def begin(CHAINED: tl.constexpr):
    """Let the kernel after this one get ready, and wait for the one before (programmatic dependent launch)."""
    if CHAINED:
        gdc_launch_dependents()
        gdc_wait()


def chained(tensor: torch.Tensor) -> bool:
    """Whether kernels over a tensor are launched so: from Hopper on."""
    return tensor.is_cuda and torch.cuda.get_device_capability(tensor.device)[0] >= 9


@triton.jit
def placed(column, PAIRED: tl.constexpr):
    if PAIRED:
        return column // 8 * 8 + column % 2 * 4 + column % 8 // 2
    else:
        return column


@triton.jit
def _summed(parts, row, rows, total, column, inside, PARTS: tl.constexpr):
    found = tl.load(parts + row * total + column, mask=inside, other=0.0)
    for part in tl.static_range(1, PARTS):
        found += tl.load(parts + (part * rows + row) * total + column, mask=inside, other=0.0)
    return found


@triton.jit
def _norm(
    stream, added, weight, out, rows, width, eps,
    PARTS: tl.constexpr, PAIRED: tl.constexpr, COLUMNS: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    begin(CHAINED)
    row = tl.program_id(0)
    column = tl.arange(0, COLUMNS)
    inside = column < width
    kind = stream.dtype.element_ty
    value = tl.load(stream + row * width + column, mask=inside, other=0.0).to(tl.float32)
    if PARTS > 0:
        more = _summed(added, row, rows, width, column, inside, PARTS)
        value = (value + more.to(kind).to(tl.float32)).to(kind)
        tl.store(stream + row * width + column, value, mask=inside)
        value = value.to(tl.float32)
    scale = 1 / tl.sqrt(tl.sum(value * value) / width + eps)
    normed = (value * scale).to(kind) * tl.load(weight + column, mask=inside, other=0.0)
    tl.store(out + row * width + placed(column, PAIRED), normed.to(kind), mask=inside)


def norm(
    stream: torch.Tensor, added: torch.Tensor | None, weight: torch.Tensor, eps: float, out: torch.Tensor, paired: bool
) -> None:
    """RMSNorm (Zhang and Sennrich 2019) of the residual stream (rows, width), after `added` was added to it in place.

    Args:
        added: (parts, rows, width), float32; None adds nothing.
    """
    rows, width = stream.shape
    _norm[(rows,)](
        stream, stream if added is None else added, weight, out, rows, width, eps,
        PARTS=0 if added is None else len(added), PAIRED=paired, COLUMNS=triton.next_power_of_2(width),
        CHAINED=chained(stream), launch_pdl=chained(stream), num_warps=8,
    )  # fmt: skip


@triton.jit
def _swiglu(
    both, out, rows, width, PARTS: tl.constexpr, PAIRED: tl.constexpr, COLUMNS: tl.constexpr, CHAINED: tl.constexpr
):
    begin(CHAINED)
    row = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < width
    kind = out.dtype.element_ty
    gate = _summed(both, row, rows, 2 * width, column, inside, PARTS).to(kind).to(tl.float32)
    up = _summed(both, row, rows, 2 * width, column + width, inside, PARTS).to(kind).to(tl.float32)
    opened = (gate * tl.sigmoid(gate)).to(kind).to(tl.float32)
    tl.store(out + row * width + placed(column, PAIRED), (opened * up).to(kind), mask=inside)


def swiglu(both: torch.Tensor, out: torch.Tensor, paired: bool) -> None:
    """SwiGLU (Shazeer 2020) of gate and up (parts, rows, 2 width) into (rows, width)."""
    rows, width = out.shape
    _swiglu[(rows, triton.cdiv(width, 512))](
        both, out, rows, width, PARTS=len(both), PAIRED=paired, COLUMNS=512, CHAINED=chained(out),
        launch_pdl=chained(out), num_warps=4,
    )  # fmt: skip
