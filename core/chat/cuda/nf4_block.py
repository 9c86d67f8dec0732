"""Triton functions of `nf4_gemv` for a group of four blocks of 64 weights: scales, products, and their sum.

A thread holds four float32 sums (`tensor_core`): two outputs by two rows. The four threads of an output load the scale
of one block each, and exchange them by shuffles.
"""

import triton
import triton.language as tl

from core.chat.cuda.tensor_core import load_words


@triton.jit
def _add_block(
    sums, bytes_, w0, w1, v0, v1, address, upper, lower, at: tl.constexpr, ASM: tl.constexpr, LOAD: tl.constexpr
):
    """Add one block's products, times their scales, to a thread's four sums.

    sums: four of (threads,), float32. bytes_: the code words. w0, w1: packed weights of the upper output, int32; v0, v1
    of the lower output. address: (threads,), int64, of x. upper, lower: (threads,), float32: the scales.
    """
    x0, x1, x2, x3, x4, x5, x6, x7 = load_words(address + 128 * at, LOAD)  # (threads,), int32 each
    t0, t1, t2, t3 = bytes_
    d0, d1, d2, d3 = tl.inline_asm_elementwise(
        ASM, "=&f,=&f,=&f,=&f,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r",
        [w0, w1, v0, v1, x0, x1, x2, x3, x4, x5, x6, x7, t0, t1, t2, t3],
        dtype=(tl.float32, tl.float32, tl.float32, tl.float32), is_pure=True, pack=1,
    )  # fmt: skip
    # d0 to d3: (threads,), float32 each, before the scale
    c0, c1, c2, c3 = sums
    return c0 + d0 * upper, c1 + d1 * upper, c2 + d2 * lower, c3 + d3 * lower


@triton.jit
def _value_of(value, lane, SHUFFLE: tl.constexpr):
    """Return the value (float32) of another thread of the warp, by its lane."""
    return tl.inline_asm_elementwise(SHUFFLE, "=f,f,r", [value, lane], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def block_scale(
    absmax, outer_code, outer_absmax, outer_first, offset, place, NESTED: tl.constexpr, OUTER: tl.constexpr
):
    """Return the scale of blocks: absmax, dequantized if NESTED.

    place: (threads,), int32, index of each thread's block. outer_first: (threads,), int32, its index among the blocks
    of all modules' outer scales. offset: scalar, float32. Returns (threads,), float32.
    """
    size = tl.load(absmax + place)  # (threads,), float32, or uint8 if NESTED
    if NESTED:
        return tl.load(outer_code + size.to(tl.int32)) * tl.load(outer_absmax + outer_first // OUTER) + offset
    else:
        return size.to(tl.float32)


@triton.jit
def add_group(
    sums, bytes_, upper_words, lower_words, upper, lower, at, mine,
    ASM: tl.constexpr, LOAD: tl.constexpr, SHUFFLE: tl.constexpr,
):  # fmt: skip
    """Add a group of four blocks to a thread's four sums.

    upper_words, lower_words: eight words each of packed weights of the thread's two outputs. upper, lower: (threads,),
    float32: each of the four threads of an output holds the scale of one block; `mine` is the first of these threads.
    """
    u0, u1, u2, u3, u4, u5, u6, u7 = upper_words
    l0, l1, l2, l3, l4, l5, l6, l7 = lower_words
    sums = _add_block(
        sums, bytes_, u0, u1, l0, l1, at, _value_of(upper, mine, SHUFFLE), _value_of(lower, mine, SHUFFLE),
        0, ASM, LOAD,
    )  # fmt: skip
    sums = _add_block(
        sums, bytes_, u2, u3, l2, l3, at, _value_of(upper, mine + 1, SHUFFLE), _value_of(lower, mine + 1, SHUFFLE),
        1, ASM, LOAD,
    )  # fmt: skip
    sums = _add_block(
        sums, bytes_, u4, u5, l4, l5, at, _value_of(upper, mine + 2, SHUFFLE), _value_of(lower, mine + 2, SHUFFLE),
        2, ASM, LOAD,
    )  # fmt: skip
    return _add_block(
        sums, bytes_, u6, u7, l6, l7, at, _value_of(upper, mine + 3, SHUFFLE), _value_of(lower, mine + 3, SHUFFLE),
        3, ASM, LOAD,
    )  # fmt: skip
