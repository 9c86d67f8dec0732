"""Triton kernels: products of rows with weights in 4 bits or whole, and LoRA's two products for rows of many adapters.

Rows are the narrow side of a tensor core's product, padded to 16; the weights stream by once. Where weights are packed
two to a byte, x comes `paired`: of every eight columns the even ones first, so that both halves of a byte meet theirs
without being laid side by side again. A block of 64 weights is multiplied as codes, and its sum by the block's size
(absmax) in float32, so that nothing is rounded twice.

One to eight rows over 4-bit weights have a kernel of their own (`core.chat.cuda.nf4_gemv`).
"""

import torch
import triton
import triton.language as tl

from core.chat.cuda.elementwise import begin, chained
from core.chat.cuda.lora import Lora
from core.chat.cuda.nf4_gemv import four_bytes, serves, stream
from core.kernels.nf4_triton import decode_blocks

TILE = 64  # outputs a program computes; every module's outputs are a multiple
BLOCK = 64  # weights that share an absmax
_LEAST = 16  # rows a tensor core takes at least


@triton.jit
def _product(
    x, weight, sizes, code, outer_code, outer_sizes, outer_offsets, parts, out, lowered, b, slots,
    rows, width, total, slot_count, ranks,
    ROWS: tl.constexpr, TILE: tl.constexpr, SPLITS: tl.constexpr, STEP: tl.constexpr, PACKED: tl.constexpr,
    NESTED: tl.constexpr, OUTER: tl.constexpr, ASM: tl.constexpr, PARTS: tl.constexpr,
    LORA: tl.constexpr, RANK: tl.constexpr, CHUNK: tl.constexpr, PIECES: tl.constexpr, GIVEN: tl.constexpr,
    CHAINED: tl.constexpr,
):  # fmt: skip
    begin(CHAINED)
    tile, split = tl.program_id(0), tl.program_id(1)
    o = tile * TILE + tl.arange(0, TILE)
    row = tl.program_id(2) * ROWS + tl.arange(0, ROWS)
    there = (row < rows)[None, :]
    kind = x.dtype.element_ty
    part = 0
    for number in tl.static_range(1, PARTS):
        part += (tile * TILE >= tl.load(parts + number)).to(tl.int32)
    first = tl.load(parts + part)
    outer_first = tl.load(parts + PARTS + part)
    blocks = width // 64
    each = tl.cdiv(tl.cdiv(blocks, SPLITS), STEP) * STEP
    start = split * each
    end = tl.minimum(start + each, blocks)
    target = out + (split * rows + row[None, :]) * total + o[:, None]
    found = tl.zeros((TILE, ROWS), tl.float32)
    if GIVEN:
        found = tl.load(target, mask=there, other=0.0)
    elif PACKED:
        at = tl.arange(0, 32)
        if NESTED:
            offset = tl.load(outer_offsets + part)
        for step in tl.range(start, end, STEP):
            for more in tl.static_range(STEP):
                block = step + more
                inside = block < end
                byte = tl.load(weight + (o[:, None] * (width // 2) + block * 32 + at[None, :]), mask=inside, other=0)
                place = x + row[None, :] * width + block * 64 + (at // 4 * 8 + at % 4)[:, None]
                even = tl.load(place, mask=there & inside, other=0.0)
                odd = tl.load(place + 4, mask=there & inside, other=0.0)
                if ASM is not None:
                    left, right = tl.inline_asm_elementwise(
                        ASM, "=r,=r,=r,=r,r", [byte], dtype=(kind, kind), is_pure=True, pack=4
                    )
                else:
                    left = tl.load(code + (byte >> 4).to(tl.int32)).to(kind)
                    right = tl.load(code + (byte & 15).to(tl.int32)).to(kind)
                summed = tl.dot(left, even, input_precision="ieee")
                summed = tl.dot(right, odd, summed, input_precision="ieee")
                size = tl.load(sizes + o * blocks + block, mask=inside, other=0)
                if NESTED:
                    outer = tl.load(outer_sizes + outer_first + ((o - first) * blocks + block) // OUTER, mask=inside)
                    size = tl.load(outer_code + size.to(tl.int32)) * outer + offset
                found += summed * size.to(tl.float32)[:, None]
    else:
        at = tl.arange(0, 64)
        for block in tl.range(start, end):
            held = tl.load(weight + (o[:, None].to(tl.int64) * width + block * 64 + at[None, :]))
            read = tl.load(x + row[None, :] * width + block * 64 + at[:, None], mask=there, other=0.0)
            found = tl.dot(held, read, found, input_precision="ieee")
    if LORA:  # noqa: SIM102  decided when this is compiled
        if split == 0:
            slot = tl.load(slots + row, mask=row < rows, other=-1)
            for one in tl.range(0, slot_count):
                mine = slot == one
                if tl.max(mine.to(tl.int32), 0) > 0:
                    for chunk in tl.static_range(0, RANK, CHUNK):
                        rank = chunk + tl.arange(0, CHUNK)
                        low = tl.zeros((CHUNK, ROWS), tl.float32)
                        for piece in tl.static_range(PIECES):
                            low += tl.load(
                                lowered + (piece * rows + row[None, :]) * ranks + part * RANK + rank[:, None],
                                mask=mine[None, :], other=0.0,
                            )  # fmt: skip
                        raised = tl.load(b + (one * total + o[:, None]).to(tl.int64) * RANK + rank[None, :])
                        found = tl.dot(raised, low.to(kind), found, input_precision="ieee")
    tl.store(target, found, mask=there)


@triton.jit
def _lower(
    x, a, out, slots, rows, width, ranks,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PIECES: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    begin(CHAINED)
    tiles = ranks // 16
    number, tile, piece = tl.program_id(0) // tiles, tl.program_id(0) % tiles, tl.program_id(1)
    row = tl.program_id(2) * ROWS + tl.arange(0, ROWS)
    mine = tl.load(slots + row, mask=row < rows, other=-1) == number
    if tl.max(mine.to(tl.int32), 0) > 0:
        rank = tile * 16 + tl.arange(0, 16)
        each = tl.cdiv(tl.cdiv(width, COLUMNS), PIECES) * COLUMNS
        end = tl.minimum((piece + 1) * each, width)
        found = tl.zeros((16, ROWS), tl.float32)
        for start in tl.range(piece * each, end, COLUMNS):
            column = start + tl.arange(0, COLUMNS)
            inside = column < end
            held = tl.load(
                a + (number * ranks + rank[:, None]).to(tl.int64) * width + column[None, :],
                mask=inside[None, :], other=0.0,
            )  # fmt: skip
            read = tl.load(x + row[None, :] * width + column[:, None], mask=mine[None, :] & inside[:, None], other=0.0)
            found = tl.dot(held, read, found, input_precision="ieee")
        tl.store(out + (piece * rows + row[None, :]) * ranks + rank[:, None], found, mask=mine[None, :])


def padded(rows: int) -> int:
    """The rows a program takes: a power of two, 16 to 128."""
    return min(128, max(_LEAST, triton.next_power_of_2(rows)))


def lower(x: torch.Tensor, a: torch.Tensor, slots: torch.Tensor, out: torch.Tensor) -> None:
    """x Aᵀ of each row with the A of its slot, in pieces that add up.

    Args:
        x: (rows, width).
        a: (slots, ranks, width), with ranks a multiple of 16.
        slots: (rows,), int32; -1 is none, and the row is left out.
        out: (pieces, rows, ranks), float32.
    """
    (rows, width), (count, ranks, _) = x.shape, a.shape
    wide = padded(rows)
    _lower[(count * (ranks // 16), len(out), triton.cdiv(rows, wide))](
        x, a, out, slots, rows, width, ranks, ROWS=wide, COLUMNS=128, PIECES=len(out),
        CHAINED=chained(x), launch_pdl=chained(x), num_warps=2, num_stages=3,
    )  # fmt: skip


def product(
    x: torch.Tensor, weights, out: torch.Tensor, lora: Lora | None = None, *, step: int = 2, given: bool = False
) -> None:
    """x Wᵀ, plus LoRA's share, in parts that add up.

    Args:
        x: (rows, width), paired where the weights are packed.
        weights: `core.chat.cuda.weights.Merged`.
        out: (splits, rows, outputs), float32.
        lora: each row's adapter.
        step: blocks that are read at once.
        given: x Wᵀ stands in `out` already.
    """
    if serves(x, weights) and not given:
        stream(x, weights, out, lora)
        return
    (rows, width), splits = x.shape, len(out)
    wide, rank, pieces = padded(rows), 16, 1
    lowered, b, slots, count, ranks = out, x, weights.parts, 0, 0
    if lora is not None:
        lowered, b, slots, count, ranks = lora.lowered, lora.b, lora.slots, *lora.a.shape[:2]
        rank, pieces = b.shape[2], len(lowered)
        lower(x, lora.a, slots, lowered)
    asm = None
    if weights.packed and x.is_cuda and x.dtype in (torch.bfloat16, torch.float16):
        asm = four_bytes(weights.codes, x.dtype)
    _product[(weights.total // TILE, splits, triton.cdiv(rows, wide))](
        x, weights.data, weights.sizes, weights.code, weights.outer_code, weights.outer_sizes, weights.outer_offsets,
        weights.parts, out, lowered, b, slots, rows, width, weights.total, count, ranks,
        ROWS=wide, TILE=TILE, SPLITS=splits, STEP=step, PACKED=weights.packed, NESTED=weights.nested,
        OUTER=weights.outer, ASM=asm, PARTS=weights.modules, LORA=lora is not None, RANK=rank,
        CHUNK=min(rank, 64), PIECES=pieces, GIVEN=given, CHAINED=chained(x), launch_pdl=chained(x),
        num_warps=4 if wide < 64 else 8, num_stages=3 if wide < 64 else 2,
    )  # fmt: skip


@triton.jit
def _unpack(
    weight, sizes, code, outer_code, outer_sizes, outer_offsets, parts, out, blocks, width,
    NESTED: tl.constexpr, OUTER: tl.constexpr, PARTS: tl.constexpr, PAIRED: tl.constexpr, COUNT: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0) * COUNT + tl.arange(0, COUNT)
    there = block < blocks
    size = tl.load(sizes + block, mask=there, other=0)
    if NESTED:
        row, part = block // (width // 64), tl.zeros((COUNT,), tl.int32)
        for number in tl.static_range(1, PARTS):
            part += (row >= tl.load(parts + number)).to(tl.int32)
        first, outer_first = tl.load(parts + part), tl.load(parts + PARTS + part)
        outer = tl.load(outer_sizes + outer_first + (block - first * (width // 64)) // OUTER, mask=there, other=0.0)
        size = tl.load(outer_code + size.to(tl.int32)) * outer + tl.load(outer_offsets + part)
    left, right = decode_blocks(weight, code, block, size, there, 32)
    left, right = left.to(out.dtype.element_ty), right.to(out.dtype.element_ty)
    pair = tl.arange(0, 32)[None, :]
    target = out + block[:, None].to(tl.int64) * 64
    if PAIRED:
        place = target + pair // 4 * 8 + pair % 4
        tl.store(place, left, mask=there[:, None])
        tl.store(place + 4, right, mask=there[:, None])
    else:
        tl.store(target + tl.arange(0, 64)[None, :], tl.interleave(left, right), mask=there[:, None])


def unpack(weights, out: torch.Tensor, paired: bool) -> None:
    """Packed weights of all of `Merged` into out (outputs, width), its columns `paired` or as they are."""
    blocks = weights.total * weights.width // 64
    _unpack[(triton.cdiv(blocks, 64),)](
        weights.data, weights.sizes, weights.code, weights.outer_code, weights.outer_sizes, weights.outer_offsets,
        weights.parts, out, blocks, weights.width, NESTED=weights.nested, OUTER=weights.outer, PARTS=weights.modules,
        PAIRED=paired, COUNT=64, num_warps=4,
    )  # fmt: skip
