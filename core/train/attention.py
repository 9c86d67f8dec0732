"""Attention over rows laid end to end, each row seeing only itself, as a transformers attention implementation.

On a GPU that can, one kernel goes over all rows: flash-attn's where that is installed, else PyTorch's own
(torch.nn.attention.varlen). Elsewhere each row is attended for itself, to the same numbers.

`from core.train import attention` registers it under the name `attention.PACKED`. The model passes `row_lengths`, the
lengths of the rows in the flattened batch, through to it. With no mask registered under that name transformers
builds none: causality, sliding windows and the rows' borders are kept here. What a model passes and is not applied here
is an error; `core.train.layout` decides by a probe whether a model's rows are packed at all.
"""

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

from core.errors import StudioError

PACKED = "studio_packed"

# Up to this length plain matrix products beat torch's CPU flash kernel (a step is a third faster, bench/cpu_train.py),
# and their score matrices, length² a head, are still small.
PLAIN_UP_TO = 512


# What models hand through to every attention function and what changes nothing here. Position ids are applied before.
_HARMLESS = {"position_ids", "cache_position", "use_cache", "output_router_logits", "output_hidden_states"}


def packed_attention(
    module: torch.nn.Module | None,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    scaling: float | None = None,
    dropout: float = 0.0,
    row_lengths: list[int] | None = None,
    row_bounds: torch.Tensor | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    is_causal: bool | None = None,
    **others: object,
) -> tuple[torch.Tensor, None]:
    """Return causal attention within each row.

    Args:
        query: (1, heads, tokens, head width).
        key, value: (1, key-value heads, tokens, head width).
        row_lengths: lengths that add up to `tokens`; None is one row.
        row_bounds: (rows + 1), int32, where each row starts, and the end; made of `row_lengths` when not given.
        sliding_window: tokens that a token sees, itself included; None is all before it.
        softcap: bound of the scores, as softcap · tanh(scores / softcap).
        s_aux: (heads,), the logit of an attention sink per head.

    Returns:
        (1, tokens, heads, head width), and no weights.

    Raises:
        StudioError: the model passes something that this function does not apply.
    """
    unused = [name for name, given in others.items() if given is not None and given is not False]
    unused = [name for name in unused if name not in _HARMLESS]
    if attention_mask is not None:
        unused.append("attention_mask")
    if is_causal is False:
        unused.append("is_causal=False")
    if unused or len(query) != 1:
        what = ", ".join(sorted(unused)) or f"a batch of {len(query)}"
        raise StudioError(f"Packed attention cannot apply {what}. Switch Packing off for this model.")
    lengths = row_lengths or [query.shape[2]]
    window = sliding_window if sliding_window and sliding_window < max(lengths) else None
    plain = bool(softcap) or s_aux is not None
    if not dropout and not plain and query.shape[3] == value.shape[3] and (kernel := _kernel_for(query)):
        if row_bounds is None:
            row_bounds = bounds_of(lengths).to(query.device)
        # kernels take (tokens, heads, head width)
        q, k, v = (part.squeeze(0).transpose(0, 1) for part in (query, key, value))
        return kernel(q, k, v, row_bounds, max(lengths), scaling, window)[None], None
    rule = _Rule(scaling if scaling is not None else query.shape[3] ** -0.5, dropout, window, softcap, s_aux)
    # split, not slices: its backward joins the gradients once, where each slice's would zero-fill a whole tensor
    rows = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    out = torch.cat([_one_row(q, k, v, rule) for q, k, v in rows], dim=2)
    return out.transpose(1, 2).contiguous(), None


@dataclass(frozen=True)
class _Rule:
    """How every row of a layer is attended; the fields are the arguments of `packed_attention`."""

    scale: float
    dropout: float
    window: int | None
    softcap: float | None
    sinks: torch.Tensor | None


def bounds_of(lengths: list[int]) -> torch.Tensor:
    """(rows + 1), int32: where each row starts, and the end of the last."""
    return torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)


def _kernel_for(query: torch.Tensor) -> Callable[..., torch.Tensor] | None:
    """The kernel that attends all rows at once, where there is one for such numbers on such a GPU."""
    if not query.is_cuda or query.dtype not in (torch.bfloat16, torch.float16) or query.shape[3] > 256:
        return None
    return _kernel(query.device.index)


