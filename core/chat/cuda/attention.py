"""Triton kernel: attention of one new token of every sequence to the sequence's own tokens, which are in pages.

Computation, for each row (sequence) and key head: rotary embedding of query and key (Su et al. 2021), the new
token's key and value into the cache, and softmax(q Kᵀ * scale) V over all tokens, for the query heads of the key head.

Steps (flash decoding, Dao et al. 2023): the tokens of a sequence are divided into SPLITS splits, a program each, since
a few rows would not fill a GPU. Each keeps the running maximum and sum of its softmax beside its result; the last
program to finish (an atomic counter) combines all, which saves a launch.

    length = 300, SPLITS = 2, TILE = 64, a page holds 128 tokens

    pages       [ page 4           | page 0            | page 7       ]
    tiles       [  0      |  1     |  2      |  3      |  4     ]  new token 300
    programs    [ split 0: tiles 0, 1, 2    | split 1: tiles 3, 4 ]  (split 0 also takes the new token)

Data types: cache and products in the model's dtype with float32 accumulation; the parts of `projected`, scores, and the
splits' results, maxima and sums in float32. The scale includes log2(e), so exp2 replaces exp.

One launch replaces rotary embedding, cache update and attention of PyTorch. Logits are tested against the PyTorch model
(tests/gpu/test_fast_lanes_gpu.py); a step is measured in bench/chat_gpu.py.
"""

import torch
import triton
import triton.language as tl

from core.chat.cuda.elementwise import compute_paired_index, is_chained, wait_for_previous

# Tokens that a program attends to at once; a page is a multiple.
TILE = 64
_LOG2_E = 1.4426950408889634
# Minimum number of query heads of a tensor-core product.
_MIN_QUERIES = 16


@triton.jit
def _sum_parts(projected, rows, row, total, column, inside, PARTS: tl.constexpr):
    """Add up the parts of the projections at some columns of a row.

    projected: float32, (PARTS, rows, total). column, inside: of any shape. Returns that shape, float32.
    """
    accumulator = tl.load(projected + row * total + column, mask=inside, other=0.0)
    for part in tl.static_range(1, PARTS):
        accumulator += tl.load(projected + (part * rows + row) * total + column, mask=inside, other=0.0)
    return accumulator


@triton.jit
def _combine_splits(
    results, stats, first_entry, head_column, query_mask, head_mask, WIDTH: tl.constexpr, SPLITS: tl.constexpr
):
    """Combine the results of all splits of the query heads of a key head.

    results: float32, (rows * heads * SPLITS, WIDTH). stats: float32, (rows * heads * SPLITS, 2): maximum and sum.
    first_entry: (QUERIES,), first entry of each head. head_column: (WIDTH,). query_mask: (QUERIES, 1). head_mask:
    (QUERIES,). Returns (QUERIES, WIDTH), float32.

    The loads bypass the first-level cache (.cg), which may hold values from before the other programs wrote.
    """
    maximum = tl.load(stats + 2 * first_entry, mask=head_mask, other=0.0, cache_modifier=".cg")  # (QUERIES,)
    for split in tl.static_range(1, SPLITS):
        split_maximum = tl.load(stats + 2 * (first_entry + split), mask=head_mask, other=0.0, cache_modifier=".cg")
        maximum = tl.maximum(maximum, split_maximum)  # (QUERIES,), float32
    # The sums become (QUERIES, WIDTH) and (QUERIES,), float32.
    accumulator, denominator = 0.0, 0.0
    for split in tl.static_range(SPLITS):
        entry = first_entry + split
        # Rescale each split's result from its own maximum to the common one.
        # (QUERIES,), float32
        weight = tl.exp2(tl.load(stats + 2 * entry, mask=head_mask, other=0.0, cache_modifier=".cg") - maximum)
        denominator += weight * tl.load(stats + 2 * entry + 1, mask=head_mask, other=1.0, cache_modifier=".cg")
        # (QUERIES, WIDTH), float32
        split_result = tl.load(
            results + entry[:, None] * WIDTH + head_column[None, :], mask=query_mask, other=0.0, cache_modifier=".cg"
        )
        accumulator += weight[:, None] * split_result
    return accumulator / denominator[:, None]


