"""Triton kernel: product of one to eight rows with 4-bit weights (NF4 or FP4) that stay packed.

Computation: out[p] = x Wᵀ over a share of the inputs (P parts that the reader adds up), plus (x Aᵀ) Bᵀ in part 0
(`lora`). W stays packed: 3.8 GB for Llama-2-7B instead of 13.

Steps of a program, which computes 16 outputs with four warps, each over its own share of the inputs (layout of threads:
`tensor_core`):

1. for each of its two outputs, a thread loads 4 x 8 bytes of weights: its quarters of four blocks (256 inputs);
2. every byte gives two 16-bit code values, by byte permutes (prmt) in registers (`nf4_ptx`);
3. four mma.m16n8k16 multiply a block by x, which is in paired order so that each weight meets the value of its column;
4. the block's sum is multiplied by its absmax in float32, and added to the thread's four sums;
5. the warps' sums are added up, and stored.

    the weights of one output, an input group: 256 inputs = 128 bytes
    [ block 0: q0 q1 q2 q3 | block 1: q0 q1 q2 q3 | block 2: ... | block 3: ... ]     q = quarter: 8 bytes, 16 weights

Data types: weights uint8, x and codes bfloat16 or float16, absmax float32 or uint8 with a second scale (`weights`),
sums and outputs float32.

Measured on an H100 (bench/LOG.md), the four products of one transformer block of Llama-2-7B with two rows: 78 µs where
reading the weights takes 34; Triton's `tl.dot` takes 100 to 109. One row takes 74 µs, eight 80. It is bound by the
integer units: of the 608 instructions that a warp runs for 4,096 weights, 256 are byte permutes, at half rate.
"""

import torch
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from core.chat.cuda.elementwise import is_chained
from core.chat.cuda.lora import (
    FETCH,
    WAIT,
    Lora,
    add_lora_up,
    compute_lora_hidden_piece,
    lora_hidden_ptx,
    lora_up_ptx,
    prefetch_lora_up,
    wait_for_count,
)
from core.chat.cuda.nf4_block import add_input_group, load_block_scale
from core.chat.cuda.nf4_ptx import LOAD_WEIGHTS, block_product_ptx, code_words
from core.chat.cuda.tensor_core import LOAD_WORDS, load_words, sum_teams
from core.chat.cuda.weights import MergedLinears

MAX_ROWS = 8
# Inputs that are read at once, an input group: four blocks of 64.
INPUT_GROUP_WIDTH = 256
# A program has TEAMS teams of TILES warps: a team has one share of the inputs, and each of its warps 16 outputs.
TILES, TEAMS = 1, 4


@triton.jit
def _store(sums, out, tile, part, rows, total, TILES: tl.constexpr, TEAMS: tl.constexpr):
    """Add up the sums of the teams, and store them.

    sums: four of (32 * TILES * TEAMS,), float32. out: (PARTS, rows, total), float32.
    """
    c0, c1, c2, c3 = sums
    if TEAMS > 1:
        # (32 * TILES,) each, float32
        c0, c1 = sum_teams(c0, TILES, TEAMS), sum_teams(c1, TILES, TEAMS)
        c2, c3 = sum_teams(c2, TILES, TEAMS), sum_teams(c3, TILES, TEAMS)
    thread = tl.arange(0, 32 * TILES)  # (32 * TILES,), int32
    # (32 * TILES,): the upper of the thread's two outputs
    output = tile * 16 * TILES + thread // 32 * 16 + thread % 32 // 4
    row = thread % 4 * 2  # (32 * TILES,): the first of its two rows
    out_pointers = out + (part * rows + row) * total + output  # (32 * TILES,), pointers
    tl.store(out_pointers, c0, mask=row < rows)
    tl.store(out_pointers + total, c1, mask=row + 1 < rows)
    tl.store(out_pointers + 8, c2, mask=row < rows)
    tl.store(out_pointers + total + 8, c3, mask=row + 1 < rows)