@functools.cache
def _kernel(device: int) -> Callable[..., torch.Tensor] | None:
    if torch.cuda.get_device_capability(device)[0] < 8:
        return None  # both are written for Ampere and later
    if importlib.util.find_spec("flash_attn") is not None:
        from flash_attn import flash_attn_varlen_func

        # A window of w tokens, the token itself included, is w - 1 to its left; -1 is none.
        return lambda q, k, v, bounds, longest, scale, window: flash_attn_varlen_func(
            q, k, v, bounds, bounds, longest, longest, softmax_scale=scale, causal=True,
            window_size=(window - 1, 0) if window else (-1, -1),
            deterministic=torch.are_deterministic_algorithms_enabled(),
        )  # fmt: skip
    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        return None
    return _flash


def _flash(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bounds: torch.Tensor,
    longest: int,
    scale: float | None,
    window: int | None,
) -> torch.Tensor:
    """Attend as torch.nn.attention.varlen.varlen_attn does, without its wrapping in Python.

    The wrapping takes the host longer than the GPU takes to attend.
    """
    sides = {"window_size_left": window - 1, "window_size_right": 0} if window else {}
    return torch.ops.aten._flash_attention_forward(
        q, k, v, bounds, bounds, longest, longest, 0.0, True, False, scale=scale, **sides
    )[0]


def kernel_name(device: int = 0) -> str:
    """What attends packed rows on this machine, for a reader."""
    if not torch.cuda.is_available() or _kernel(device) is None:
        return "row by row"
    return "flash-attn" if importlib.util.find_spec("flash_attn") is not None else "PyTorch's variable-length kernel"


def _one_row(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rule: _Rule) -> torch.Tensor:
    """Return one row's attended values (1, heads, length, value width)."""
    length = q.shape[2]
    plain = bool(rule.softcap) or rule.sinks is not None
    if not plain and (q.device.type != "cpu" or length > PLAIN_UP_TO or rule.dropout):
        banded = rule.window is not None and rule.window < length
        mask = ~_unseen(length, rule.window, q.device) if banded else None
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=not banded, scale=rule.scale, dropout_p=rule.dropout,
            enable_gqa=q.shape[1] != k.shape[1],
        )  # fmt: skip
    groups = k.shape[1]
    repeats = q.shape[1] // groups
    # heads that share keys become more rows of one product
    stacked = q.reshape(groups, repeats * length, q.shape[3])
    unseen = torch.zeros(length, length, dtype=q.dtype, device=q.device)
    unseen = unseen.masked_fill(_unseen(length, rule.window, q.device), float("-inf")).repeat(repeats, 1)
    if rule.softcap:
        capped = torch.bmm(stacked, k[0].transpose(1, 2)) * (rule.scale / rule.softcap)
        scores = torch.tanh(capped) * rule.softcap + unseen
    else:
        scores = torch.baddbmm(unseen.expand(groups, -1, -1), stacked, k[0].transpose(1, 2), alpha=rule.scale)
    if rule.sinks is not None:
        sinks = rule.sinks.to(scores.dtype).view(groups, repeats, 1).expand(-1, -1, length).reshape(groups, -1, 1)
        scores = torch.cat([scores, sinks], dim=-1)
    precise = torch.float32 if plain and scores.dtype.itemsize < 4 else scores.dtype
    weights = torch.softmax(scores, dim=-1, dtype=precise)[..., :length].to(v.dtype)
    if rule.dropout:
        weights = F.dropout(weights, rule.dropout)
    return torch.bmm(weights, v[0]).view(1, groups * repeats, length, v.shape[3])


def _unseen(length: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Return (length, length), true where a query (first axis) does not see a key: later ones and those left behind."""
    later = torch.ones(length, length, dtype=torch.bool, device=device).triu(1)
    if window is None or window >= length:
        return later
    # As transformers' sliding_window_overlay: a token sees itself and the window - 1 tokens before it.
    return later | torch.ones_like(later).tril(-window)


AttentionInterface.register(PACKED, packed_attention)
