"""Triton kernels that unpack a frozen weight and place its LoRA factors around it, in one launch.

`core.train.kernels.lora_linear` multiplies [x, x Aᵀ] by [W, s B]ᵀ; these kernels build [W, s B] and A:

                 <-- width --> <-- columns -->
    out          |     W      | 0 | s B | 0 |     outputs of W, any stride; B in columns first .. first + rank
    lora_down    |     0 .. first: of another projection      |
    (columns,    |     A: ranks first .. first + rank         |
     width)      |     0: `pad` ranks                         |

Programs are numbered consecutively: first those that unpack _BLOCKS_PER_PROGRAM blocks of codes each (layout:
core/kernels/nf4.py), then those that place s B of _UP_OUTPUTS outputs, then those that place _DOWN_RUN numbers of A.

Codes and scales are read as they are stored (uint8, or float32 scales), A and B are float32 parameters, everything
written has the compute dtype. Unpacking is bound by the writes: two bytes per weight for half a byte read.

The chat has its own kernel for its merged weights, which carry no factors (core/chat/cuda/quantized_matmul.py): it
looks up per block which projection, and so which outer scales, a block belongs to. Training does not need that lookup,
which costs time, and the chat does not need the factor programs.
"""

from typing import Any

import torch
import triton
import triton.language as tl

from core.kernels.nf4_triton import decode_blocks

_BLOCKS_PER_PROGRAM = 64
# Outputs of B, and numbers of A, that a program places.
_UP_OUTPUTS, _DOWN_RUN = 32, 4096


@triton.jit
def _place_factors(
    program, a, b, lora_up, lora_down, outputs, width, stride, rank, first, pad, scale, columns,
    OUTPUTS: tl.constexpr, COLUMNS: tl.constexpr, RUN: tl.constexpr,
):  # fmt: skip
    """Place s B of OUTPUTS outputs, or RUN numbers of A and of the zeros below it.

    a: (rank, width). b: (outputs, rank). lora_up: (outputs, columns), outputs `stride` apart. lora_down: (columns,
    width). COLUMNS: columns rounded up to a power of two.
    """
    up_programs = tl.cdiv(outputs, OUTPUTS)
    if program < up_programs:
        output = (program * OUTPUTS + tl.arange(0, OUTPUTS)).to(tl.int64)[:, None]  # (OUTPUTS, 1)
        column = tl.arange(0, COLUMNS)[None, :]  # (1, COLUMNS)
        is_factor = (column >= first) & (column < first + rank) & (output < outputs)  # (OUTPUTS, COLUMNS), bool
        # (OUTPUTS, COLUMNS), float32
        value = tl.load(b + output * rank + column - first, mask=is_factor, other=0.0).to(tl.float32) * scale
        inside = (column < columns) & (output < outputs)
        tl.store(lora_up + output * stride + column, value.to(lora_up.dtype.element_ty), mask=inside)
    else:
        index = (program - up_programs).to(tl.int64) * RUN + tl.arange(0, RUN)  # (RUN,)
        # Triton gives a name one shape in both branches, so this one has a name of its own.
        factor = tl.load(a + index, mask=index < rank * width, other=0.0)  # (RUN,), float32
        tl.store(
            lora_down + first * width + index, factor.to(lora_down.dtype.element_ty), mask=index < (rank + pad) * width
        )


