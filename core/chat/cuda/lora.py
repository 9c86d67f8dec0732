"""LoRA with an adapter of its own for each row: arguments of a product, and functions of the kernel for 1 to 8 rows.

Computation: out += (x Aᵀ) Bᵀ, with the A and B of each row's own adapter slot. A is lora_down, B is lora_up with
the scale in it.

Steps: the LoRA products are small, but a separate launch for x Aᵀ would take a fifth of the time of the whole
product. So both halves are part of the product's launch (`nf4_gemv`):

    program    0 .. goal - 1                          goal ..
               x Aᵀ for 16 ranks of a slot,           x Wᵀ over packed weights;
               over a piece of the inputs;            then waits until the counter is goal,
               counts itself as done                  and adds (x Aᵀ) Bᵀ
               time ─────────────────────────────────────────────────────▶

The wait is short, since x Aᵀ is done long before the weights are read. It cannot deadlock as long as a GPU starts the
programs of a launch in the order of their numbers, which NVIDIA's GPUs do and CUDA does not promise: then those that
are waited for have started.

The counters: a product counts up one of two, and sets the other to 0 for the product after it, also from one step to
the next. So no launch between two products is spent on a reset, and the host does none:

    product n        n + 1            n + 2
    counter 0        counter 1        counter 0        waits until `done[counter]` is goal (`Lora.counter`)
    done[1] = 0      done[0] = 0      done[1] = 0      program `goal`, the first of x Wᵀ, stores it after n - 1

This holds as long as every product resets the counter that it does not use, and uses the one that the product before
it did not use. `decode_graph._COUNTERS` ensures the second: four products per block, in this order. A product of
another kernel counts nothing, and `DecodeStep._product` does the reset in its place. Both counters are zeroed before a
capture, because the calls that compile kernels run in any order.

Data types: x, A and B in bfloat16 or float16; x Aᵀ and all sums in float32. Layout of threads: `tensor_core`.

Measured on an H100 with Llama-2-7B's shape (bench/LOG.md): LoRA costs a step 0.25 ms, against 1.2 ms as 128
launches of its own.
"""

import functools
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from core.chat.cuda.tensor_core import MMA, load_words, ptx_type, sum_teams


