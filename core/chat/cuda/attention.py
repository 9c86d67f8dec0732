"""Triton kernel: attention of one new token of every sequence to the sequence's own tokens, which are in pages.

What is computed, for each row (sequence) and key head: rotary embedding of query and key (Su et al. 2021), the new
token's key and value into the cache, and softmax(q Kᵀ * scale) V over all tokens, for the query heads of the group.

Steps (flash decoding, Dao et al. 2023): the tokens of a sequence are divided among SPLITS programs, since a few rows
would not fill a GPU. Each keeps the running maximum and sum of its softmax beside its result; the last program to
finish (an atomic counter) combines all, which saves a launch.

    length = 300, SPLITS = 2, TILE = 64, a page holds 128 tokens

    pages       [ page 4           | page 0            | page 7       ]
    tiles       [  0      |  1     |  2      |  3      |  4     ]  new token 300
    programs    [ split 0: tiles 0, 1, 2    | split 1: tiles 3, 4 ]  (split 0 also takes the new token)

Data types: cache and products in the model's dtype with float32 accumulation; scores, maxima, sums and the parts in
float32. The scale includes log2(e), so exp2 replaces exp.

One launch replaces rotary embedding, cache update and attention of PyTorch. Logits are tested against the PyTorch model
(tests/gpu/test_fast_lanes_gpu.py); a step is measured in bench/chat_gpu.py.
"""

import torch
import triton
import triton.language as tl

from core.chat.cuda.elementwise import is_chained, paired_index, wait_for_previous

# Tokens that a program attends to at once; a page is a multiple.
TILE = 64
_LOG2_E = 1.4426950408889634
# A tensor core takes at least so many query heads.
_MIN_GROUP = 16


@triton.jit
def _sum_parts(projected, rows, row, total, column, inside, PARTS: tl.constexpr):
    """Add up the parts of the projections at some columns of a row.

    projected: float32, (PARTS, rows, total). column, inside: of any shape. Returns that shape, float32.
    """
    found = tl.load(projected + row * total + column, mask=inside, other=0.0)
    for part in tl.static_range(1, PARTS):
        found += tl.load(projected + (part * rows + row) * total + column, mask=inside, other=0.0)
    return found


@triton.jit
def _combine_splits(scratch, sums, place, whole, mine, there, WIDTH: tl.constexpr, SPLITS: tl.constexpr):
    """Combine the results of all splits of a group of query heads.

    scratch: float32, (rows * heads * SPLITS, WIDTH). sums: float32, (rows * heads * SPLITS, 2): maximum and sum.
    place: (GROUP,), first entry of each head. whole: (WIDTH,). mine: (GROUP, 1). there: (GROUP,).
    Returns (GROUP, WIDTH), float32.

    The loads bypass the first-level cache (.cg), which may hold values from before the other programs wrote.
    """
    highest = tl.load(sums + 2 * place, mask=there, other=0.0, cache_modifier=".cg")  # (GROUP,)
    for split in tl.static_range(1, SPLITS):
        more = tl.load(sums + 2 * (place + split), mask=there, other=0.0, cache_modifier=".cg")
        highest = tl.maximum(highest, more)  # (GROUP,), float32
    found, summed = 0.0, 0.0  # become (GROUP, WIDTH) and (GROUP,), float32
    for split in tl.static_range(SPLITS):
        part = place + split
        # Rescale each part from its own maximum to the common one.
        share = tl.exp2(tl.load(sums + 2 * part, mask=there, other=0.0, cache_modifier=".cg") - highest)
        summed += share * tl.load(sums + 2 * part + 1, mask=there, other=1.0, cache_modifier=".cg")
        held = tl.load(scratch + part[:, None] * WIDTH + whole[None, :], mask=mine, other=0.0, cache_modifier=".cg")
        found += share[:, None] * held
    return found / summed[:, None]


