"""Triton kernels: products of rows with 4-bit or unquantized weights, LoRA with an adapter for each row, and unpacking.

Computation: out[p] = x Wᵀ over a share of the inputs (P parts that the reader adds up), plus (x Aᵀ) Bᵀ in part 0.

Steps of `_product`, for 64 outputs and up to 128 rows:

1. load 32 bytes of each output's weights: a block of 64 (layout: core/kernels/nf4.py);
2. convert the nibbles of the bytes to code values: by `nf4_ptx.unpack_bytes_ptx`; in float32 or interpreted, a table;
3. multiply those of upper nibbles by the even columns of x, those of lower ones by the odd (`tl.dot`; paired order);
4. multiply the block's sum by its absmax in float32, and add it up. Weights are thus never rounded after scaling.

Rows are the narrow side of a tensor core's product, padded to 16, and the weights are read once. `_lora_hidden`
computes x Aᵀ in a launch before this one. `_unpack` writes whole weights for cuBLAS, which is faster for many rows.

Data types: x, codes, A and B in the model's dtype; sums and outputs float32; absmax float32, or uint8 with a second
scale (`weights`). One to eight rows over 4-bit weights have a kernel of their own (`nf4_gemv`).

Measured on an H100 (bench/LOG.md), the four products of one transformer block of Llama-2-7B, floor 34 µs: two rows take
407 µs with codes from a table and 109 with byte permutes. With these, 16 rows take 107, 32 take 176, 128 take 363.
"""

import torch
import triton
import triton.language as tl

from core.chat.cuda import nf4_gemv
from core.chat.cuda.elementwise import is_chained, wait_for_previous
from core.chat.cuda.lora import Lora
from core.chat.cuda.nf4_ptx import unpack_bytes_ptx
from core.chat.cuda.weights import MergedLinears

# Outputs of a program; every projection's outputs are a multiple.
TILE = 64
# Minimum number of rows of a tensor-core product.
_MIN_ROWS = 16
_MAX_ROWS = 128


