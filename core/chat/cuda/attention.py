"""Triton kernels: one new token of every row looks at the row's own tokens, which lie in pages.

The rotary embedding of the new token (Su et al. 2021) and its place in the cache are done on the way. A row's tokens
are shared out among `SPLITS` programs (flash decoding, Dao et al. 2023), which keep the softmax's maximum and sum
beside their result; the last of them to be done joins all, which spares a launch.
"""

import torch
import triton
import triton.language as tl

from core.chat.cuda.elementwise import begin, chained, placed

TILE = 64  # tokens a program looks at at once; a page is a multiple
_LOG2_E = 1.4426950408889634


@triton.jit
def _part(projected, rows, row, total, column, inside, PARTS: tl.constexpr):
    found = tl.load(projected + row * total + column, mask=inside, other=0.0)
    for part in tl.static_range(1, PARTS):
        found += tl.load(projected + (part * rows + row) * total + column, mask=inside, other=0.0)
    return found


@triton.jit
def _joined(room, sums, place, whole, mine, there, WIDTH: tl.constexpr, SPLITS: tl.constexpr):
    """The parts' results as one, past the first cache, which may hold what was here before."""
    highest = tl.load(sums + 2 * place, mask=there, other=0.0, cache_modifier=".cg")
    for split in tl.static_range(1, SPLITS):
        more = tl.load(sums + 2 * (place + split), mask=there, other=0.0, cache_modifier=".cg")
        highest = tl.maximum(highest, more)
    found, summed = 0.0, 0.0
    for split in tl.static_range(SPLITS):
        part = place + split
        share = tl.exp2(tl.load(sums + 2 * part, mask=there, other=0.0, cache_modifier=".cg") - highest)
        summed += share * tl.load(sums + 2 * part + 1, mask=there, other=1.0, cache_modifier=".cg")
        held = tl.load(room + part[:, None] * WIDTH + whole[None, :], mask=mine, other=0.0, cache_modifier=".cg")
        found += share[:, None] * held
    return found / summed[:, None]