@dataclass(frozen=True, eq=False)
class Lora:
    """LoRA of the rows of one product.

    Attributes:
        a: (slots, ranks, width), model dtype: the ranks of each projection one after the other, a multiple of 16;
            columns in the order of x.
        b: (slots, outputs, rank), model dtype, with the scale.
        slots: (at least rows,), int32: adapter slot of each row; -1 for the base.
        hidden: (pieces, rows, ranks), float32, scratch buffer: x Aᵀ in pieces that add up.
        done: (2,), int32: counters of finished programs, which products use in turn (see the module's docstring).
        counter: Which counter the product uses, 0 or 1.
    """

    a: torch.Tensor
    b: torch.Tensor
    slots: torch.Tensor
    hidden: torch.Tensor
    done: torch.Tensor
    counter: int

    @property
    def programs(self) -> int:
        """Return the number of programs that compute x Aᵀ: one for 16 ranks of a slot and a piece of the inputs."""
        return len(self.a) * (self.a.shape[1] // 16) * len(self.hidden)


# Wait until the counter at $1 is at least $2; returns its value.
WAIT = """
{
.reg .pred p;
WAITING:
ld.acquire.gpu.global.b32 $0, [$1];
setp.lt.s32 p, $0, $2;
@p bra WAITING;
}
"""
# Prefetch the line at $1 into the second-level cache.
FETCH = "prefetch.global.L2 [$1]; mov.b32 $0, 0;"


@functools.cache
def lora_hidden_ptx(dtype: torch.dtype) -> str:
    """Return PTX that adds the product of 16 ranks and 64 inputs to a thread's four sums.

    $0 to $3 = $4 to $7 + A x. $8 to $15: words of A, ranks 0 to 7. $16 to $23: ranks 8 to 15. $24 to $31: words of x.
    """
    lines = []
    for number in range(4):
        upper, lower, x = 8 + 2 * number, 16 + 2 * number, 24 + 2 * number
        lines.append(MMA.format(
            kind=ptx_type(dtype), a=f"{{${upper}, ${lower}, ${upper + 1}, ${lower + 1}}}", b=f"{{${x}, ${x + 1}}}",
            c="{$0, $1, $2, $3}" if number else "{$4, $5, $6, $7}",
        ))  # fmt: skip
    return "{\n" + "\n".join(lines) + "\n}"


@functools.cache
def lora_up_ptx(dtype: torch.dtype) -> str:
    """Return PTX that adds the product of 16 outputs and 16 ranks to a thread's four sums.

    $0 to $3 = $4 to $7 + B (x Aᵀ). $8 to $11: words of B. $12 to $15: x Aᵀ in float32, rounded to 16 bits here.
    """
    kind = ptx_type(dtype)
    cvt = f"cvt.rn.{kind}x2.f32"
    product = MMA.format(kind=kind, a="{$8, $9, $10, $11}", b="{u, v}", c="{$4, $5, $6, $7}")
    return f"{{\n.reg .b32 u, v;\n{cvt} u, $13, $12;\n{cvt} v, $15, $14;\n{product}\n}}"


@triton.jit
def compute_lora_hidden_piece(
    x, a, hidden, slots, done, program, rows, width, ranks,
    WARPS: tl.constexpr, PIECES: tl.constexpr, ASM: tl.constexpr, LOAD: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """Compute x Aᵀ for 16 ranks of a slot over a piece of the inputs, as one of `Lora.programs` programs.

    x: (rows, width), 16-bit. a: (slots, ranks, width), 16-bit. hidden: (PIECES, rows, ranks), float32: x Aᵀ, written
    for the rows of the slot. done: int32 counter. One element per thread, 32 * WARPS threads.
    """
    thread = tl.arange(0, 32 * WARPS)  # (threads,), int32
    lane = thread % 32
    lane_group, quarter = lane // 4, lane % 4  # (threads,), int32 each
    rank_tiles = ranks // 16
    # From the program's number: the slot, 16 of its ranks, and a piece of the inputs.
    slot, rank_tile, piece = program // PIECES // rank_tiles, program // PIECES % rank_tiles, program % PIECES
    blocks = width // 64
    blocks_per_warp = tl.cdiv(blocks, PIECES * WARPS)
    first_block = (piece * WARPS + thread // 32) * blocks_per_warp  # (threads,), int32: the warp's first block
    rank = (slot * ranks + rank_tile * 16 + lane_group).to(tl.int64)  # (threads,), int64: of all slots
    upper_address = a.to(tl.int64, bitcast=True) + (rank * width + quarter * 16) * 2
    lower_address = upper_address + 16 * width
    # Past the last row, that row is read again; its sums are not stored.
    x_address = (
        x.to(tl.int64, bitcast=True) + (tl.minimum(lane_group, rows - 1).to(tl.int64) * width + quarter * 16) * 2
    )
    block = tl.minimum(first_block, blocks - 1)
    upper, lower = load_words(upper_address + block * 128, LOAD), load_words(lower_address + block * 128, LOAD)
    # The loads above need no x, so they come before the wait: the previous kernel may still be writing x.
    if CHAINED:
        gdc_launch_dependents()
        gdc_wait()
    zero = tl.zeros((32 * WARPS,), tl.float32)  # (threads,), float32
    c0, c1, c2, c3 = zero, zero, zero, zero  # (32 * WARPS,) each, fp32
    for index in tl.range(0, blocks_per_warp):
        # Words of two 16-bit values, (threads,), int32 each: of A, ranks 0 to 7 and 8 to 15, and of x.
        u0, u1, u2, u3, u4, u5, u6, u7 = upper
        l0, l1, l2, l3, l4, l5, l6, l7 = lower
        x0, x1, x2, x3, x4, x5, x6, x7 = load_words(
            x_address + tl.minimum(first_block + index, blocks - 1) * 128, LOAD, False
        )
        # The next block of A is on its way while this one is multiplied.
        next_block = tl.minimum(first_block + index + 1, blocks - 1)
        upper, lower = (
            load_words(upper_address + next_block * 128, LOAD),
            load_words(lower_address + next_block * 128, LOAD),
        )
        d0, d1, d2, d3 = tl.inline_asm_elementwise(
            ASM, "=&f,=&f,=&f,=&f,f,f,f,f" + 24 * ",r",
            [c0, c1, c2, c3, u0, u1, u2, u3, u4, u5, u6, u7, l0, l1, l2, l3, l4, l5, l6, l7,
             x0, x1, x2, x3, x4, x5, x6, x7],
            dtype=(tl.float32, tl.float32, tl.float32, tl.float32), is_pure=True, pack=1,
        )  # fmt: skip
        # The last warp's share may be smaller.
        inside = first_block + index < blocks  # (threads,), bool
        c0, c1 = tl.where(inside, d0, c0), tl.where(inside, d1, c1)
        c2, c3 = tl.where(inside, d2, c2), tl.where(inside, d3, c3)
    # Add up the warps: (32,) each.
    c0, c1, c2, c3 = sum_teams(c0, 1, WARPS), sum_teams(c1, 1, WARPS), sum_teams(c2, 1, WARPS), sum_teams(c3, 1, WARPS)
    lane = tl.arange(0, 32)  # (32,), int32
    row = lane % 4 * 2  # (32,): the first of the thread's two rows
    hidden_pointers = hidden + (piece * rows + row) * ranks + rank_tile * 16 + lane // 4  # (32,), pointers
    is_first_row = tl.load(slots + row, mask=row < rows, other=-1) == slot
    is_second_row = tl.load(slots + row + 1, mask=row + 1 < rows, other=-1) == slot
    tl.store(hidden_pointers, c0, mask=is_first_row)
    tl.store(hidden_pointers + ranks, c1, mask=is_second_row)
    tl.store(hidden_pointers + 8, c2, mask=is_first_row)
    tl.store(hidden_pointers + ranks + 8, c3, mask=is_second_row)
    # All threads must have stored before the program counts itself as done.
    tl.debug_barrier()
    tl.atomic_add(done, 1, sem="release", scope="gpu")


@triton.jit
def prefetch_lora_up(b, slot_count, output, quarter, total, RANK: tl.constexpr, FETCH: tl.constexpr):
    """Prefetch B of some outputs into the second-level cache.

    b: (slots, total, RANK / 2), int32, as in `add_lora_up`; used as an address in bytes. output, quarter: (threads,),
    int32: output and quarter of each thread.
    """
    for slot in tl.range(0, slot_count):
        for chunk in tl.static_range(0, RANK, 64):
            rank = chunk + quarter * 16  # (threads,), int32
            addresses = b.to(tl.int64, bitcast=True) + ((slot * total + output).to(tl.int64) * RANK + rank % RANK) * 2
            tl.inline_asm_elementwise(FETCH, "=r,l", [addresses], dtype=tl.int32, is_pure=False, pack=1)


@triton.jit
def wait_for_count(done, goal, like, WAIT: tl.constexpr):
    """Wait until `goal` programs are done, and return 0 for each thread.

    The result is added to an address, so that the compiler cannot move the load before the wait. done: int32 counter.
    like: (threads,), int32, for the shape.
    """
    count = tl.inline_asm_elementwise(
        WAIT, "=&r,l,r", [done.to(tl.int64, bitcast=True) + like.to(tl.int64) * 0, goal + like * 0],
        dtype=tl.int32, is_pure=False, pack=1,
    )  # fmt: skip
    return count >> 31


@triton.jit
def add_lora_up(
    sums, hidden, b, slot, uses_slot, output, lane_group, quarter, projection, rows, total, ranks, wait_zeros,
    RANK: tl.constexpr, PIECES: tl.constexpr, ASM: tl.constexpr,
):  # fmt: skip
    """Add B (x Aᵀ) of an adapter slot to a thread's four sums, for the rows that use it.

    sums: four of (threads,), float32. hidden: (PIECES, rows, ranks), float32. b: (slots, total, RANK / 2), int32: two
    16-bit factors per word. uses_slot: (threads,), bool: whether the thread's row uses the slot. output: (threads,),
    first of its two outputs. projection: number of the outputs' projection in its group. wait_zeros: zeros of
    `wait_for_count`. Returns four of (threads,), float32.
    """
    c0, c1, c2, c3 = sums
    for chunk in tl.static_range(0, RANK, 16):
        rank = chunk + quarter * 2  # (threads,), int32
        # Words of B, (threads,), int32 each: b0 and b2 of the upper output, b1 and b3 of the lower one.
        factor_pointers = b + ((slot * total + output).to(tl.int64) * RANK + rank) // 2
        b0, b2 = tl.load(factor_pointers), tl.load(factor_pointers + 4)
        b1, b3 = tl.load(factor_pointers + 4 * RANK), tl.load(factor_pointers + 4 * RANK + 4)
        hidden_pointers = hidden + lane_group * ranks + projection * RANK + rank + wait_zeros
        zero = tl.zeros_like(c0)  # (threads,), float32
        r0, r1, r2, r3 = zero, zero, zero, zero  # (threads,) each, float32: x Aᵀ of four ranks
        for piece in tl.static_range(PIECES):
            piece_pointers = hidden_pointers + piece * rows * ranks
            r0 += tl.load(piece_pointers, mask=uses_slot, other=0.0, cache_modifier=".cg")
            r1 += tl.load(piece_pointers + 1, mask=uses_slot, other=0.0, cache_modifier=".cg")
            r2 += tl.load(piece_pointers + 8, mask=uses_slot, other=0.0, cache_modifier=".cg")
            r3 += tl.load(piece_pointers + 9, mask=uses_slot, other=0.0, cache_modifier=".cg")
        c0, c1, c2, c3 = tl.inline_asm_elementwise(
            ASM, "=&f,=&f,=&f,=&f,f,f,f,f,r,r,r,r,f,f,f,f",
            [c0, c1, c2, c3, b0, b1, b2, b3, r0, r1, r2, r3],
            dtype=(tl.float32, tl.float32, tl.float32, tl.float32), is_pure=True, pack=1,
        )  # fmt: skip
    return c0, c1, c2, c3
