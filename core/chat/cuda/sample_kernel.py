"""Triton kernel: every row's next token by its own settings, and its log-probability, in one launch.

A program holds a row's scores. What top-k and top-p leave is found without sorting: the least probability that stays is
searched bit by bit, as floats above 0 are in the order of their bits.
"""

import torch
import triton
import triton.language as tl


@triton.jit
def _least(shares, goal, COUNTS: tl.constexpr):
    """The largest number such that the shares at least as large add up to `goal`, or count so many."""
    low, high = 0, 0x3F800000 + 1  # 0 and just above 1, as bits
    for _ in range(31):
        middle = low + (high - low) // 2
        stays = shares >= middle.to(tl.float32, bitcast=True)
        reached = tl.sum(stays.to(tl.float32), 0) if COUNTS else tl.sum(tl.where(stays, shares, 0.0), 0)
        enough = reached >= goal
        low, high = tl.where(enough, middle, low), tl.where(enough, high, middle)
    return low.to(tl.float32, bitcast=True)


@triton.jit
def _pick(
    logits, rows, settings, uniform, said, places, tokens, values, stride, vocabulary,
    HOT: tl.constexpr, COLDEST: tl.constexpr, SAID: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0)
    place = tl.load(places + at).to(tl.int64)
    column = tl.arange(0, SIZE)
    inside = column < vocabulary
    read = logits + tl.load(rows + at).to(tl.int64) * stride + column
    scores = tl.load(read, mask=inside, other=float("-inf")).to(tl.float32)
    own = settings + at * 5
    temperature, top_k, top_p = tl.load(own), tl.load(own + 1), tl.load(own + 2)
    min_p, penalty = tl.load(own + 3), tl.load(own + 4)
    highest = tl.max(scores, 0)
    rest = tl.log(tl.sum(tl.exp(scores - highest), 0))
    if SAID:  # noqa: SIM102  decided when this is compiled
        if penalty != 1:
            before = tl.load(said + place * vocabulary + column, mask=inside, other=0) != 0
            lowered = tl.where(scores < 0, scores * penalty, scores / penalty)
            scores = tl.where(before, lowered, scores)
    token = tl.argmax(scores, 0)
    if HOT and temperature >= COLDEST:
        shares = tl.exp((scores - tl.max(scores, 0)) / temperature)
        least = 0.0
        if top_k < vocabulary:
            least = _least(shares, top_k, True)
        if top_p < 1:
            whole = tl.sum(tl.where(shares >= least, shares, 0.0), 0)
            least = tl.maximum(least, _least(shares, top_p * whole, False))
        shares = tl.where(shares >= tl.maximum(least, min_p), shares, 0.0)
        wanted = tl.sum(shares, 0) * tl.load(uniform + at)
        low, high = 0, tl.max(tl.where(shares > 0, column, 0), 0)
        while low < high:  # the first token up to which they add up to more
            middle = (low + high) // 2
            passes = tl.sum(tl.where(column <= middle, shares, 0.0), 0) > wanted
            low, high = tl.where(passes, low, middle + 1), tl.where(passes, middle, high)
        token = low
    if SAID:
        tl.store(said + place * vocabulary + token, 1)
    tl.store(tokens + place, token.to(tl.int64))
    own_score = tl.sum(tl.where(column == token, tl.load(read, mask=inside, other=0.0).to(tl.float32), 0.0), 0)
    tl.store(values + at * 2, token.to(tl.float64))
    tl.store(values + at * 2 + 1, (own_score - highest - rest).to(tl.float64))


def sample(
    logits: torch.Tensor, rows: torch.Tensor, settings: torch.Tensor, uniform: torch.Tensor,
    said: torch.Tensor | None, places: torch.Tensor, tokens: torch.Tensor, values: torch.Tensor, coldest: float | None,
) -> None:  # fmt: skip
    """The next tokens into `tokens` at the rows' places.

    Args:
        logits: (any, vocabulary), of which the numbers in `rows` (n,) are read.
        settings: (n, 5), float32: temperature, top-k, top-p, min-p, repetition penalty.
        uniform: (n,), float32: random numbers from 0 to 1.
        said: (places, vocabulary), uint8, what a repetition penalty counts; the tokens are added.
        places: (n,).
        tokens: (all places,), int64.
        values: (n, 2), float64: the tokens, and their log-probabilities by the model itself.
        coldest: below this temperature the likeliest is taken; None: everywhere.
    """
    size = triton.next_power_of_2(logits.shape[1])
    _pick[(len(rows),)](
        logits, rows, settings, uniform, tokens if said is None else said, places, tokens, values,
        logits.stride(0), logits.shape[1], HOT=coldest is not None, COLDEST=coldest or 0.0, SAID=said is not None,
        SIZE=size, num_warps=max(4, min(32, size // 1024)),
    )  # fmt: skip