@triton.jit
def _multiply(
    program, x, weight, code_words, absmax, outer_code, outer_absmax, outer_offsets, starts, out, hidden, b, slots,
    done, counter, goal, rows, width, total, slot_count, ranks,
    PARTS: tl.constexpr, TILES: tl.constexpr, TEAMS: tl.constexpr, NESTED: tl.constexpr, OUTER: tl.constexpr,
    PROJECTIONS: tl.constexpr, LORA: tl.constexpr, RANK: tl.constexpr, PIECES: tl.constexpr, CHAINED: tl.constexpr,
    ASM: tl.constexpr, LORA_UP: tl.constexpr, WEIGHTS: tl.constexpr, LOAD: tl.constexpr, SHUFFLE: tl.constexpr,
    WAIT: tl.constexpr, FETCH: tl.constexpr,
):  # fmt: skip
    """Multiply the rows by 16 * TILES outputs over one part's share of the inputs.

    program: number of the program among those that compute x Wᵀ, so program 0 is program `goal` of the launch.

    x: (rows, width), 16-bit, paired order. weight: uint8, (total * width / 2). code_words: (32, 4), int32. absmax and
    outer_*: as in `MergedLinears`. starts: (2, PROJECTIONS), int32. out: (PARTS, rows, total), float32. hidden:
    (PIECES, rows, ranks), float32: x Aᵀ. b: (slots, total, RANK / 2), int32. slots: (rows,), int32. done, counter: as
    in `Lora`. goal: number of programs that compute x Aᵀ.
    """
    tiles = total // (16 * TILES)
    tile, part = program % tiles, program // tiles
    SIZE: tl.constexpr = 32 * TILES * TEAMS
    thread = tl.arange(0, SIZE)  # (SIZE,), int32
    team, warp = thread // (32 * TILES), thread // 32 % TILES  # (SIZE,), int32 each
    lane = thread % 32
    lane_group, quarter = lane // 4, lane % 4  # (SIZE,), int32 each
    # The projection of the outputs; a tile belongs to one projection.
    projection = 0
    for later_projection in tl.static_range(1, PROJECTIONS):
        projection += (tile * 16 * TILES >= tl.load(starts + later_projection)).to(tl.int32)
    # Scalars, int32: the first output of the projection, and its first entry in outer_absmax.
    first_output, outer_start = tl.load(starts + projection), tl.load(starts + PROJECTIONS + projection)
    offset = 0.0
    if NESTED:
        offset = tl.load(outer_offsets + projection)  # scalar, float32
    output = tile * 16 * TILES + warp * 16 + lane_group  # (SIZE,), int32: the upper of the thread's two outputs
    blocks = width // 64
    input_groups = width // 256
    # A team of warps has its own share of the inputs.
    input_groups_per_team = tl.cdiv(input_groups, PARTS * TEAMS)
    steps = tl.minimum(input_groups_per_team, input_groups - part * TEAMS * input_groups_per_team)
    first_input_group = (part * TEAMS + team) * input_groups_per_team  # (SIZE,), int32: the team's first
    # Addresses of the thread's bytes of its two outputs, 8 outputs apart: (SIZE,), int64 each.
    upper_address = weight.to(tl.int64, bitcast=True) + (output.to(tl.int64) * (width // 2) + quarter * 8)
    lower_address = upper_address + 8 * (width // 2)
    # Address of the thread's row of x, (SIZE,), int64. Past the last row, that row is read again; its sums are not
    # stored.
    x_address = (
        x.to(tl.int64, bitcast=True) + (tl.minimum(lane_group, rows - 1).to(tl.int64) * width + quarter * 16) * 2
    )
    zero = tl.zeros((SIZE,), tl.float32)  # (SIZE,), float32
    sums = (zero, zero, zero, zero)
    first_lane = lane - quarter  # (SIZE,), int32: the first of the four threads of the same output
    # Each thread loads its own copy (`nf4_ptx.code_words`).
    code_pointers = code_words + lane * 4
    # Four of (SIZE,), int32.
    code_bytes = (
        tl.load(code_pointers), tl.load(code_pointers + 1), tl.load(code_pointers + 2), tl.load(code_pointers + 3),
    )  # fmt: skip
    input_group = tl.minimum(first_input_group, input_groups - 1)
    # Eight words of (SIZE,), int32, of each output: 4 x 8 bytes.
    upper_words, lower_words = (
        load_words(upper_address + input_group * 128, WEIGHTS),
        load_words(lower_address + input_group * 128, WEIGHTS),
    )
    if LORA:  # noqa: SIM102  LORA is decided at compile time
        if part == 0:
            prefetch_lora_up(b, slot_count, output, quarter, total, RANK, FETCH)
    # The loads above need no x, so they come before the wait: the previous kernel may still be writing x.
    if CHAINED:
        gdc_launch_dependents()
        gdc_wait()
    # Reset the counter of the next product (the protocol is in the docstring of `lora`).
    if LORA:  # noqa: SIM102
        if program == 0:
            tl.store(done + 1 - counter, 0)
    for index in tl.range(0, steps):
        current_upper, current_lower = upper_words, lower_words
        input_group = tl.minimum(first_input_group + index, input_groups - 1)  # (SIZE,), int32
        # The last team's share may be smaller.
        in_share = tl.where(first_input_group + index < input_groups, 1.0, 0.0)  # (SIZE,), float32
        # The next weights are on their way while these are multiplied.
        next_input_group = tl.minimum(first_input_group + index + 1, input_groups - 1)  # (SIZE,), int32
        upper_words, lower_words = (
            load_words(upper_address + next_input_group * 128, WEIGHTS),
            load_words(lower_address + next_input_group * 128, WEIGHTS),
        )
        # Each of the four threads of an output loads the scale of one block; warp shuffles exchange them.
        # Both scales are (SIZE,), float32. The outer scale is that of all four blocks (`load_block_scale`).
        block = output * blocks + input_group * 4 + quarter  # (SIZE,), int32
        outer_block = (outer_start * OUTER) + (output - first_output) * blocks + input_group * 4  # (SIZE,), int32
        upper_scale = in_share * load_block_scale(
            absmax, outer_code, outer_absmax, outer_block, offset, block, NESTED, OUTER
        )
        lower_scale = in_share * load_block_scale(
            absmax, outer_code, outer_absmax, outer_block + 8 * blocks, offset, block + 8 * blocks, NESTED, OUTER
        )
        input_group_address = x_address + input_group * 512  # (SIZE,), int64: 512 bytes of x each
        sums = add_input_group(
            sums, code_bytes, current_upper, current_lower, upper_scale, lower_scale, input_group_address, first_lane,
            ASM, LOAD, SHUFFLE,
        )  # fmt: skip
    if LORA:  # noqa: SIM102
        if part == 0:
            wait_zeros = wait_for_count(done + counter, goal, lane, WAIT)  # (SIZE,), int32: zeros
            # (SIZE,), int32: adapter slot of row `lane_group`
            row_slot = tl.load(slots + lane_group, mask=lane_group < rows, other=-1)
            for slot in tl.range(0, slot_count):
                # (SIZE,), bool: one team adds, or LoRA would count TEAMS times
                uses_slot = (row_slot == slot) & (team == 0)
                if tl.max(uses_slot.to(tl.int32), 0) > 0:
                    sums = add_lora_up(
                        sums, hidden, b, slot, uses_slot, output, lane_group, quarter, projection, rows, total, ranks,
                        wait_zeros, RANK, PIECES, LORA_UP,
                    )  # fmt: skip
    _store(sums, out, tile, part, rows, total, TILES, TEAMS)


@triton.jit
def _gemv(
    x, weight, code_words, absmax, outer_code, outer_absmax, outer_offsets, starts, out, hidden, a, b, slots, done,
    counter, goal, rows, width, total, slot_count, ranks,
    PARTS: tl.constexpr, TILES: tl.constexpr, TEAMS: tl.constexpr, NESTED: tl.constexpr, OUTER: tl.constexpr,
    PROJECTIONS: tl.constexpr, LORA: tl.constexpr, RANK: tl.constexpr, PIECES: tl.constexpr, CHAINED: tl.constexpr,
    ASM: tl.constexpr, LORA_HIDDEN: tl.constexpr, LORA_UP: tl.constexpr, WEIGHTS: tl.constexpr, LOAD: tl.constexpr,
    SHUFFLE: tl.constexpr, WAIT: tl.constexpr, FETCH: tl.constexpr,
):  # fmt: skip
    """Run one program of a product: the first `goal` compute x Aᵀ, the others x Wᵀ.

    Grid: (goal + PARTS * total / (16 * TILES),). goal is 0 without LoRA. Arguments as in `_multiply`; a: (slots,
    ranks, width), 16-bit.
    """
    program = tl.program_id(0)
    if program < goal:
        if LORA:
            compute_lora_hidden_piece(
                x, a, hidden, slots, done + counter, program, rows, width, ranks, TILES * TEAMS, PIECES, LORA_HIDDEN,
                LOAD, CHAINED,
            )  # fmt: skip
    else:
        _multiply(
            program - goal, x, weight, code_words, absmax, outer_code, outer_absmax, outer_offsets, starts, out, hidden,
            b, slots, done, counter, goal, rows, width, total, slot_count, ranks, PARTS, TILES, TEAMS, NESTED, OUTER,
            PROJECTIONS, LORA, RANK, PIECES, CHAINED, ASM, LORA_UP, WEIGHTS, LOAD, SHUFFLE, WAIT, FETCH,
        )  # fmt: skip


# The value of lane $2.
_SHUFFLE = "shfl.sync.idx.b32 $0, $1, $2, 0x1f, 0xffffffff;"


def is_supported(x: torch.Tensor, weights: MergedLinears) -> bool:
    """Return whether this kernel can compute a product of x (rows, width)."""
    return (
        x.is_cuda
        and weights.is_packed
        and len(x) <= MAX_ROWS
        and x.dtype in (torch.bfloat16, torch.float16)
        and weights.width % INPUT_GROUP_WIDTH == 0
    )


def multiply(
    x: torch.Tensor,
    weights: MergedLinears,
    out: torch.Tensor,
    lora: Lora | None = None,
    tiles: int = TILES,
    teams: int = TEAMS,
) -> None:
    """Compute x Wᵀ and LoRA, as `core.chat.cuda.quantized_matmul.product`.

    Args:
        x: (rows, width), bfloat16 or float16, columns in paired order; at most `MAX_ROWS` rows.
        weights: Packed merged weights.
        out: (parts, rows, outputs), float32, written: they add up.
        lora: LoRA of the rows; None computes none.
        tiles: Tiles of 16 outputs of a program.
        teams: Number of shares of the inputs, each with one warp per tile.
    """
    (rows, width), parts = x.shape, len(out)
    # A kernel needs a pointer for every argument, also for those that it does not read.
    none = weights.starts
    hidden, a, b, slots, done = (out, x, none, none, none)
    counter, goal, count, ranks, rank, pieces = 0, 0, 0, 0, 16, 1
    if lora is not None:
        hidden, a, b, slots, done = lora.hidden, lora.a, lora.b.view(torch.int32), lora.slots, lora.done
        counter, goal, (count, ranks) = lora.counter, lora.programs, a.shape[:2]
        rank, pieces = lora.b.shape[2], len(hidden)
    _gemv[(goal + parts * (weights.total // (16 * tiles)),)](
        x, weights.data, code_words(weights.code_values, x.dtype, x.device), weights.absmax, weights.outer_code,
        weights.outer_absmax, weights.outer_offsets, weights.starts, out, hidden, a, b, slots, done, counter, goal,
        rows, width, weights.total, count, ranks,
        PARTS=parts, TILES=tiles, TEAMS=teams, NESTED=weights.is_nested, OUTER=weights.outer_blocksize,
        PROJECTIONS=weights.count, LORA=lora is not None, RANK=rank, PIECES=pieces,
        ASM=block_product_ptx(weights.code_values, x.dtype),
        LORA_HIDDEN=lora_hidden_ptx(x.dtype), LORA_UP=lora_up_ptx(x.dtype),
        WEIGHTS=LOAD_WEIGHTS, LOAD=LOAD_WORDS,
        SHUFFLE=_SHUFFLE, WAIT=WAIT, FETCH=FETCH, CHAINED=is_chained(x), launch_pdl=is_chained(x),
        num_warps=tiles * teams,
    )  # fmt: skip
