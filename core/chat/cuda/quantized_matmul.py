"""Triton kernels: products of rows with 4-bit or unquantized weights, LoRA for rows of many adapters, and unpacking.

What is computed: out[s] = x Wᵀ over share s of the inputs (S parts that the reader adds up), plus (x Aᵀ) Bᵀ in part 0.

Steps of `_product`, for 64 outputs and up to 128 rows:

1. load 32 bytes of each output's weights: a block of 64;
2. turn the upper and lower halves of the bytes into code values (`nf4_ptx.unpack_bytes_ptx`; a table without PTX);
3. multiply the upper halves by the even columns of x and the lower halves by the odd ones (`tl.dot`);
4. multiply the block's sum by its absmax in float32, and add it up. Weights are thus never rounded after scaling.

    byte k of a block      [ weight 2k | weight 2k + 1 ]                        upper half, lower half
    x in paired order      [ 0 2 4 6 | 1 3 5 7 ] [ 8 10 12 14 | 9 11 13 15 ]    (`elementwise.paired_index`)
                             even      odd         even         odd

Rows are the narrow side of a tensor core's product, padded to 16, and the weights are read once. `_lora_down` computes
x Aᵀ in a launch before. `_unpack` writes whole weights for cuBLAS, which is faster for many rows.

Data types: x, codes, A and B in the model's dtype; absmax, sums and outputs in float32. One to eight rows over 4-bit
weights have a kernel of their own (`nf4_gemv`).

Measured on an H100 (bench/LOG.md), four groups of a block of Llama-2-7B, floor 34 µs: `tl.dot` with codes from a
table 407 µs, with codes by byte shuffles 109; with 16 rows 107, with 32 176, with 128 363.
"""

import torch
import triton
import triton.language as tl

from core.chat.cuda.elementwise import is_chained, wait_for_previous
from core.chat.cuda.lora import Lora
from core.chat.cuda.nf4_gemv import is_supported, stream
from core.chat.cuda.nf4_ptx import unpack_bytes_ptx
from core.chat.cuda.weights import MergedLinears

# Outputs of a program; every module's outputs are a multiple.
TILE = 64
# Rows that a tensor core takes at least.
_MIN_ROWS = 16
_MAX_ROWS = 128


