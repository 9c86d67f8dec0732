"""Triton functions of `nf4_gemv` for an input group, four blocks of 64 weights: scales, products, and their sum.

A thread holds four float32 sums (`tensor_core`): two outputs by two rows. The four threads of an output load the scale
of one block each, and exchange them by warp shuffles (shfl).
"""

import triton
import triton.language as tl

from core.chat.cuda.tensor_core import load_words


@triton.jit
def _add_block(
    sums, code_bytes, upper0, upper1, lower0, lower1, x_address, upper_scale, lower_scale, block: tl.constexpr,
    ASM: tl.constexpr, LOAD: tl.constexpr,
):  # fmt: skip
    """Add one block's products, times their scales, to a thread's four sums.

    sums: four of (threads,), float32. code_bytes: four of (threads,), int32: $16 to $19 of `block_product_ptx`. upper0,
    upper1: packed weights of the upper output, int32; lower0, lower1: of the lower output. x_address: (threads,),
    int64, of x. upper_scale, lower_scale: (threads,), float32. block: number of the block in its input group.
    """
    x0, x1, x2, x3, x4, x5, x6, x7 = load_words(x_address + 128 * block, LOAD)  # (threads,), int32 each
    code0, code1, code2, code3 = code_bytes
    d0, d1, d2, d3 = tl.inline_asm_elementwise(
        ASM, "=&f,=&f,=&f,=&f,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r",
        [upper0, upper1, lower0, lower1, x0, x1, x2, x3, x4, x5, x6, x7, code0, code1, code2, code3],
        dtype=(tl.float32, tl.float32, tl.float32, tl.float32), is_pure=True, pack=1,
    )  # fmt: skip
    # d0 to d3: (threads,), float32 each, before the scale
    c0, c1, c2, c3 = sums
    return c0 + d0 * upper_scale, c1 + d1 * upper_scale, c2 + d2 * lower_scale, c3 + d3 * lower_scale


@triton.jit
def _shuffle_value(value, lane, SHUFFLE: tl.constexpr):
    """Read the value of another thread of the warp, by its lane.

    value: (threads,), float32. lane: (threads,), int32, or scalar. Returns (threads,), float32.
    """
    return tl.inline_asm_elementwise(SHUFFLE, "=f,f,r", [value, lane], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def load_block_scale(
    absmax, outer_code, outer_absmax, outer_block, offset, block, NESTED: tl.constexpr, OUTER: tl.constexpr
):
    """Return the scale of blocks: absmax, dequantized if NESTED.

    block: (threads,), int32: index of each thread's block. outer_block: (threads,), int32: number of the input group's
    first block within its projection, plus OUTER for each entry of outer_absmax that belongs to the projections before.
    So outer_block // OUTER is the entry of the block. The input group's four blocks share that entry, because an output
    has a multiple of four blocks, and OUTER is a multiple of four. offset: scalar, float32. Returns (threads,),
    float32.
    """
    scale = tl.load(absmax + block)  # (threads,), float32, or uint8 if NESTED
    if NESTED:
        return tl.load(outer_code + scale.to(tl.int32)) * tl.load(outer_absmax + outer_block // OUTER) + offset
    else:
        return scale.to(tl.float32)


@triton.jit
def add_input_group(
    sums, code_bytes, upper_words, lower_words, upper_scale, lower_scale, x_address, first_lane,
    ASM: tl.constexpr, LOAD: tl.constexpr, SHUFFLE: tl.constexpr,
):  # fmt: skip
    """Add an input group to a thread's four sums.

    upper_words, lower_words: eight words each of packed weights of the thread's two outputs. upper_scale, lower_scale:
    (threads,), float32: each of the four threads of an output holds the scale of one block. first_lane: lane of the
    first of these threads.
    """
    u0, u1, u2, u3, u4, u5, u6, u7 = upper_words
    l0, l1, l2, l3, l4, l5, l6, l7 = lower_words
    sums = _add_block(
        sums, code_bytes, u0, u1, l0, l1, x_address, _shuffle_value(upper_scale, first_lane, SHUFFLE),
        _shuffle_value(lower_scale, first_lane, SHUFFLE), 0, ASM, LOAD,
    )  # fmt: skip
    sums = _add_block(
        sums, code_bytes, u2, u3, l2, l3, x_address, _shuffle_value(upper_scale, first_lane + 1, SHUFFLE),
        _shuffle_value(lower_scale, first_lane + 1, SHUFFLE), 1, ASM, LOAD,
    )  # fmt: skip
    sums = _add_block(
        sums, code_bytes, u4, u5, l4, l5, x_address, _shuffle_value(upper_scale, first_lane + 2, SHUFFLE),
        _shuffle_value(lower_scale, first_lane + 2, SHUFFLE), 2, ASM, LOAD,
    )  # fmt: skip
    return _add_block(
        sums, code_bytes, u6, u7, l6, l7, x_address, _shuffle_value(upper_scale, first_lane + 3, SHUFFLE),
        _shuffle_value(lower_scale, first_lane + 3, SHUFFLE), 3, ASM, LOAD,
    )  # fmt: skip
