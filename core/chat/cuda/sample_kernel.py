"""Triton kernel: samples the next token of every sequence by its own settings, in one launch.

Computation: repetition penalty, temperature, top-k, top-p, min-p, in this order (as
`core.chat.sampler.TokenSampler`), one sampled token, and its log-probability under the model itself.

Steps of a program, which holds one row of V scores in registers as float32, padded to a power of two:

    scores ─▶ penalty of seen tokens ─▶ argmax (temperature 0)
                                    └▶ exp((score - max) / T) in [0, 1] ─▶ threshold ─▶ inverse CDF by bisection

Nothing is sorted. Top-k and top-p keep the tokens above a threshold, which is searched bit by bit: positive floats have
the order of their bits, so 31 halvings find the exact threshold. Each halving is one sum over the row.

    row of the logits, model dtype   (any, V)       read through `rows`
    settings, float32                (n, 5)         temperature, top-k, top-p, min-p, penalty
    seen, uint8                      (slots, V)     1 where the penalty applies
    values, float64                  (n, 2)         token and log-probability, read by the host in one copy

Tested against PyTorch's version in `batch_sampler` (tests/core/chat/cuda), and measured in bench/chat_gpu.py.
"""

import torch
import triton
import triton.language as tl

# Scores per warp: 1024 float32 values are 32 registers of a thread.
_SCORES_PER_WARP = 1024


@triton.jit
def _find_threshold(shares, goal, COUNTS: tl.constexpr):
    """Return the largest float t such that the shares >= t add up to at least `goal`.

    With COUNTS, t is the largest such that at least `goal` shares are >= t.

    shares: (SIZE,), float32, in [0, 1]. goal: float32. Returns a float32.
    """
    # The bits of 0.0 and of the float after 1.0.
    low, high = 0, 0x3F800000 + 1
    for _ in range(31):
        middle = low + (high - low) // 2
        is_kept = shares >= middle.to(tl.float32, bitcast=True)  # (SIZE,), bool
        kept_sum = tl.sum(is_kept.to(tl.float32), 0) if COUNTS else tl.sum(tl.where(is_kept, shares, 0.0), 0)
        is_enough = kept_sum >= goal
        low, high = tl.where(is_enough, middle, low), tl.where(is_enough, high, middle)
    return low.to(tl.float32, bitcast=True)


@triton.jit
def _sample(
    logits, rows, settings, uniform, seen, slots, tokens, values, stride, vocabulary,
    RANDOM: tl.constexpr, MIN_TEMPERATURE: tl.constexpr, SEEN: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """Sample for one sequence. Grid: (n,). Arguments as in `sample`; SIZE is V's next power of two."""
    sequence = tl.program_id(0)
    slot = tl.load(slots + sequence).to(tl.int64)
    column = tl.arange(0, SIZE)  # (SIZE,): token ids
    inside = column < vocabulary  # (SIZE,), bool
    logit_pointers = logits + tl.load(rows + sequence).to(tl.int64) * stride + column
    scores = tl.load(logit_pointers, mask=inside, other=float("-inf")).to(tl.float32)  # (SIZE,), fp32
    setting_pointers = settings + sequence * 5
    temperature, top_k, top_p = tl.load(setting_pointers), tl.load(setting_pointers + 1), tl.load(setting_pointers + 2)
    min_p, penalty = tl.load(setting_pointers + 3), tl.load(setting_pointers + 4)
    # Maximum and sum of the model's own distribution, before any setting.
    maximum = tl.max(scores, 0)  # scalar, fp32
    log_sum = tl.log(tl.sum(tl.exp(scores - maximum), 0))  # scalar, fp32
    if SEEN:  # noqa: SIM102  SEEN is decided at compile time
        if penalty != 1:
            is_seen = tl.load(seen + slot * vocabulary + column, mask=inside, other=0) != 0  # (SIZE,), bool
            penalized = tl.where(scores < 0, scores * penalty, scores / penalty)  # (SIZE,), fp32
            scores = tl.where(is_seen, penalized, scores)
    token = tl.argmax(scores, 0)  # scalar, int32
    if RANDOM and temperature >= MIN_TEMPERATURE:
        # Relative to the most likely token, which has 1: min-p is then a plain threshold.
        shares = tl.exp((scores - tl.max(scores, 0)) / temperature)  # (SIZE,), fp32
        threshold = 0.0
        if top_k < vocabulary:
            threshold = _find_threshold(shares, top_k, True)
        if top_p < 1:
            kept_sum = tl.sum(tl.where(shares >= threshold, shares, 0.0), 0)  # scalar, fp32
            threshold = tl.maximum(threshold, _find_threshold(shares, top_p * kept_sum, False))
        shares = tl.where(shares >= tl.maximum(threshold, min_p), shares, 0.0)  # (SIZE,), fp32
        target_sum = tl.sum(shares, 0) * tl.load(uniform + sequence)  # scalar, fp32
        # Bisect for the first token up to which the shares add up to more than `target_sum`.
        low, high = 0, tl.max(tl.where(shares > 0, column, 0), 0)
        while low < high:
            middle = (low + high) // 2
            is_reached = tl.sum(tl.where(column <= middle, shares, 0.0), 0) > target_sum
            low, high = tl.where(is_reached, low, middle + 1), tl.where(is_reached, middle, high)
        token = low
    if SEEN:
        tl.store(seen + slot * vocabulary + token, 1)
    tl.store(tokens + slot, token.to(tl.int64))
    # scalar, fp32
    token_score = tl.sum(
        tl.where(column == token, tl.load(logit_pointers, mask=inside, other=0.0).to(tl.float32), 0.0), 0
    )
    tl.store(values + sequence * 2, token.to(tl.float64))
    tl.store(values + sequence * 2 + 1, (token_score - maximum - log_sum).to(tl.float64))


def sample(
    logits: torch.Tensor,
    rows: torch.Tensor,
    settings: torch.Tensor,
    uniform: torch.Tensor,
    seen: torch.Tensor | None,
    slots: torch.Tensor,
    tokens: torch.Tensor,
    values: torch.Tensor,
    min_temperature: float | None,
) -> None:
    """Sample the next token of n sequences.

    Args:
        logits: (any, vocabulary), model dtype.
        rows: (n,), int64: the sequences' rows of the logits.
        settings: (n, 5), float32: temperature, top-k, top-p, min-p, repetition penalty.
        uniform: (n,), float32: random numbers in [0, 1).
        seen: (slots, vocabulary), uint8: tokens that the penalty applies to; new tokens are added. None for none.
        slots: (n,), int64: the sequences' slots.
        tokens: (slots,), int64, written at the sequences' slots.
        values: (n, 2), float64, written: tokens, and their log-probabilities under the model itself.
        min_temperature: Below this temperature the most likely token is taken; None takes it for all.
    """
    size = triton.next_power_of_2(logits.shape[1])
    _sample[(len(rows),)](
        logits, rows, settings, uniform, tokens if seen is None else seen, slots, tokens, values,
        logits.stride(0), logits.shape[1], RANDOM=min_temperature is not None, MIN_TEMPERATURE=min_temperature or 0.0,
        SEEN=seen is not None, SIZE=size, num_warps=max(4, min(32, size // _SCORES_PER_WARP)),
    )  # fmt: skip