@triton.jit
def _attend(
    projected, cos, sin, keys, values, table, lengths, out, scratch, sums, done, rows, total, pages, scale,
    HEADS: tl.constexpr, SHARED: tl.constexpr, GROUP: tl.constexpr, HALF: tl.constexpr, PAGE: tl.constexpr,
    TILE: tl.constexpr, SPLITS: tl.constexpr, PARTS: tl.constexpr, PAIRED: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """Attend for one row, one key head and one split. Grid: (rows, HEADS, SPLITS). Arguments as in `attend`.

    HEADS: key heads. SHARED: query heads of a key head; GROUP: the same, padded to at least 16. HALF: half a head's
    width; WIDTH below is 2 * HALF. PAGE: tokens per page.
    """
    wait_for_previous(CHAINED)
    row, head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    length = tl.load(lengths + row)  # scalar, int32
    kind = keys.dtype.element_ty
    width: tl.constexpr = 2 * HALF
    half, whole = tl.arange(0, HALF), tl.arange(0, 2 * HALF)  # (HALF,) and (WIDTH,)
    own = tl.arange(0, GROUP)  # (GROUP,): query heads of the group
    mine = (own < SHARED)[:, None]  # (GROUP, 1), bool
    # A free slot has length -1; its program runs at position 0 and writes nothing to the cache.
    at = tl.maximum(length, 0)

    # Rotary embedding: the halves of a head are the two coordinates that rotate by the position's angle.
    c, s = tl.load(cos + at * HALF + half).to(tl.float32), tl.load(sin + at * HALF + half).to(tl.float32)  # (HALF,)
    column = (head * SHARED + own)[:, None] * width + half[None, :]
    left = _sum_parts(projected, rows, row, total, column, mine, PARTS).to(kind).to(tl.float32)  # (GROUP, HALF)
    right = _sum_parts(projected, rows, row, total, column + HALF, mine, PARTS).to(kind).to(tl.float32)  # (GROUP, HALF)
    first = (left * c[None, :] - right * s[None, :]).to(kind)  # (GROUP, HALF): query, first halves
    second = (right * c[None, :] + left * s[None, :]).to(kind)  # (GROUP, HALF): query, second halves
    every = half >= 0
    column = (HEADS * SHARED + head) * width + half
    left = _sum_parts(projected, rows, row, total, column, every, PARTS).to(kind).to(tl.float32)  # (HALF,)
    right = _sum_parts(projected, rows, row, total, column + HALF, every, PARTS).to(kind).to(tl.float32)  # (HALF,)
    key_first, key_second = (left * c - right * s).to(kind), (right * c + left * s).to(kind)  # (HALF,) each
    column = (HEADS * SHARED + HEADS + head) * width + whole
    value = _sum_parts(projected, rows, row, total, column, whole >= 0, PARTS).to(kind)  # (WIDTH,)

    # The new token itself belongs to split 0, which starts its softmax with it.
    score = tl.sum(first.to(tl.float32) * key_first.to(tl.float32)[None, :], 1)  # (GROUP,), fp32
    score += tl.sum(second.to(tl.float32) * key_second.to(tl.float32)[None, :], 1)  # (GROUP,), fp32
    begins = split == 0
    highest = tl.where(begins, score * scale, float("-inf"))  # (GROUP,), fp32: running maximum
    summed = tl.where(begins, tl.full((GROUP,), 1.0, tl.float32), 0.0)  # (GROUP,), fp32: running sum
    # (GROUP, WIDTH), fp32: weighted sum of the values
    found = tl.where(begins, value.to(tl.float32)[None, :] + tl.zeros((GROUP, 2 * HALF), tl.float32), 0.0)
    if begins & (length >= 0):
        page = tl.load(table + row * pages + length // PAGE).to(tl.int64)
        place = ((page * HEADS + head) * PAGE + length % PAGE) * width
        tl.store(keys + place + half, key_first)
        tl.store(keys + place + HALF + half, key_second)
        tl.store(values + place + whole, value)

    # The cached tokens of this split, TILE at a time. A tile never crosses a page.
    tiles = tl.cdiv(at, TILE)
    each = tl.cdiv(tiles, SPLITS)
    token = tl.arange(0, TILE)  # (TILE,)
    for tile in tl.range(split * each, tl.minimum((split + 1) * each, tiles)):
        page = tl.load(table + row * pages + tile * TILE // PAGE).to(tl.int64)
        place = ((page * HEADS + head) * PAGE + tile * TILE % PAGE) * width
        inside = tile * TILE + token < length  # (TILE,), bool
        spot = keys + place + token[None, :] * width + half[:, None]  # (HALF, TILE): keys, transposed
        # (GROUP, TILE), fp32
        scores = tl.dot(first, tl.load(spot, mask=inside[None, :], other=0.0), input_precision="ieee")
        scores = tl.dot(second, tl.load(spot + HALF, mask=inside[None, :], other=0.0), scores, input_precision="ieee")
        scores = tl.where(inside[None, :], scores * scale, float("-inf"))  # (GROUP, TILE), fp32
        higher = tl.maximum(highest, tl.max(scores, 1))  # (GROUP,), fp32
        share, kept = tl.exp2(scores - higher[:, None]), tl.exp2(highest - higher)  # (GROUP, TILE) and (GROUP,)
        # (TILE, WIDTH), model dtype
        held = tl.load(values + place + token[:, None] * width + whole[None, :], mask=inside[:, None], other=0.0)
        found = tl.dot(share.to(kind), held, found * kept[:, None], input_precision="ieee")  # (GROUP, WIDTH), fp32
        summed = summed * kept + tl.sum(share, 1)  # (GROUP,), fp32
        highest = higher

    asking = head * SHARED + own  # (GROUP,): numbers of the query heads
    column = asking[:, None] * width + whole[None, :]  # (GROUP, WIDTH)
    target = out + row * HEADS * SHARED * width + paired_index(column, PAIRED)
    if SPLITS == 1:
        tl.store(target, (found / summed[:, None]).to(kind), mask=mine)
    else:
        place = (row * HEADS * SHARED + asking) * SPLITS  # (GROUP,): entries in scratch and sums
        tl.store(scratch + (place + split)[:, None] * width + whole[None, :], found, mask=mine)
        tl.store(sums + 2 * (place + split), highest, mask=own < SHARED)
        tl.store(sums + 2 * (place + split) + 1, summed, mask=own < SHARED)
        # All threads must have stored before this program counts itself as done.
        tl.debug_barrier()
        if tl.atomic_add(done + row * HEADS + head, 1, sem="acq_rel", scope="gpu") == SPLITS - 1:
            tl.store(
                target, _combine_splits(scratch, sums, place, whole, mine, own < SHARED, width, SPLITS).to(kind),
                mask=mine,
            )  # fmt: skip
            # For the next step.
            tl.store(done + row * HEADS + head, 0)


def attend(
    projected: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, keys: torch.Tensor, values: torch.Tensor,
    table: torch.Tensor, lengths: torch.Tensor, out: torch.Tensor, scratch: torch.Tensor, sums: torch.Tensor,
    done: torch.Tensor, scale: float, paired: bool,
) -> None:  # fmt: skip
    """Attend from one new token of each row, and put the token into the cache.

    Args:
        projected: (parts, rows, (heads + 2 * key_heads) * width), float32: query, key and value.
        cos: (positions, width / 2), model dtype.
        sin: (positions, width / 2), model dtype.
        keys: (pages, key_heads, PAGE_TOKENS, width), model dtype, updated.
        values: The same shape, updated.
        table: (slots, pages of a sequence), int32: page numbers.
        lengths: (slots,), int32: tokens in the cache; a row of negative length is not stored.
        out: (rows, heads * width), model dtype, written.
        scratch: (rows, heads, splits, width), float32: results of the splits.
        sums: (rows, heads, splits, 2), float32: maximum and sum of each split's softmax.
        done: (rows, key_heads), int32: zeros before and after; counts finished splits.
        scale: Factor of the scores.
        paired: Whether the columns of `out` are in paired order.
    """
    count, rows, total = projected.shape
    _, key_heads, page, width = keys.shape
    heads, splits = total // width - 2 * key_heads, scratch.shape[2]
    shared = heads // key_heads
    _attend[(rows, key_heads, splits)](
        projected, cos, sin, keys, values, table, lengths, out, scratch, sums, done,
        rows, total, table.shape[1], scale * _LOG2_E,
        HEADS=key_heads, SHARED=shared, GROUP=max(_MIN_GROUP, triton.next_power_of_2(shared)), HALF=width // 2,
        PAGE=page, TILE=TILE, SPLITS=splits, PARTS=count, PAIRED=paired, CHAINED=is_chained(out),
        launch_pdl=is_chained(out), num_warps=4,
        # Two stages of float32 tiles do not fit into the shared memory of a small GPU.
        num_stages=2 if keys.element_size() == 2 else 1,
    )  # fmt: skip