@triton.jit
def _attend(
    projected, cos, sin, keys, values, table, lengths, out, results, stats, done, rows, total, pages, scale,
    HEADS: tl.constexpr, SHARED: tl.constexpr, QUERIES: tl.constexpr, HALF: tl.constexpr, PAGE: tl.constexpr,
    TILE: tl.constexpr, SPLITS: tl.constexpr, PARTS: tl.constexpr, PAIRED: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    """Attend for one row, one key head and one split. Grid: (rows, HEADS, SPLITS). Arguments as in `attend`.

    HEADS: key heads. SHARED: query heads of a key head; QUERIES: the same, padded to at least 16. HALF: half a head's
    width; WIDTH below is 2 * HALF. PAGE: tokens per page.
    """
    wait_for_previous(CHAINED)
    row, head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    length = tl.load(lengths + row)  # scalar, int32
    dtype = keys.dtype.element_ty
    width: tl.constexpr = 2 * HALF
    half_column, head_column = tl.arange(0, HALF), tl.arange(0, 2 * HALF)  # (HALF,) and (WIDTH,)
    shared_head = tl.arange(0, QUERIES)  # (QUERIES,): query heads of the key head
    query_mask = (shared_head < SHARED)[:, None]  # (QUERIES, 1), bool
    # A slot with length -1 takes no part in the step, but its programs run: at position 0, without writing to the
    # cache. No NaN comes of it: split 0 attends to the new token alone, and the other splits have no tile, so their
    # maximum is -inf and their sum 0, which gives them the weight 0 when the splits are combined. The same holds for a
    # sequence that is too short to give every split a tile.
    position = tl.maximum(length, 0)

    # Rotary embedding: the halves of a head are the two coordinates that rotate by the position's angle.
    # (HALF,)
    cosine, sine = (
        tl.load(cos + position * HALF + half_column).to(tl.float32),
        tl.load(sin + position * HALF + half_column).to(tl.float32),
    )
    column = (head * SHARED + shared_head)[:, None] * width + half_column[None, :]  # (QUERIES, HALF)
    # (QUERIES, HALF)
    first_half = _sum_parts(projected, rows, row, total, column, query_mask, PARTS).to(dtype).to(tl.float32)
    # (QUERIES, HALF)
    second_half = _sum_parts(projected, rows, row, total, column + HALF, query_mask, PARTS).to(dtype).to(tl.float32)
    # (QUERIES, HALF): query, first halves
    query_first = (first_half * cosine[None, :] - second_half * sine[None, :]).to(dtype)
    # (QUERIES, HALF): query, second halves
    query_second = (second_half * cosine[None, :] + first_half * sine[None, :]).to(dtype)
    all_columns = half_column >= 0
    column = (HEADS * SHARED + head) * width + half_column  # (HALF,)
    first_half = _sum_parts(projected, rows, row, total, column, all_columns, PARTS).to(dtype).to(tl.float32)  # (HALF,)
    # (HALF,)
    second_half = _sum_parts(projected, rows, row, total, column + HALF, all_columns, PARTS).to(dtype).to(tl.float32)
    # (HALF,) each
    key_first, key_second = (
        (first_half * cosine - second_half * sine).to(dtype),
        (second_half * cosine + first_half * sine).to(dtype),
    )
    column = (HEADS * SHARED + HEADS + head) * width + head_column  # (WIDTH,)
    value = _sum_parts(projected, rows, row, total, column, head_column >= 0, PARTS).to(dtype)  # (WIDTH,)

    # The new token itself belongs to split 0, which starts its softmax with it.
    score = tl.sum(query_first.to(tl.float32) * key_first.to(tl.float32)[None, :], 1)  # (QUERIES,), fp32
    score += tl.sum(query_second.to(tl.float32) * key_second.to(tl.float32)[None, :], 1)  # (QUERIES,), fp32
    is_first_split = split == 0
    maximum = tl.where(is_first_split, score * scale, float("-inf"))  # (QUERIES,), fp32: running maximum
    denominator = tl.where(is_first_split, tl.full((QUERIES,), 1.0, tl.float32), 0.0)  # (QUERIES,), fp32: running sum
    # (QUERIES, WIDTH), fp32: weighted sum of the values
    accumulator = tl.where(
        is_first_split, value.to(tl.float32)[None, :] + tl.zeros((QUERIES, 2 * HALF), tl.float32), 0.0
    )
    if is_first_split & (length >= 0):
        page = tl.load(table + row * pages + length // PAGE).to(tl.int64)  # scalar, int64
        offset = ((page * HEADS + head) * PAGE + length % PAGE) * width
        tl.store(keys + offset + half_column, key_first)
        tl.store(keys + offset + HALF + half_column, key_second)
        tl.store(values + offset + head_column, value)

    # The cached tokens of this split, TILE at a time. A tile never crosses a page.
    tile_count = tl.cdiv(position, TILE)
    tiles_per_split = tl.cdiv(tile_count, SPLITS)
    token = tl.arange(0, TILE)  # (TILE,)
    for tile in tl.range(split * tiles_per_split, tl.minimum((split + 1) * tiles_per_split, tile_count)):
        page = tl.load(table + row * pages + tile * TILE // PAGE).to(tl.int64)  # scalar, int64
        offset = ((page * HEADS + head) * PAGE + tile * TILE % PAGE) * width
        inside = tile * TILE + token < length  # (TILE,), bool
        key_pointers = keys + offset + token[None, :] * width + half_column[:, None]  # (HALF, TILE): keys, transposed
        # (QUERIES, TILE), fp32
        scores = tl.dot(query_first, tl.load(key_pointers, mask=inside[None, :], other=0.0), input_precision="ieee")
        scores = tl.dot(
            query_second, tl.load(key_pointers + HALF, mask=inside[None, :], other=0.0), scores, input_precision="ieee"
        )
        scores = tl.where(inside[None, :], scores * scale, float("-inf"))  # (QUERIES, TILE), fp32
        new_maximum = tl.maximum(maximum, tl.max(scores, 1))  # (QUERIES,), fp32
        # (QUERIES, TILE) and (QUERIES,)
        weights, rescale = tl.exp2(scores - new_maximum[:, None]), tl.exp2(maximum - new_maximum)
        # (TILE, WIDTH), model dtype
        value_tile = tl.load(
            values + offset + token[:, None] * width + head_column[None, :], mask=inside[:, None], other=0.0
        )
        # (QUERIES, WIDTH), fp32
        accumulator = tl.dot(weights.to(dtype), value_tile, accumulator * rescale[:, None], input_precision="ieee")
        denominator = denominator * rescale + tl.sum(weights, 1)  # (QUERIES,), fp32
        maximum = new_maximum

    query_head = head * SHARED + shared_head  # (QUERIES,): numbers of the query heads
    column = query_head[:, None] * width + head_column[None, :]  # (QUERIES, WIDTH)
    out_pointers = out + row * HEADS * SHARED * width + compute_paired_index(column, PAIRED)
    if SPLITS == 1:
        tl.store(out_pointers, (accumulator / denominator[:, None]).to(dtype), mask=query_mask)
    else:
        offset = (row * HEADS * SHARED + query_head) * SPLITS  # (QUERIES,): entries in results and stats
        tl.store(results + (offset + split)[:, None] * width + head_column[None, :], accumulator, mask=query_mask)
        tl.store(stats + 2 * (offset + split), maximum, mask=shared_head < SHARED)
        tl.store(stats + 2 * (offset + split) + 1, denominator, mask=shared_head < SHARED)
        # All threads must have stored before this program counts itself as done.
        tl.debug_barrier()
        if tl.atomic_add(done + row * HEADS + head, 1, sem="acq_rel", scope="gpu") == SPLITS - 1:
            tl.store(
                out_pointers,
                _combine_splits(results, stats, offset, head_column, query_mask, shared_head < SHARED, width, SPLITS)
                .to(dtype),
                mask=query_mask,
            )  # fmt: skip
            # The next launch, that of the next block or step, expects 0.
            tl.store(done + row * HEADS + head, 0)


def attend(
    projected: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, keys: torch.Tensor, values: torch.Tensor,
    table: torch.Tensor, lengths: torch.Tensor, out: torch.Tensor, results: torch.Tensor, stats: torch.Tensor,
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
        lengths: (slots,), int32: tokens in the cache; -1: the row takes no part: its key and value are not
            stored, and its row of `out` has no meaning.
        out: (rows, heads * width), model dtype, written.
        results: (rows, heads, splits, width), float32: results of the splits.
        stats: (rows, heads, splits, 2), float32: maximum and sum of each split's softmax.
        done: (rows, key_heads), int32: zeros before and after; counts finished splits.
        scale: Factor of the scores.
        paired: Whether the columns of `out` are in paired order.
    """
    parts, rows, total = projected.shape
    _, key_heads, page, width = keys.shape
    heads, splits = total // width - 2 * key_heads, results.shape[2]
    shared = heads // key_heads
    _attend[(rows, key_heads, splits)](
        projected, cos, sin, keys, values, table, lengths, out, results, stats, done,
        rows, total, table.shape[1], scale * _LOG2_E,
        HEADS=key_heads, SHARED=shared, QUERIES=max(_MIN_QUERIES, triton.next_power_of_2(shared)), HALF=width // 2,
        PAGE=page, TILE=TILE, SPLITS=splits, PARTS=parts, PAIRED=paired, CHAINED=is_chained(out),
        launch_pdl=is_chained(out), num_warps=4,
        # Two stages of float32 tiles do not fit into the shared memory of a small GPU.
        num_stages=2 if keys.element_size() == 2 else 1,
    )  # fmt: skip