@triton.jit
def _product(
    x, weight, absmax, code, outer_code, outer_absmax, outer_offsets, starts, out, hidden, b, slots,
    rows, width, total, slot_count, ranks,
    ROWS: tl.constexpr, TILE: tl.constexpr, PARTS: tl.constexpr, STEP: tl.constexpr, PACKED: tl.constexpr,
    NESTED: tl.constexpr, OUTER: tl.constexpr, ASM: tl.constexpr, PROJECTIONS: tl.constexpr,
    LORA: tl.constexpr, RANK: tl.constexpr, CHUNK: tl.constexpr, PIECES: tl.constexpr, HAS_BASE_PRODUCT: tl.constexpr,
    CHAINED: tl.constexpr,
):  # fmt: skip
    """Multiply ROWS rows by the weights of TILE outputs, over one part's share of the inputs.

    Grid: (total / TILE, PARTS, rows / ROWS).

    x: (rows, width), model dtype, paired order if PACKED. weight: uint8, (total * width / 2) if PACKED, else (total,
    width), model dtype. absmax and outer_*: as in `MergedLinears`. starts: (2, PROJECTIONS), int32. out: (PARTS,
    rows, total), float32. hidden: (PIECES, rows, ranks), float32: x Aᵀ. b: (slots, total, RANK), model dtype. slots:
    (rows,), int32. STEP: blocks that are read at once. HAS_BASE_PRODUCT: x Wᵀ is in `out`, and only LoRA is added.
    """
    wait_for_previous(CHAINED)
    tile, part = tl.program_id(0), tl.program_id(1)
    output = tile * TILE + tl.arange(0, TILE)  # (TILE,), int32: outputs
    row = tl.program_id(2) * ROWS + tl.arange(0, ROWS)  # (ROWS,)
    is_row = (row < rows)[None, :]  # (1, ROWS)
    dtype = x.dtype.element_ty
    # The projection of the outputs; a tile belongs to one projection.
    projection = 0
    for later_projection in tl.static_range(1, PROJECTIONS):
        projection += (tile * TILE >= tl.load(starts + later_projection)).to(tl.int32)
    first_output = tl.load(starts + projection)  # scalar: first output of the projection
    outer_start = tl.load(starts + PROJECTIONS + projection)  # scalar: its first entry in outer_absmax
    blocks = width // 64
    blocks_per_part = tl.cdiv(tl.cdiv(blocks, PARTS), STEP) * STEP
    start = part * blocks_per_part
    end = tl.minimum(start + blocks_per_part, blocks)
    out_pointers = out + (part * rows + row[None, :]) * total + output[:, None]  # (TILE, ROWS), pointers
    sums = tl.zeros((TILE, ROWS), tl.float32)  # (TILE, ROWS), float32: the sums, transposed
    if HAS_BASE_PRODUCT:
        sums = tl.load(out_pointers, mask=is_row, other=0.0)  # (TILE, ROWS), float32
    elif PACKED:
        index = tl.arange(0, 32)  # (32,): bytes of a block
        if NESTED:
            offset = tl.load(outer_offsets + projection)  # scalar, float32
        for step in tl.range(start, end, STEP):
            for step_block in tl.static_range(STEP):
                block = step + step_block
                inside = block < end
                # (TILE, 32), uint8
                byte = tl.load(
                    weight + (output[:, None] * (width // 2) + block * 32 + index[None, :]), mask=inside, other=0
                )
                # Even columns of x: (32, ROWS); the odd ones are four positions behind in paired order.
                x_pointers = x + row[None, :] * width + block * 64 + (index // 4 * 8 + index % 4)[:, None]
                even = tl.load(x_pointers, mask=is_row & inside, other=0.0)
                odd = tl.load(x_pointers + 4, mask=is_row & inside, other=0.0)
                # The code values of both nibbles: (TILE, 32), model dtype.
                if ASM is not None:
                    upper_codes, lower_codes = tl.inline_asm_elementwise(
                        ASM, "=r,=r,=r,=r,r", [byte], dtype=(dtype, dtype), is_pure=True, pack=4
                    )
                else:
                    upper_codes = tl.load(code + (byte >> 4).to(tl.int32)).to(dtype)
                    lower_codes = tl.load(code + (byte & 15).to(tl.int32)).to(dtype)
                # (TILE, ROWS), float32
                block_product = tl.dot(upper_codes, even, input_precision="ieee")
                block_product = tl.dot(lower_codes, odd, block_product, input_precision="ieee")
                # The scale of the block, per output: (TILE,), float32 once it is dequantized.
                scale = tl.load(absmax + output * blocks + block, mask=inside, other=0)
                if NESTED:
                    outer_scale = tl.load(
                        outer_absmax + outer_start + ((output - first_output) * blocks + block) // OUTER, mask=inside
                    )
                    scale = tl.load(outer_code + scale.to(tl.int32)) * outer_scale + offset
                sums += block_product * scale.to(tl.float32)[:, None]
    else:
        index = tl.arange(0, 64)  # (64,): inputs of a block
        for block in tl.range(start, end):
            # (TILE, 64) and (64, ROWS), model dtype
            weight_tile = tl.load(weight + (output[:, None].to(tl.int64) * width + block * 64 + index[None, :]))
            x_tile = tl.load(x + row[None, :] * width + block * 64 + index[:, None], mask=is_row, other=0.0)
            sums = tl.dot(weight_tile, x_tile, sums, input_precision="ieee")
    # In one part only, as the parts are added up.
    if LORA:  # noqa: SIM102  LORA is decided at compile time
        if part == 0:
            row_slot = tl.load(slots + row, mask=row < rows, other=-1)  # (ROWS,), int32
            # Slots that no row uses are skipped.
            for slot in tl.range(0, slot_count):
                uses_slot = row_slot == slot  # (ROWS,), bool
                if tl.max(uses_slot.to(tl.int32), 0) > 0:
                    for chunk in tl.static_range(0, RANK, CHUNK):
                        rank = chunk + tl.arange(0, CHUNK)  # (CHUNK,)
                        x_a = tl.zeros((CHUNK, ROWS), tl.float32)  # (CHUNK, ROWS): x Aᵀ; 0 for rows of other slots
                        for piece in tl.static_range(PIECES):
                            x_a += tl.load(
                                hidden + (piece * rows + row[None, :]) * ranks + projection * RANK + rank[:, None],
                                mask=uses_slot[None, :], other=0.0,
                            )  # fmt: skip
                        # (TILE, CHUNK), model dtype
                        lora_up = tl.load(b + (slot * total + output[:, None]).to(tl.int64) * RANK + rank[None, :])
                        sums = tl.dot(lora_up, x_a.to(dtype), sums, input_precision="ieee")  # (TILE, ROWS), float32
    tl.store(out_pointers, sums, mask=is_row)


@triton.jit
def _lora_hidden(
    x, a, out, slots, rows, width, ranks,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PIECES: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """Compute x Aᵀ for 16 ranks of a slot, ROWS rows and one piece of the inputs.

    Grid: (slots * ranks / 16, PIECES, rows / ROWS). x: (rows, width), model dtype. a: (slots, ranks, width), model
    dtype. out: (PIECES, rows, ranks), float32, written for the rows of the slot.
    """
    wait_for_previous(CHAINED)
    rank_tiles = ranks // 16
    slot, rank_tile, piece = tl.program_id(0) // rank_tiles, tl.program_id(0) % rank_tiles, tl.program_id(1)
    row = tl.program_id(2) * ROWS + tl.arange(0, ROWS)  # (ROWS,)
    uses_slot = tl.load(slots + row, mask=row < rows, other=-1) == slot  # (ROWS,), bool
    if tl.max(uses_slot.to(tl.int32), 0) > 0:
        rank = rank_tile * 16 + tl.arange(0, 16)  # (16,)
        columns_per_piece = tl.cdiv(tl.cdiv(width, COLUMNS), PIECES) * COLUMNS
        end = tl.minimum((piece + 1) * columns_per_piece, width)
        sums = tl.zeros((16, ROWS), tl.float32)  # (16, ROWS), float32: the sums, transposed
        for start in tl.range(piece * columns_per_piece, end, COLUMNS):
            column = start + tl.arange(0, COLUMNS)  # (COLUMNS,)
            inside = column < end
            # (16, COLUMNS) and (COLUMNS, ROWS), model dtype
            a_tile = tl.load(
                a + (slot * ranks + rank[:, None]).to(tl.int64) * width + column[None, :],
                mask=inside[None, :], other=0.0,
            )  # fmt: skip
            x_tile = tl.load(
                x + row[None, :] * width + column[:, None], mask=uses_slot[None, :] & inside[:, None], other=0.0
            )
            sums = tl.dot(a_tile, x_tile, sums, input_precision="ieee")  # (16, ROWS), float32
        tl.store(out + (piece * rows + row[None, :]) * ranks + rank[:, None], sums, mask=uses_slot[None, :])


def padded_rows(rows: int) -> int:
    """Return how many rows a program takes: a power of two, 16 to 128."""
    return min(_MAX_ROWS, max(_MIN_ROWS, triton.next_power_of_2(rows)))


def compute_lora_hidden(x: torch.Tensor, a: torch.Tensor, slots: torch.Tensor, out: torch.Tensor) -> None:
    """Compute x Aᵀ of each row with the A of its adapter slot.

    Args:
        x: (rows, width), model dtype.
        a: (slots, ranks, width), model dtype; ranks is a multiple of 16.
        slots: (rows,), int32; rows with -1 are not written.
        out: (pieces, rows, ranks), float32, written: they add up.
    """
    (rows, width), (count, ranks, _) = x.shape, a.shape
    wide = padded_rows(rows)
    _lora_hidden[(count * (ranks // 16), len(out), triton.cdiv(rows, wide))](
        x, a, out, slots, rows, width, ranks, ROWS=wide, COLUMNS=128, PIECES=len(out),
        CHAINED=is_chained(x), launch_pdl=is_chained(x), num_warps=2, num_stages=3,
    )  # fmt: skip


def product(
    x: torch.Tensor, weights: MergedLinears, out: torch.Tensor, lora: Lora | None = None, *, step: int = 2,
    has_base_product: bool = False,
) -> None:  # fmt: skip
    """Compute x Wᵀ and LoRA.

    Args:
        x: (rows, width), model dtype; columns in paired order if the weights are packed.
        weights: The merged weights.
        out: (parts, rows, outputs), float32, written: they add up.
        lora: LoRA of the rows; None computes none.
        step: Blocks of 64 inputs that are read at once.
        has_base_product: Whether x Wᵀ is in `out` already, so that only LoRA is added.
    """
    if nf4_gemv.is_supported(x, weights) and not has_base_product:
        nf4_gemv.multiply(x, weights, out, lora)
        return
    (rows, width), parts = x.shape, len(out)
    wide, rank, pieces = padded_rows(rows), 16, 1
    hidden, b, slots, count, ranks = out, x, weights.starts, 0, 0
    if lora is not None:
        hidden, b, slots, count, ranks = lora.hidden, lora.b, lora.slots, *lora.a.shape[:2]
        rank, pieces = b.shape[2], len(hidden)
        compute_lora_hidden(x, lora.a, slots, hidden)
    asm = None
    if weights.is_packed and x.is_cuda and x.dtype in (torch.bfloat16, torch.float16):
        asm = unpack_bytes_ptx(weights.code_values, x.dtype)
    _product[(weights.total // TILE, parts, triton.cdiv(rows, wide))](
        x, weights.data, weights.absmax, weights.code, weights.outer_code, weights.outer_absmax, weights.outer_offsets,
        weights.starts, out, hidden, b, slots, rows, width, weights.total, count, ranks,
        ROWS=wide, TILE=TILE, PARTS=parts, STEP=step, PACKED=weights.is_packed, NESTED=weights.is_nested,
        OUTER=weights.outer_blocksize, ASM=asm, PROJECTIONS=weights.count, LORA=lora is not None, RANK=rank,
        CHUNK=min(rank, 64), PIECES=pieces, HAS_BASE_PRODUCT=has_base_product, CHAINED=is_chained(x),
        launch_pdl=is_chained(x), num_warps=4 if wide < 64 else 8, num_stages=3 if wide < 64 else 2,
    )  # fmt: skip


@triton.jit
def _unpack(
    weight, absmax, code, outer_code, outer_absmax, outer_offsets, starts, out, blocks, width,
    NESTED: tl.constexpr, OUTER: tl.constexpr, PROJECTIONS: tl.constexpr, PAIRED: tl.constexpr, COUNT: tl.constexpr,
):  # fmt: skip
    """Unpack COUNT blocks of 64 weights. Grid: (blocks / COUNT,).

    The look-up repeats the lines of `core.kernels.nf4_triton.decode_blocks`; the speed of a call was not measured. The
    stores differ (PAIRED).
    weight: uint8, (blocks * 32). absmax and outer_*: as in `MergedLinears`. out: (blocks * 64), model dtype.
    """
    block = tl.program_id(0) * COUNT + tl.arange(0, COUNT)  # (COUNT,), int32
    is_block = block < blocks
    scale = tl.load(absmax + block, mask=is_block, other=0)  # (COUNT,), uint8 or float32
    if NESTED:
        # Per block, (COUNT,), int32: its output, and that output's projection with its entries of `starts`.
        output, projection = block // (width // 64), tl.zeros((COUNT,), tl.int32)
        for later_projection in tl.static_range(1, PROJECTIONS):
            projection += (output >= tl.load(starts + later_projection)).to(tl.int32)
        first_output, outer_start = tl.load(starts + projection), tl.load(starts + PROJECTIONS + projection)
        outer_scale = tl.load(
            outer_absmax + outer_start + (block - first_output * (width // 64)) // OUTER, mask=is_block, other=0.0
        )
        scale = tl.load(outer_code + scale.to(tl.int32)) * outer_scale + tl.load(outer_offsets + projection)  # (COUNT,)
    byte_index = tl.arange(0, 32)[None, :]  # (1, 32): bytes of a block
    byte = tl.load(weight + block[:, None].to(tl.int64) * 32 + byte_index, mask=is_block[:, None], other=0).to(tl.int32)
    upper = (tl.load(code + (byte >> 4)) * scale[:, None]).to(out.dtype.element_ty)  # (COUNT, 32), model dtype
    lower = (tl.load(code + (byte & 15)) * scale[:, None]).to(out.dtype.element_ty)  # (COUNT, 32), model dtype
    out_pointers = out + block[:, None].to(tl.int64) * 64  # (COUNT, 1), pointers
    if PAIRED:
        paired_pointers = out_pointers + byte_index // 4 * 8 + byte_index % 4
        tl.store(paired_pointers, upper, mask=is_block[:, None])
        tl.store(paired_pointers + 4, lower, mask=is_block[:, None])
    else:
        tl.store(out_pointers + tl.arange(0, 64)[None, :], tl.interleave(upper, lower), mask=is_block[:, None])


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
        PROJECTIONS=weights.count, PAIRED=paired, COUNT=64, num_warps=4,
    )  # fmt: skip


def unpacked_weights(weights: MergedLinears, scratch: torch.Tensor, paired: bool = False) -> torch.Tensor:
    """Return all merged weights (total, width) in the model's dtype.

    Args:
        weights: The merged weights.
        scratch: Buffer of at least total * width elements; packed weights are unpacked into it.
        paired: Whether the columns are to be in paired order (`elementwise`); only for packed weights.
    """
    if not weights.is_packed:
        return weights.data
    out = scratch[: weights.total * weights.width].view(weights.total, weights.width)
    unpack(weights, out, paired)
    return out
