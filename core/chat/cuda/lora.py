"""LoRA for the rows of many adapters: what a product is given, and Triton kernels' parts of it for one to eight rows.

With few rows LoRA's sums are nothing beside the product's, but a launch of its own for x Aᵀ would cost as much as a
fifth of the product. So the first programs of a launch compute x Aᵀ while the others read weights; these add B (x Aᵀ)
last of all, when it has long been there, after waiting for a count of the programs that are done. A GPU begins programs
in the order of their numbers, so nobody waits for one that cannot begin.
"""

import functools
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from core.chat.cuda.tensor_core import MMA, joined, kind_of, words


@dataclass(frozen=True, eq=False)
class Lora:
    """The adapters of a product's rows.

    Attributes:
        a: (slots, ranks, width): the ranks of each module after the other's, a multiple of 16; `paired` as x is.
        b: (slots, outputs, rank), the scale in it.
        slots: (at least rows,), int32: each row's; -1 is none.
        lowered: room for x Aᵀ (pieces that add up, rows, ranks), float32.
        done: (2,), int32: counts of programs that are done. A product uses the one at `turn` and sets the other to 0:
            products take turns.
    """

    a: torch.Tensor
    b: torch.Tensor
    slots: torch.Tensor
    lowered: torch.Tensor
    done: torch.Tensor
    turn: int

    @property
    def programs(self) -> int:
        """That compute x Aᵀ: one for 16 ranks and a piece of the inputs."""
        return len(self.a) * (self.a.shape[1] // 16) * len(self.lowered)


WAIT = """
{
.reg .pred p;
WAITING:
ld.acquire.gpu.global.b32 $0, [$1];
setp.lt.s32 p, $0, $2;
@p bra WAITING;
}
"""
FETCH = "prefetch.global.L2 [$1]; mov.b32 $0, 0;"


@functools.cache
def lower_product(dtype: torch.dtype) -> str:
    """PTX: $4 to $7 plus 16 ranks' product with 64 inputs; $8 to $15 and $16 to $23 of A, $24 to $31 of x."""
    lines = []
    for number in range(4):
        upper, lower, x = 8 + 2 * number, 16 + 2 * number, 24 + 2 * number
        lines.append(MMA.format(
            kind=kind_of(dtype), a=f"{{${upper}, ${lower}, ${upper + 1}, ${lower + 1}}}", b=f"{{${x}, ${x + 1}}}",
            c="{$0, $1, $2, $3}" if number else "{$4, $5, $6, $7}",
        ))  # fmt: skip
    return "{\n" + "\n".join(lines) + "\n}"


@functools.cache
def raise_product(dtype: torch.dtype) -> str:
    """PTX: $8 to $11 are a thread's part of B, $12 to $15 of x Aᵀ in float32, $4 to $7 what it is added to."""
    kind = kind_of(dtype)
    cvt = f"cvt.rn.{kind}x2.f32"
    product = MMA.format(kind=kind, a="{$8, $9, $10, $11}", b="{u, v}", c="{$4, $5, $6, $7}")
    return f"{{\n.reg .b32 u, v;\n{cvt} u, $13, $12;\n{cvt} v, $15, $14;\n{product}\n}}"


@triton.jit
def lower_piece(
    x, a, lowered, slots, done, number, rows, width, ranks,
    WARPS: tl.constexpr, PIECES: tl.constexpr, ASM: tl.constexpr, LOAD: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """x Aᵀ for 16 ranks of a slot over a piece of the inputs, as program `number` of those that do it."""
    thread = tl.arange(0, 32 * WARPS)
    lane = thread % 32
    group, quarter = lane // 4, lane % 4
    tiles = ranks // 16
    slot, tile, piece = number // PIECES // tiles, number // PIECES % tiles, number % PIECES
    blocks = width // 64
    each = tl.cdiv(blocks, PIECES * WARPS)
    begin = (piece * WARPS + thread // 32) * each
    rank = (slot * ranks + tile * 16 + group).to(tl.int64)
    upper_at = a.to(tl.int64, bitcast=True) + (rank * width + quarter * 16) * 2
    lower_at = upper_at + 16 * width
    x_at = x.to(tl.int64, bitcast=True) + (tl.minimum(group, rows - 1).to(tl.int64) * width + quarter * 16) * 2
    step = tl.minimum(begin, blocks - 1)
    upper, lower = words(upper_at + step * 128, LOAD), words(lower_at + step * 128, LOAD)
    if CHAINED:  # A may be read while the kernel before still writes x
        gdc_launch_dependents()
        gdc_wait()
    zero = tl.zeros((32 * WARPS,), tl.float32)
    c0, c1, c2, c3 = zero, zero, zero, zero
    for at in tl.range(0, each):
        u0, u1, u2, u3, u4, u5, u6, u7 = upper
        l0, l1, l2, l3, l4, l5, l6, l7 = lower
        x0, x1, x2, x3, x4, x5, x6, x7 = words(x_at + tl.minimum(begin + at, blocks - 1) * 128, LOAD, False)
        after = tl.minimum(begin + at + 1, blocks - 1)
        upper, lower = words(upper_at + after * 128, LOAD), words(lower_at + after * 128, LOAD)
        d0, d1, d2, d3 = tl.inline_asm_elementwise(
            ASM, "=&f,=&f,=&f,=&f,f,f,f,f" + 24 * ",r",
            [c0, c1, c2, c3, u0, u1, u2, u3, u4, u5, u6, u7, l0, l1, l2, l3, l4, l5, l6, l7,
             x0, x1, x2, x3, x4, x5, x6, x7],
            dtype=(tl.float32, tl.float32, tl.float32, tl.float32), is_pure=True, pack=1,
        )  # fmt: skip
        inside = begin + at < blocks  # the last warp's share may be less
        c0, c1 = tl.where(inside, d0, c0), tl.where(inside, d1, c1)
        c2, c3 = tl.where(inside, d2, c2), tl.where(inside, d3, c3)
    c0, c1, c2, c3 = joined(c0, 1, WARPS), joined(c1, 1, WARPS), joined(c2, 1, WARPS), joined(c3, 1, WARPS)
    lane = tl.arange(0, 32)
    row = lane % 4 * 2
    target = lowered + (piece * rows + row) * ranks + tile * 16 + lane // 4
    first = tl.load(slots + row, mask=row < rows, other=-1) == slot
    second = tl.load(slots + row + 1, mask=row + 1 < rows, other=-1) == slot
    tl.store(target, c0, mask=first)
    tl.store(target + ranks, c1, mask=second)
    tl.store(target + 8, c2, mask=first)
    tl.store(target + ranks + 8, c3, mask=second)
    tl.debug_barrier()
    tl.atomic_add(done, 1, sem="release", scope="gpu")


@triton.jit
def fetched(b, slot_count, o, quarter, total, RANK: tl.constexpr, FETCH: tl.constexpr):
    """Have B of some outputs brought near."""
    for one in tl.range(0, slot_count):
        for chunk in tl.static_range(0, RANK, 64):
            sector = chunk + quarter * 16
            factors = b.to(tl.int64, bitcast=True) + ((one * total + o).to(tl.int64) * RANK + sector % RANK) * 2
            tl.inline_asm_elementwise(FETCH, "=r,l", [factors], dtype=tl.int32, is_pure=False, pack=1)


@triton.jit
def waited(done, goal, like, WAIT: tl.constexpr):
    """0 for each thread, once `goal` programs are done: added to an address, nothing is read from there before."""
    seen = tl.inline_asm_elementwise(
        WAIT, "=&r,l,r", [done.to(tl.int64, bitcast=True) + like.to(tl.int64) * 0, goal + like * 0],
        dtype=tl.int32, is_pure=False, pack=1,
    )  # fmt: skip
    return seen >> 31


@triton.jit
def raised(
    sums, lowered, b, one, asks, o, group, quarter, part, rows, total, ranks, nothing,
    RANK: tl.constexpr, PIECES: tl.constexpr, ASM: tl.constexpr,
):  # fmt: skip
    """Four sums with B (x Aᵀ) of slot `one` added for the rows that ask for it. nothing: of `waited`."""
    c0, c1, c2, c3 = sums
    for chunk in tl.static_range(0, RANK, 16):
        rank = chunk + quarter * 2
        factors = b + ((one * total + o).to(tl.int64) * RANK + rank) // 2
        b0, b2 = tl.load(factors), tl.load(factors + 4)
        b1, b3 = tl.load(factors + 4 * RANK), tl.load(factors + 4 * RANK + 4)
        low = lowered + group * ranks + part * RANK + rank + nothing
        zero = tl.zeros_like(c0)
        r0, r1, r2, r3 = zero, zero, zero, zero
        for piece in tl.static_range(PIECES):
            here = low + piece * rows * ranks
            r0 += tl.load(here, mask=asks, other=0.0, cache_modifier=".cg")
            r1 += tl.load(here + 1, mask=asks, other=0.0, cache_modifier=".cg")
            r2 += tl.load(here + 8, mask=asks, other=0.0, cache_modifier=".cg")
            r3 += tl.load(here + 9, mask=asks, other=0.0, cache_modifier=".cg")
        c0, c1, c2, c3 = tl.inline_asm_elementwise(
            ASM, "=&f,=&f,=&f,=&f,f,f,f,f,r,r,r,r,f,f,f,f",
            [c0, c1, c2, c3, b0, b1, b2, b3, r0, r1, r2, r3],
            dtype=(tl.float32, tl.float32, tl.float32, tl.float32), is_pure=True, pack=1,
        )  # fmt: skip
    return c0, c1, c2, c3
