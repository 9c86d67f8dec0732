"""Triton kernels: what of a block is not matrix work, one pass over memory each, sums in float32.

Rows of a matrix may lie further apart than they are long (`stride`), so that results land beside what multiplies with
them. `elementwise` and `weights` call these on a GPU and do the same in PyTorch elsewhere.
"""

import torch
import triton
import triton.language as tl

_PACKED_BLOCKS = 64  # blocks of 64 weights a program unpacks


@triton.jit
def _factors(
    pid, a, b, beside, lower, rows, width, stride, rank, first, pad, scale, columns,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, RUN: tl.constexpr,
):  # fmt: skip
    """Program `pid` of those that put s B into its columns beside W, then A and zeros below it into `lower`."""
    placing = tl.cdiv(rows, ROWS)
    if pid < placing:
        row = (pid * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
        column = tl.arange(0, COLUMNS)[None, :]
        own = (column >= first) & (column < first + rank) & (row < rows)
        value = tl.load(b + row * rank + column - first, mask=own, other=0.0).to(tl.float32) * scale
        inside = (column < columns) & (row < rows)
        tl.store(beside + row * stride + column, value.to(beside.dtype.element_ty), mask=inside)
    else:
        at = (pid - placing).to(tl.int64) * RUN + tl.arange(0, RUN)
        below = tl.load(a + at, mask=at < rank * width, other=0.0)
        tl.store(lower + first * width + at, below.to(lower.dtype.element_ty), mask=at < (rank + pad) * width)


@triton.jit
def _unpack(
    packed, scales, code, outer_code, outer_scales, offset, out, blocks,
    a, b, lower, rows, width, stride, rank, first, pad, scale, columns,
    NESTED: tl.constexpr, HALF: tl.constexpr, OUTER: tl.constexpr, COUNT: tl.constexpr, LORA: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, RUN: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    unpacking = tl.cdiv(blocks, COUNT)
    if pid < unpacking:
        block = pid * COUNT + tl.arange(0, COUNT)
        there = block < blocks
        size = tl.load(scales + block, mask=there, other=0)
        if NESTED:
            outer = tl.load(outer_scales + block // OUTER, mask=there, other=0.0)
            size = tl.load(outer_code + size.to(tl.int32)) * outer + tl.load(offset)
        pair = tl.arange(0, HALF)[None, :]
        byte = tl.load(packed + block[:, None].to(tl.int64) * HALF + pair, mask=there[:, None], other=0).to(tl.int32)
        left = tl.load(code + (byte >> 4)) * size[:, None]
        right = tl.load(code + (byte & 15)) * size[:, None]
        start = block.to(tl.int64) * (2 * HALF)
        target = (out + (start // width) * stride + start % width)[:, None] + tl.arange(0, 2 * HALF)[None, :]
        tl.store(target, tl.interleave(left, right).to(out.dtype.element_ty), mask=there[:, None])
    elif LORA:
        _factors(pid - unpacking, a, b, out + width, lower, rows, width, stride, rank, first, pad, scale, columns,
                 ROWS, COLUMNS, RUN)  # fmt: skip


@triton.jit
def _factors_alone(
    a, b, beside, lower, rows, width, stride, rank, first, pad, scale, columns,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, RUN: tl.constexpr,
):  # fmt: skip
    _factors(tl.program_id(0), a, b, beside, lower, rows, width, stride, rank, first, pad, scale, columns,
             ROWS, COLUMNS, RUN)  # fmt: skip


_PLACED, _RUN = 32, 4096  # rows of B, and numbers of A, that a program takes


def _factor_programs(rows: int, width: int, rank: int, pad: int) -> int:
    return triton.cdiv(rows, _PLACED) + triton.cdiv((rank + pad) * width, _RUN)


def unpack_4bit(
    weight: torch.Tensor, state, out: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float, first: int,
    pad: int, columns: int, lower: torch.Tensor,
) -> None:  # fmt: skip
    """bitsandbytes' 4-bit weight and its LoRA factors into place, in one launch.

    Args:
        weight, state: packed; columns a multiple of the block size.
        out: (rows, width), any row stride; s B goes into `columns` columns behind it, from `first` on, zeros into the
            rest of these.
        a, b: (rank, width) and (rows, rank).
        lower: (columns, width); A goes into its rows from `first` on, and zeros into `pad` rows below.
    """
    rows, width, rank = *out.shape, a.shape[0]
    nested, outer = state.nested, state.state2
    blocks = rows * width // state.blocksize
    programs = triton.cdiv(blocks, _PACKED_BLOCKS) + (_factor_programs(rows, width, rank, pad) if columns else 0)
    _unpack[(programs,)](
        weight, state.absmax, state.code, outer.code if nested else state.code,
        outer.absmax if nested else state.code, state.offset if nested else state.code, out, blocks,
        a, b, lower, rows, width, out.stride(0), rank, first, pad, scale, columns,
        NESTED=nested, HALF=state.blocksize // 2, OUTER=outer.blocksize if nested else 1, COUNT=_PACKED_BLOCKS,
        LORA=columns > 0, ROWS=_PLACED, COLUMNS=triton.next_power_of_2(max(columns, 1)), RUN=_RUN, num_warps=4,
    )  # fmt: skip


def place_factors(
    out: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float, first: int, pad: int, columns: int,
    lower: torch.Tensor,
) -> None:  # fmt: skip
    """The factors alone, as `unpack_4bit` places them."""
    rows, width, rank = *out.shape, a.shape[0]
    beside = out.as_strided((rows, columns), out.stride(), out.storage_offset() + width)
    _factors_alone[(_factor_programs(rows, width, rank, pad),)](
        a, b, beside, lower, rows, width, out.stride(0), rank, first, pad, scale, columns,
        ROWS=_PLACED, COLUMNS=triton.next_power_of_2(columns), RUN=_RUN, num_warps=4,
    )  # fmt: skip


@triton.jit
def _copy(source, out, width, source_stride, out_stride, ROW: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * ROW + tl.arange(0, ROW)
    inside = column < width
    tl.store(out + row * out_stride + column, tl.load(source + row * source_stride + column, mask=inside), mask=inside)


def copy(source: torch.Tensor, out: torch.Tensor) -> None:
    """Between matrices of one shape and kind; PyTorch's own copy is slow where rows do not follow one another."""
    rows, width = out.shape
    block = min(2048, triton.next_power_of_2(width))
    _copy[(rows, triton.cdiv(width, block))](
        source, out, width, source.stride(0), out.stride(0), ROW=block, num_warps=4 if block > 256 else 1
    )


@triton.jit
def _drop_some(source, out, at, width, chance, share, ADD: tl.constexpr):
    inside = at < width
    value = tl.load(source + at, mask=inside, other=0.0).to(tl.float32)
    value = tl.where(chance >= share, value / (1 - share), 0.0)
    if ADD:
        value += tl.load(out + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["seed"])
def _drop(source, out, width, source_stride, out_stride, seed, share, ADD: tl.constexpr, QUARTER: tl.constexpr):
    """Philox (Salmon et al. 2011) makes four numbers of a count: one for each quarter of a program's columns."""
    lane = tl.arange(0, QUARTER)
    count = (tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)) * QUARTER + lane  # 32 bits: twice as fast
    first, second, third, fourth = tl.rand4x(seed, count)
    row = tl.program_id(0).to(tl.int64)
    source += row * source_stride
    out += row * out_stride
    at = tl.program_id(1) * 4 * QUARTER + lane
    _drop_some(source, out, at, width, first, share, ADD)
    _drop_some(source, out, at + QUARTER, width, second, share, ADD)
    _drop_some(source, out, at + 2 * QUARTER, width, third, share, ADD)
    _drop_some(source, out, at + 3 * QUARTER, width, fourth, share, ADD)


def drop(source: torch.Tensor, share: float, seed: int, out: torch.Tensor, add: bool) -> None:
    """Dropout of `source` into `out`, or added to it; a seed of 2³² or more, so that all are of one kind."""
    rows, width = source.shape
    _drop[(rows, triton.cdiv(width, 2048))](
        source, out, width, source.stride(0), out.stride(0), seed, share, ADD=add, QUARTER=512, num_warps=4
    )


@triton.jit
def _norm(x, weight, out, rstd, width, x_stride, out_stride, eps, ROW: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, ROW)
    inside = column < width
    value = tl.load(x + row * x_stride + column, mask=inside, other=0.0).to(tl.float32)
    scale = 1 / tl.sqrt(tl.sum(value * value) / width + eps)
    tl.store(rstd + row, scale)
    normed = (value * scale).to(out.dtype.element_ty)
    tl.store(out + row * out_stride + column, normed * tl.load(weight + column, mask=inside), mask=inside)


def norm(x: torch.Tensor, weight: torch.Tensor, eps: float, out: torch.Tensor, rstd: torch.Tensor) -> None:
    rows, width = x.shape
    _norm[(rows,)](
        x, weight, out, rstd, width, x.stride(0), out.stride(0), eps, ROW=triton.next_power_of_2(width), num_warps=8
    )


@triton.jit
def _norm_back(
    x, weight, rstd, gradient, passed, out, normed, width, x_stride, gradient_stride, passed_stride, out_stride,
    ROW: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, ROW)
    inside = column < width
    scale = tl.load(rstd + row)
    unit = tl.load(x + row * x_stride + column, mask=inside, other=0.0).to(tl.float32) * scale
    gain = tl.load(weight + column, mask=inside, other=0.0)
    tl.store(normed + row * width + column, unit.to(normed.dtype.element_ty) * gain, mask=inside)
    pulled = tl.load(gradient + row * gradient_stride + column, mask=inside, other=0.0).to(tl.float32)
    pulled *= gain.to(tl.float32)
    back = (pulled - unit * (tl.sum(pulled * unit) / width)) * scale
    back += tl.load(passed + row * passed_stride + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * out_stride + column, back.to(out.dtype.element_ty), mask=inside)


def norm_back(
    x: torch.Tensor, weight: torch.Tensor, rstd: torch.Tensor, gradient: torch.Tensor, passed: torch.Tensor,
    out: torch.Tensor, normed: torch.Tensor,
) -> None:  # fmt: skip
    rows, width = x.shape
    _norm_back[(rows,)](
        x, weight, rstd, gradient, passed, out, normed, width, x.stride(0), gradient.stride(0), passed.stride(0),
        out.stride(0), ROW=triton.next_power_of_2(width), num_warps=8,
    )  # fmt: skip


@triton.jit
def _rotate(
    source, out, cos, sin, heads, table_rows, source_stride, head_stride, out_stride, sign,
    HEADS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    column = tl.arange(0, HALF)
    table = (row % table_rows) * 2 * HALF + column
    c, s = tl.load(cos + table).to(tl.float32)[None, :], tl.load(sin + table).to(tl.float32)[None, :] * sign
    inside = (head < heads)[:, None] & (column < HALF)[None, :]
    read = source + row * source_stride + head[:, None] * head_stride + column[None, :]
    write = out + row * out_stride + head[:, None] * 2 * HALF + column[None, :]
    left, right = tl.load(read, mask=inside).to(tl.float32), tl.load(read + HALF, mask=inside).to(tl.float32)
    tl.store(write, (left * c - right * s).to(out.dtype.element_ty), mask=inside)
    tl.store(write + HALF, (right * c + left * s).to(out.dtype.element_ty), mask=inside)


def rotate(source: torch.Tensor, out: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, back: bool) -> None:
    rows, heads, width = source.shape
    block = min(16, triton.next_power_of_2(heads))
    _rotate[(rows, triton.cdiv(heads, block))](
        source, out, cos, sin, heads, cos.shape[0], source.stride(0), source.stride(1), out.stride(0),
        -1.0 if back else 1.0, HEADS=block, HALF=width // 2, num_warps=4,
    )  # fmt: skip


@triton.jit
def _swiglu(both, out, width, both_stride, out_stride, COUNT: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COUNT + tl.arange(0, COUNT)
    inside = column < width
    gate = tl.load(both + row * both_stride + column, mask=inside).to(tl.float32)
    up = tl.load(both + row * both_stride + width + column, mask=inside).to(tl.float32)
    tl.store(out + row * out_stride + column, (gate * tl.sigmoid(gate) * up).to(out.dtype.element_ty), mask=inside)


def swiglu(both: torch.Tensor, out: torch.Tensor) -> None:
    rows, width = out.shape
    _swiglu[(rows, triton.cdiv(width, 2048))](both, out, width, both.stride(0), out.stride(0), COUNT=2048, num_warps=4)


@triton.jit
def _swiglu_back(
    both, gradient, lowered, lower, rows, width, both_stride, gradient_stride, lowered_stride, lower_stride,
    RANK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(1) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    inside = (row < rows) & (column < width)
    kind = both.dtype.element_ty
    pulled = tl.load(gradient + row * gradient_stride + column, mask=inside, other=0.0).to(tl.float32)
    for first in tl.static_range(0, RANK, 16):
        at = first + tl.arange(0, 16)
        left = tl.load(lowered + row * lowered_stride + at[None, :], mask=row < rows, other=0.0)
        right = tl.load(lower + at[:, None] * lower_stride + column, mask=column < width, other=0.0)
        pulled = tl.dot(left, right, pulled, input_precision="ieee")
    at_gate, at_up = both + row * both_stride + column, both + row * both_stride + width + column
    gate = tl.load(at_gate, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(at_up, mask=inside, other=0.0).to(tl.float32)
    open_ = tl.sigmoid(gate)
    gated = gate * open_
    tl.store(at_gate, (pulled * up * (open_ + gated * (1 - open_))).to(kind), mask=inside)
    tl.store(at_up, (pulled * gated).to(kind), mask=inside)
    tl.store(gradient + row * gradient_stride + column, (gated * up).to(kind), mask=inside)


def swiglu_back(
    both: torch.Tensor, gradient: torch.Tensor, lowered: torch.Tensor, lower: torch.Tensor, rank: int
) -> None:
    rows, width = gradient.shape
    _swiglu_back[(triton.cdiv(width, 128), triton.cdiv(rows, 32))](
        both, gradient, lowered, lower, rows, width, both.stride(0), gradient.stride(0), lowered.stride(0),
        lower.stride(0), RANK=-(-rank // 16) * 16, ROWS=32, COLUMNS=128, num_warps=4,
    )  # fmt: skip