@triton.jit
def _attend(
    projected, cos, sin, keys, values, table, lengths, out, room, sums, done, rows, total, pages, scale,
    HEADS: tl.constexpr, SHARED: tl.constexpr, GROUP: tl.constexpr, HALF: tl.constexpr, PAGE: tl.constexpr,
    TILE: tl.constexpr, SPLITS: tl.constexpr, PARTS: tl.constexpr, PAIRED: tl.constexpr, CHAINED: tl.constexpr,
):  # fmt: skip
    begin(CHAINED)
    row, head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    length = tl.load(lengths + row)
    kind = keys.dtype.element_ty
    width: tl.constexpr = 2 * HALF
    half, whole = tl.arange(0, HALF), tl.arange(0, 2 * HALF)
    own = tl.arange(0, GROUP)
    mine = (own < SHARED)[:, None]
    at = tl.maximum(length, 0)
    c, s = tl.load(cos + at * HALF + half).to(tl.float32), tl.load(sin + at * HALF + half).to(tl.float32)
    column = (head * SHARED + own)[:, None] * width + half[None, :]
    left = _part(projected, rows, row, total, column, mine, PARTS).to(kind).to(tl.float32)
    right = _part(projected, rows, row, total, column + HALF, mine, PARTS).to(kind).to(tl.float32)
    first = (left * c[None, :] - right * s[None, :]).to(kind)
    second = (right * c[None, :] + left * s[None, :]).to(kind)
    every = half >= 0
    column = (HEADS * SHARED + head) * width + half
    left = _part(projected, rows, row, total, column, every, PARTS).to(kind).to(tl.float32)
    right = _part(projected, rows, row, total, column + HALF, every, PARTS).to(kind).to(tl.float32)
    key_first, key_second = (left * c - right * s).to(kind), (right * c + left * s).to(kind)
    column = (HEADS * SHARED + HEADS + head) * width + whole
    value = _part(projected, rows, row, total, column, whole >= 0, PARTS).to(kind)

    score = tl.sum(first.to(tl.float32) * key_first.to(tl.float32)[None, :], 1)
    score += tl.sum(second.to(tl.float32) * key_second.to(tl.float32)[None, :], 1)
    begins = split == 0
    highest = tl.where(begins, score * scale, float("-inf"))
    summed = tl.where(begins, tl.full((GROUP,), 1.0, tl.float32), 0.0)
    found = tl.where(begins, value.to(tl.float32)[None, :] + tl.zeros((GROUP, 2 * HALF), tl.float32), 0.0)
    if begins & (length >= 0):
        page = tl.load(table + row * pages + length // PAGE).to(tl.int64)
        place = ((page * HEADS + head) * PAGE + length % PAGE) * width
        tl.store(keys + place + half, key_first)
        tl.store(keys + place + HALF + half, key_second)
        tl.store(values + place + whole, value)

    tiles = tl.cdiv(at, TILE)
    each = tl.cdiv(tiles, SPLITS)
    token = tl.arange(0, TILE)
    for tile in tl.range(split * each, tl.minimum((split + 1) * each, tiles)):
        page = tl.load(table + row * pages + tile * TILE // PAGE).to(tl.int64)
        place = ((page * HEADS + head) * PAGE + tile * TILE % PAGE) * width
        inside = tile * TILE + token < length
        spot = keys + place + token[None, :] * width + half[:, None]
        scores = tl.dot(first, tl.load(spot, mask=inside[None, :], other=0.0), input_precision="ieee")
        scores = tl.dot(second, tl.load(spot + HALF, mask=inside[None, :], other=0.0), scores, input_precision="ieee")
        scores = tl.where(inside[None, :], scores * scale, float("-inf"))
        higher = tl.maximum(highest, tl.max(scores, 1))
        share, kept = tl.exp2(scores - higher[:, None]), tl.exp2(highest - higher)
        held = tl.load(values + place + token[:, None] * width + whole[None, :], mask=inside[:, None], other=0.0)
        found = tl.dot(share.to(kind), held, found * kept[:, None], input_precision="ieee")
        summed = summed * kept + tl.sum(share, 1)
        highest = higher

    asking = head * SHARED + own
    column = asking[:, None] * width + whole[None, :]
    target = out + row * HEADS * SHARED * width + placed(column, PAIRED)
    if SPLITS == 1:
        tl.store(target, (found / summed[:, None]).to(kind), mask=mine)
    else:
        place = (row * HEADS * SHARED + asking) * SPLITS
        tl.store(room + (place + split)[:, None] * width + whole[None, :], found, mask=mine)
        tl.store(sums + 2 * (place + split), highest, mask=own < SHARED)
        tl.store(sums + 2 * (place + split) + 1, summed, mask=own < SHARED)
        tl.debug_barrier()
        if tl.atomic_add(done + row * HEADS + head, 1, sem="acq_rel", scope="gpu") == SPLITS - 1:
            tl.store(target, _joined(room, sums, place, whole, mine, own < SHARED, width, SPLITS).to(kind), mask=mine)
            tl.store(done + row * HEADS + head, 0)  # for the next step


def attend(
    projected: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, keys: torch.Tensor, values: torch.Tensor,
    table: torch.Tensor, lengths: torch.Tensor, out: torch.Tensor, parts: torch.Tensor, sums: torch.Tensor,
    done: torch.Tensor, scale: float, paired: bool,
) -> None:  # fmt: skip
    """Attention of one new token a row, which is put into the cache.

    Args:
        projected: (parts, rows, (heads + 2 key heads) head width), float32: query, key and value.
        cos, sin: (positions, head width / 2).
        keys, values: (pages, key heads, tokens a page, head width).
        table: (rows, pages of a row), int32: where the pages of each row lie.
        lengths: (rows,), int32: tokens in the cache; below 0 the row is nobody's, and what comes out is of no use.
        out: (rows, heads head width).
        parts, sums: room for (rows, heads, splits, head width) and (rows, heads, splits, 2), float32.
        done: (rows, key heads), int32, zeros, which are there again after.
        scale: of the scores.
    """
    count, rows, total = projected.shape
    _, key_heads, page, width = keys.shape
    heads, splits = total // width - 2 * key_heads, parts.shape[2]
    shared = heads // key_heads
    _attend[(rows, key_heads, splits)](
        projected, cos, sin, keys, values, table, lengths, out, parts, sums, done,
        rows, total, table.shape[1], scale * _LOG2_E,
        HEADS=key_heads, SHARED=shared, GROUP=max(16, triton.next_power_of_2(shared)), HALF=width // 2, PAGE=page,
        TILE=TILE, SPLITS=splits, PARTS=count, PAIRED=paired, CHAINED=chained(out), launch_pdl=chained(out),
        num_warps=4, num_stages=2 if keys.element_size() == 2 else 1,  # float32 fits into a small card's cache but once
    )  # fmt: skip