@triton.jit
def _product(
    x, weight, absmax, code, outer_code, outer_absmax, outer_offsets, starts, out, down, b, slots,
    rows, width, total, slot_count, ranks,
    ROWS: tl.constexpr, TILE: tl.constexpr, SPLITS: tl.constexpr, STEP: tl.constexpr, PACKED: tl.constexpr,
    NESTED: tl.constexpr, OUTER: tl.constexpr, ASM: tl.constexpr, MODULES: tl.constexpr,
    LORA: tl.constexpr, RANK: tl.constexpr, CHUNK: tl.constexpr, PIECES: tl.constexpr, DONE: tl.constexpr,
    CHAINED: tl.constexpr,
):  # fmt: skip
    """Multiply ROWS rows by the weights of TILE outputs, over one share of the inputs.

    Grid: (total / TILE, SPLITS, rows / ROWS).

    x: (rows, width), model dtype, paired order if PACKED. weight: uint8, (total * width / 2) if PACKED, else (total,
    width), model dtype. absmax and outer_*: as in `MergedLinears`. starts: (2, MODULES), int32. out: (SPLITS, rows,
    total), float32. down: (PIECES, rows, ranks), float32: x Aᵀ. b: (slots, total, RANK), model dtype. slots: (rows,),
    int32. STEP: blocks that are read at once. DONE: x Wᵀ is in `out` already, and only LoRA is added.
    """
    wait_for_previous(CHAINED)
    tile, split = tl.program_id(0), tl.program_id(1)
    o = tile * TILE + tl.arange(0, TILE)  # (TILE,), int32: outputs
    row = tl.program_id(2) * ROWS + tl.arange(0, ROWS)
    there = (row < rows)[None, :]  # (1, ROWS)
    kind = x.dtype.element_ty
    # The module of the outputs; a tile belongs to one module.
    part = 0
    for number in tl.static_range(1, MODULES):
        part += (tile * TILE >= tl.load(starts + number)).to(tl.int32)
    first = tl.load(starts + part)  # scalar: first output of the module
    outer_first = tl.load(starts + MODULES + part)  # scalar: its first entry in outer_absmax
    blocks = width // 64
    each = tl.cdiv(tl.cdiv(blocks, SPLITS), STEP) * STEP
    start = split * each
    end = tl.minimum(start + each, blocks)
    target = out + (split * rows + row[None, :]) * total + o[:, None]  # (TILE, ROWS), pointers
    found = tl.zeros((TILE, ROWS), tl.float32)  # (TILE, ROWS), float32: the sums, transposed
    if DONE:
        found = tl.load(target, mask=there, other=0.0)  # (TILE, ROWS), float32
    elif PACKED:
        at = tl.arange(0, 32)  # (32,): bytes of a block
        if NESTED:
            offset = tl.load(outer_offsets + part)
        for step in tl.range(start, end, STEP):
            for more in tl.static_range(STEP):
                block = step + more
                inside = block < end
                # (TILE, 32), uint8
                byte = tl.load(weight + (o[:, None] * (width // 2) + block * 32 + at[None, :]), mask=inside, other=0)
                # Even columns of x: (32, ROWS); the odd ones are four positions behind in paired order.
                place = x + row[None, :] * width + block * 64 + (at // 4 * 8 + at % 4)[:, None]
                even = tl.load(place, mask=there & inside, other=0.0)
                odd = tl.load(place + 4, mask=there & inside, other=0.0)
                # The code values of both halves: (TILE, 32), model dtype.
                if ASM is not None:
                    left, right = tl.inline_asm_elementwise(
                        ASM, "=r,=r,=r,=r,r", [byte], dtype=(kind, kind), is_pure=True, pack=4
                    )
                else:
                    left = tl.load(code + (byte >> 4).to(tl.int32)).to(kind)
                    right = tl.load(code + (byte & 15).to(tl.int32)).to(kind)
                # (TILE, ROWS), float32
                summed = tl.dot(left, even, input_precision="ieee")
                summed = tl.dot(right, odd, summed, input_precision="ieee")
                # The scale of the block, per output: (TILE,), float32 once it is dequantized.
                size = tl.load(absmax + o * blocks + block, mask=inside, other=0)
                if NESTED:
                    outer = tl.load(outer_absmax + outer_first + ((o - first) * blocks + block) // OUTER, mask=inside)
                    size = tl.load(outer_code + size.to(tl.int32)) * outer + offset
                found += summed * size.to(tl.float32)[:, None]
    else:
        at = tl.arange(0, 64)  # (64,): inputs of a block
        for block in tl.range(start, end):
            # (TILE, 64) and (64, ROWS), model dtype
            held = tl.load(weight + (o[:, None].to(tl.int64) * width + block * 64 + at[None, :]))
            read = tl.load(x + row[None, :] * width + block * 64 + at[:, None], mask=there, other=0.0)
            found = tl.dot(held, read, found, input_precision="ieee")
    # In one part only, as the parts are added up.
    if LORA:  # noqa: SIM102  LORA is decided at compile time
        if split == 0:
            slot = tl.load(slots + row, mask=row < rows, other=-1)  # (ROWS,), int32
            # Slots that no row uses are skipped.
            for one in tl.range(0, slot_count):
                mine = slot == one  # (ROWS,), bool
                if tl.max(mine.to(tl.int32), 0) > 0:
                    for chunk in tl.static_range(0, RANK, CHUNK):
                        rank = chunk + tl.arange(0, CHUNK)  # (CHUNK,)
                        low = tl.zeros((CHUNK, ROWS), tl.float32)  # (CHUNK, ROWS): x Aᵀ; 0 for rows of other slots
                        for piece in tl.static_range(PIECES):
                            low += tl.load(
                                down + (piece * rows + row[None, :]) * ranks + part * RANK + rank[:, None],
                                mask=mine[None, :], other=0.0,
                            )  # fmt: skip
                        # (TILE, CHUNK), model dtype
                        up = tl.load(b + (one * total + o[:, None]).to(tl.int64) * RANK + rank[None, :])
                        found = tl.dot(up, low.to(kind), found, input_precision="ieee")  # (TILE, ROWS), float32
    tl.store(target, found, mask=there)


@triton.jit
def _lora_down(
    x, a, out, slots, rows, width, ranks,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PIECES: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """Compute x Aᵀ for 16 ranks of a slot, ROWS rows and one piece of the inputs.

    Grid: (slots * ranks / 16, PIECES, rows / ROWS). x: (rows, width), model dtype. a: (slots, ranks, width), model
    dtype. out: (PIECES, rows, ranks), float32, written for the rows of the slot.
    """
    wait_for_previous(CHAINED)
    tiles = ranks // 16
    number, tile, piece = tl.program_id(0) // tiles, tl.program_id(0) % tiles, tl.program_id(1)
    row = tl.program_id(2) * ROWS + tl.arange(0, ROWS)
    mine = tl.load(slots + row, mask=row < rows, other=-1) == number  # (ROWS,), bool
    if tl.max(mine.to(tl.int32), 0) > 0:
        rank = tile * 16 + tl.arange(0, 16)  # (16,)
        each = tl.cdiv(tl.cdiv(width, COLUMNS), PIECES) * COLUMNS
        end = tl.minimum((piece + 1) * each, width)
        found = tl.zeros((16, ROWS), tl.float32)  # (16, ROWS), float32: the sums, transposed
        for start in tl.range(piece * each, end, COLUMNS):
            column = start + tl.arange(0, COLUMNS)  # (COLUMNS,)
            inside = column < end
            # (16, COLUMNS) and (COLUMNS, ROWS), model dtype
            held = tl.load(
                a + (number * ranks + rank[:, None]).to(tl.int64) * width + column[None, :],
                mask=inside[None, :], other=0.0,
            )  # fmt: skip
            read = tl.load(x + row[None, :] * width + column[:, None], mask=mine[None, :] & inside[:, None], other=0.0)
            found = tl.dot(held, read, found, input_precision="ieee")
        tl.store(out + (piece * rows + row[None, :]) * ranks + rank[:, None], found, mask=mine[None, :])


def padded_rows(rows: int) -> int:
    """Return how many rows a program takes: a power of two, 16 to 128."""
    return min(_MAX_ROWS, max(_MIN_ROWS, triton.next_power_of_2(rows)))


def lora_down(x: torch.Tensor, a: torch.Tensor, slots: torch.Tensor, out: torch.Tensor) -> None:
    """Compute x Aᵀ of each row with the A of its adapter slot.

    Args:
        x: (rows, width), model dtype.
        a: (slots, ranks, width), model dtype; ranks is a multiple of 16.
        slots: (rows,), int32; rows with -1 are not written.
        out: (pieces, rows, ranks), float32, written: parts that add up.
    """
    (rows, width), (count, ranks, _) = x.shape, a.shape
    wide = padded_rows(rows)
    _lora_down[(count * (ranks // 16), len(out), triton.cdiv(rows, wide))](
        x, a, out, slots, rows, width, ranks, ROWS=wide, COLUMNS=128, PIECES=len(out),
        CHAINED=is_chained(x), launch_pdl=is_chained(x), num_warps=2, num_stages=3,
    )  # fmt: skip


def product(
    x: torch.Tensor,
    weights: MergedLinears,
    out: torch.Tensor,
    lora: Lora | None = None,
    *,
    step: int = 2,
    is_done: bool = False,
) -> None:
    """Compute x Wᵀ and LoRA.

    Args:
        x: (rows, width), model dtype; columns in paired order if the weights are packed.
        weights: The merged weights.
        out: (splits, rows, outputs), float32, written: parts that add up.
        lora: LoRA of the rows; None computes none.
        step: Blocks of 64 inputs that are read at once.
        is_done: Whether x Wᵀ is in `out` already, so that only LoRA is added.
    """
    if is_supported(x, weights) and not is_done:
        stream(x, weights, out, lora)
        return
    (rows, width), splits = x.shape, len(out)
    wide, rank, pieces = padded_rows(rows), 16, 1
    down, b, slots, count, ranks = out, x, weights.starts, 0, 0
    if lora is not None:
        down, b, slots, count, ranks = lora.down, lora.b, lora.slots, *lora.a.shape[:2]
        rank, pieces = b.shape[2], len(down)
        lora_down(x, lora.a, slots, down)
    asm = None
    if weights.is_packed and x.is_cuda and x.dtype in (torch.bfloat16, torch.float16):
        asm = unpack_bytes_ptx(weights.code_values, x.dtype)
    _product[(weights.total // TILE, splits, triton.cdiv(rows, wide))](
        x, weights.data, weights.absmax, weights.code, weights.outer_code, weights.outer_absmax, weights.outer_offsets,
        weights.starts, out, down, b, slots, rows, width, weights.total, count, ranks,
        ROWS=wide, TILE=TILE, SPLITS=splits, STEP=step, PACKED=weights.is_packed, NESTED=weights.is_nested,
        OUTER=weights.outer_blocksize, ASM=asm, MODULES=weights.count, LORA=lora is not None, RANK=rank,
        CHUNK=min(rank, 64), PIECES=pieces, DONE=is_done, CHAINED=is_chained(x), launch_pdl=is_chained(x),
        num_warps=4 if wide < 64 else 8, num_stages=3 if wide < 64 else 2,
    )  # fmt: skip


@triton.jit
def _unpack(
    weight, absmax, code, outer_code, outer_absmax, outer_offsets, starts, out, blocks, width,
    NESTED: tl.constexpr, OUTER: tl.constexpr, MODULES: tl.constexpr, PAIRED: tl.constexpr, COUNT: tl.constexpr,
):  # fmt: skip
    """Unpack COUNT blocks of 64 weights. Grid: (blocks / COUNT,).

    weight: uint8, (blocks * 32). absmax and outer_*: as in `MergedLinears`. out: (blocks * 64), model dtype.
    """
    block = tl.program_id(0) * COUNT + tl.arange(0, COUNT)  # (COUNT,), int32
    there = block < blocks
    size = tl.load(absmax + block, mask=there, other=0)  # (COUNT,), uint8 or float32
    if NESTED:
        # Per block, (COUNT,), int32: its output, and the module of that output.
        row, part = block // (width // 64), tl.zeros((COUNT,), tl.int32)
        for number in tl.static_range(1, MODULES):
            part += (row >= tl.load(starts + number)).to(tl.int32)
        first, outer_first = tl.load(starts + part), tl.load(starts + MODULES + part)  # (COUNT,), int32 each
        outer = tl.load(outer_absmax + outer_first + (block - first * (width // 64)) // OUTER, mask=there, other=0.0)
        size = tl.load(outer_code + size.to(tl.int32)) * outer + tl.load(outer_offsets + part)  # (COUNT,), float32
    pair = tl.arange(0, 32)[None, :]  # (1, 32): bytes of a block
    byte = tl.load(weight + block[:, None].to(tl.int64) * 32 + pair, mask=there[:, None], other=0).to(tl.int32)
    # (COUNT, 32) each, model dtype
    left = (tl.load(code + (byte >> 4)) * size[:, None]).to(out.dtype.element_ty)
    right = (tl.load(code + (byte & 15)) * size[:, None]).to(out.dtype.element_ty)
    target = out + block[:, None].to(tl.int64) * 64  # (COUNT, 1), pointers
    if PAIRED:
        place = target + pair // 4 * 8 + pair % 4
        tl.store(place, left, mask=there[:, None])
        tl.store(place + 4, right, mask=there[:, None])
    else:
        tl.store(target + tl.arange(0, 64)[None, :], tl.interleave(left, right), mask=there[:, None])


def unpack(weights: MergedLinears, out: torch.Tensor, paired: bool) -> None:
    """Unpack merged 4-bit weights.

    Args:
        weights: The merged weights.
        out: (outputs, width), model dtype, written.
        paired: Whether the columns of `out` are in paired order.
    """
    blocks = weights.total * weights.width // 64
    _unpack[(triton.cdiv(blocks, 64),)](
        weights.data, weights.absmax, weights.code, weights.outer_code, weights.outer_absmax, weights.outer_offsets,
        weights.starts, out, blocks, weights.width, NESTED=weights.is_nested, OUTER=weights.outer_blocksize,
        MODULES=weights.count, PAIRED=paired, COUNT=64, num_warps=4,
    )  # fmt: skip


def unpacked_weights(weights: MergedLinears, scratch: torch.Tensor, paired: bool = False) -> torch.Tensor:
    """Return all merged weights (total, width) in the model's dtype.

    Args:
        weights: The merged weights.
        scratch: Buffer of at least total * width elements; packed weights are unpacked into it.
        paired: Whether the columns are to be in paired order (`elementwise.paired_index`); only for packed weights.
    """
    if not weights.is_packed:
        return weights.data
    out = scratch[: weights.total * weights.width].view(weights.total, weights.width)
    unpack(weights, out, paired)
    return out