@triton.jit
def _unpack(
    packed, scales, code, outer_code, outer_scales, offset, out, blocks,
    a, b, lora_down, outputs, width, stride, rank, first, pad, scale, columns,
    NESTED: tl.constexpr, HALF: tl.constexpr, OUTER: tl.constexpr, BLOCKS: tl.constexpr, LORA: tl.constexpr,
    OUTPUTS: tl.constexpr, COLUMNS: tl.constexpr, RUN: tl.constexpr,
):  # fmt: skip
    """Unpack BLOCKS blocks of 2 · HALF weights, or place factors.

    packed: (blocks · HALF,), uint8. scales: (blocks,), float32, or uint8 if NESTED. code: (16,), float32. outer_code:
    (256,), float32; outer_scales: (blocks / OUTER,), float32; offset: scalar, float32; only read if NESTED. out:
    (outputs, width), outputs `stride` apart.
    """
    program = tl.program_id(0)
    unpack_programs = tl.cdiv(blocks, BLOCKS)
    if program < unpack_programs:
        block = program * BLOCKS + tl.arange(0, BLOCKS)  # (BLOCKS,)
        is_block = block < blocks
        block_scale = tl.load(scales + block, mask=is_block, other=0)  # (BLOCKS,)
        if NESTED:
            outer_scale = tl.load(outer_scales + block // OUTER, mask=is_block, other=0.0)
            # (BLOCKS,), float32
            block_scale = tl.load(outer_code + block_scale.to(tl.int32)) * outer_scale + tl.load(offset)
        upper, lower = decode_blocks(packed, code, block, block_scale, is_block, HALF)  # each (BLOCKS, HALF)
        # A block never crosses an output's end: the width is a multiple of the block size.
        start = block.to(tl.int64) * (2 * HALF)  # (BLOCKS,), int64: number of the first weight
        # (BLOCKS, 2 · HALF), pointers
        out_pointers = (out + (start // width) * stride + start % width)[:, None] + tl.arange(0, 2 * HALF)[None, :]
        tl.store(out_pointers, tl.interleave(upper, lower).to(out.dtype.element_ty), mask=is_block[:, None])
    elif LORA:
        _place_factors(program - unpack_programs, a, b, out + width, lora_down, outputs, width, stride, rank, first,
                       pad, scale, columns, OUTPUTS, COLUMNS, RUN)  # fmt: skip


@triton.jit
def _place_factors_alone(
    a, b, lora_up, lora_down, outputs, width, stride, rank, first, pad, scale, columns,
    OUTPUTS: tl.constexpr, COLUMNS: tl.constexpr, RUN: tl.constexpr,
):  # fmt: skip
    """Place the factors of a weight that is not packed; shapes as in `_place_factors`."""
    _place_factors(tl.program_id(0), a, b, lora_up, lora_down, outputs, width, stride, rank, first, pad, scale, columns,
                   OUTPUTS, COLUMNS, RUN)  # fmt: skip


def _factor_programs(outputs: int, width: int, rank: int, pad: int) -> int:
    return triton.cdiv(outputs, _UP_OUTPUTS) + triton.cdiv((rank + pad) * width, _DOWN_RUN)


def unpack_4bit(
    weight: torch.Tensor, state: Any, out: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float, first: int,
    pad: int, columns: int, lora_down: torch.Tensor,
) -> None:  # fmt: skip
    """Unpack a 4-bit weight and place its LoRA factors, in one launch.

    Args:
        weight: Packed codes, uint8; the width is a multiple of the block size.
        state: QuantState of bitsandbytes for the weight.
        out: (outputs, width), any stride between outputs. s B goes into the `columns` columns behind it, zeros into
            their rest.
        a: (rank, width).
        b: (outputs, rank).
        scale: LoRA's s = alpha / rank, or alpha / √rank.
        first: Number of the first rank, among those of all projections of the group.
        pad: Ranks of zeros below A.
        columns: Ranks of the whole group, padded; 0 without LoRA.
        lora_down: (columns, width).
    """
    outputs, width, rank = *out.shape, a.shape[0]
    nested, outer = state.nested, state.state2
    blocks = outputs * width // state.blocksize
    factor_programs = _factor_programs(outputs, width, rank, pad) if columns else 0
    # Where scales are not nested, the kernel is given any valid pointer in place of the outer scales.
    _unpack[(triton.cdiv(blocks, _BLOCKS_PER_PROGRAM) + factor_programs,)](
        weight, state.absmax, state.code, outer.code if nested else state.code,
        outer.absmax if nested else state.code, state.offset if nested else state.code, out, blocks,
        a, b, lora_down, outputs, width, out.stride(0), rank, first, pad, scale, columns,
        NESTED=nested, HALF=state.blocksize // 2, OUTER=outer.blocksize if nested else 1, BLOCKS=_BLOCKS_PER_PROGRAM,
        LORA=columns > 0, OUTPUTS=_UP_OUTPUTS, COLUMNS=triton.next_power_of_2(max(columns, 1)), RUN=_DOWN_RUN,
        num_warps=4,
    )  # fmt: skip


def place_factors(
    out: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float, first: int, pad: int, columns: int,
    lora_down: torch.Tensor,
) -> None:  # fmt: skip
    """Place LoRA factors beside a weight that is in `out` already; arguments as in `unpack_4bit`."""
    outputs, width, rank = *out.shape, a.shape[0]
    lora_up = out.as_strided((outputs, columns), out.stride(), out.storage_offset() + width)  # (outputs, columns)
    _place_factors_alone[(_factor_programs(outputs, width, rank, pad),)](
        a, b, lora_up, lora_down, outputs, width, out.stride(0), rank, first, pad, scale, columns,
        OUTPUTS=_UP_OUTPUTS, COLUMNS=triton.next_power_of_2(columns), RUN=_DOWN_RUN, num_warps=4,
    )  # fmt: skip
