"""Causal attention over rows laid end to end, each row seeing only itself.

Models use it as a transformers attention implementation.

On a GPU that supports it, one kernel attends all rows: flash-attn's if that is installed, else PyTorch's own
(torch.nn.attention.varlen). Elsewhere each row is attended by itself, with the same result. Training sets it on the
model (`core.train.layout`); the chat's prefill calls it directly.

    tokens       | row 0   | row 1       | row 2 |        query, key, value: (1, heads, tokens, head width)
    row_lengths    3         5             2
    row_bounds   0         3             8       10       (rows + 1,), int32

Importing this module registers the function under the name `PACKED`. The model passes `row_lengths`, the lengths of the
rows in the flattened batch, through to it. With no mask registered under that name transformers builds none: causality,
sliding windows and the borders of rows are applied here. An argument that a model passes and this function does not
apply is an error; `core.train.layout` decides by a probe whether a model's rows are packed at all.
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

# Up to this many tokens plain matrix products beat torch's CPU flash kernel (a step is a third faster,
# bench/cpu_train.py), and their score matrices, length² per head, are still small.
MAX_PLAIN_LENGTH = 512

# Arguments that models pass to every attention function and that change nothing here. Rotary embedding has used the
# position ids already.
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
        module: The attention layer that calls; not used.
        query: (1, heads, tokens, head width).
        key: (1, key-value heads, tokens, head width).
        value: (1, key-value heads, tokens, value width).
        attention_mask: Must be None.
        scaling: Factor of the scores; None: 1 / √(head width).
        dropout: Probability, of the attention weights.
        row_lengths: Lengths that add up to `tokens`; None is one row.
        row_bounds: (rows + 1,), int32, where each row starts, and the end; computed from `row_lengths` if None.
        sliding_window: Tokens that a token sees, itself included; None is all before it.
        softcap: Bound of the scores, as softcap · tanh(scores / softcap).
        s_aux: (heads,), the logit of an attention sink per head.
        is_causal: False is an error.
        **others: Anything else that a model passes; an error unless it changes nothing.

    Returns:
        (1, tokens, heads, value width), and None in place of attention weights.

    Raises:
        StudioError: The model passes something that this function does not apply.
    """
    _check_arguments(query, attention_mask, is_causal, others)
    lengths = row_lengths or [query.shape[2]]
    window = sliding_window if sliding_window and sliding_window < max(lengths) else None
    needs_scores = bool(softcap) or s_aux is not None
    if not dropout and not needs_scores and query.shape[3] == value.shape[3] and (kernel := _kernel_for(query)):
        if row_bounds is None:
            row_bounds = make_row_bounds(lengths).to(query.device)
        q, k, v = (part.squeeze(0).transpose(0, 1) for part in (query, key, value))  # (tokens, heads, head width)
        return kernel(q, k, v, row_bounds, max(lengths), scaling, window)[None], None
    scale = scaling if scaling is not None else query.shape[3] ** -0.5
    settings = _AttentionSettings(scale, dropout, window, softcap, s_aux)
    # `split` instead of slices: its backward pass joins the gradients once, where each slice's would fill a whole
    # tensor with zeros.
    rows = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    out = torch.cat([_attend_row(q, k, v, settings) for q, k, v in rows], dim=2)  # (1, heads, tokens, value width)
    return out.transpose(1, 2).contiguous(), None


def _check_arguments(
    query: torch.Tensor, attention_mask: object, is_causal: bool | None, others: dict[str, object]
) -> None:
    """Raise StudioError naming every argument that a model passes and `packed_attention` does not apply."""
    unused = [name for name, value in others.items() if value is not None and value is not False]
    unused = [name for name in unused if name not in _HARMLESS]
    if attention_mask is not None:
        unused.append("attention_mask")
    if is_causal is False:
        unused.append("is_causal=False")
    if unused or len(query) != 1:
        names = ", ".join(sorted(unused)) or f"a batch of {len(query)}"
        raise StudioError(f"Packed attention cannot apply {names}. Switch Packing off for this model.")


@dataclass(frozen=True)
class _AttentionSettings:
    """Attention settings of a layer, named after the arguments of `packed_attention`."""

    scale: float
    dropout: float
    window: int | None
    softcap: float | None
    sinks: torch.Tensor | None


def make_row_bounds(lengths: list[int]) -> torch.Tensor:
    """Return (rows + 1,), int32: where each row starts, and the end of the last."""
    return torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)


def _kernel_for(query: torch.Tensor) -> Callable[..., torch.Tensor] | None:
    """Return the kernel that attends all rows at once; None if there is none for this dtype, width and GPU."""
    if not query.is_cuda or query.dtype not in (torch.bfloat16, torch.float16) or query.shape[3] > 256:
        return None
    return _kernel(query.device.index)


@functools.cache
def _kernel(device: int) -> Callable[..., torch.Tensor] | None:
    if torch.cuda.get_device_capability(device)[0] < 8:
        # Both kernels are written for Ampere and later.
        return None
    if importlib.util.find_spec("flash_attn") is not None:
        from flash_attn import flash_attn_varlen_func

        # A window of w tokens, the token itself included, is w - 1 to its left; -1 means no window.
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
    """Return (tokens, heads, head width) as torch.nn.attention.varlen.varlen_attn does, without its Python wrapper.

    The wrapper takes the host longer than the GPU takes to attend. Arguments: q (tokens, heads, head width), k and v
    (tokens, key-value heads, head width), bounds (rows + 1,), int32.
    """
    # Dropout 0.0, causal, no debug mask.
    sides = {"window_size_left": window - 1, "window_size_right": 0} if window else {}
    return torch.ops.aten._flash_attention_forward(
        q, k, v, bounds, bounds, longest, longest, 0.0, True, False, scale=scale, **sides
    )[0]


def kernel_name(device: int = 0) -> str:
    """Return the name of the kernel that attends packed rows on this machine, for the run's notes."""
    if not torch.cuda.is_available() or _kernel(device) is None:
        return "row by row"
    return "flash-attn" if importlib.util.find_spec("flash_attn") is not None else "PyTorch's variable-length kernel"


def _attend_row(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, settings: _AttentionSettings) -> torch.Tensor:
    """Return one row's attended values, (1, heads, length, value width).

    Args:
        q: (1, heads, length, head width).
        k: (1, key-value heads, length, head width).
        v: (1, key-value heads, length, value width).
        settings: Settings of the layer.
    """
    length = q.shape[2]
    needs_scores = bool(settings.softcap) or settings.sinks is not None
    if not needs_scores and (q.device.type != "cpu" or length > MAX_PLAIN_LENGTH or settings.dropout):
        has_window = settings.window is not None and settings.window < length
        mask = ~_hidden_keys(length, settings.window, q.device) if has_window else None  # (length, length), bool
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=not has_window, scale=settings.scale, dropout_p=settings.dropout,
            enable_gqa=q.shape[1] != k.shape[1],
        )  # fmt: skip
    weights = _attention_weights(q, k, settings).to(v.dtype)  # (key-value heads, repeats · length, length)
    if settings.dropout:
        weights = F.dropout(weights, settings.dropout)
    return torch.bmm(weights, v[0]).view(1, q.shape[1], length, v.shape[3])


def _attention_weights(q: torch.Tensor, k: torch.Tensor, settings: _AttentionSettings) -> torch.Tensor:
    """Return softmax of one row's scores, (key-value heads, repeats · length, length).

    Query heads that share a key head ("repeats" of them) are more rows of that head's product, so that one batched
    product serves grouped heads without repeating keys.
    """
    length, groups = q.shape[2], k.shape[1]
    repeats = q.shape[1] // groups
    stacked = q.reshape(groups, repeats * length, q.shape[3])  # (groups, repeats · length, head width)
    bias = torch.zeros(length, length, dtype=q.dtype, device=q.device)  # (length, length)
    # (repeats · length, length): 0 where a key is seen, −∞ where not.
    bias = bias.masked_fill(_hidden_keys(length, settings.window, q.device), float("-inf")).repeat(repeats, 1)
    if settings.softcap:
        ratio = torch.bmm(stacked, k[0].transpose(1, 2)) * (settings.scale / settings.softcap)
        scores = torch.tanh(ratio) * settings.softcap + bias  # (groups, repeats · length, length)
    else:
        scores = torch.baddbmm(bias.expand(groups, -1, -1), stacked, k[0].transpose(1, 2), alpha=settings.scale)
    if settings.sinks is not None:
        # A sink is one more column of scores, which takes weight and has no value: it is dropped after the softmax.
        # (groups, repeats · length, 1)
        sinks = settings.sinks.to(scores.dtype).view(groups, repeats, 1).expand(-1, -1, length).reshape(groups, -1, 1)
        scores = torch.cat([scores, sinks], dim=-1)  # (groups, repeats · length, length + 1)
    # Models with caps or sinks compute their softmax in float32.
    needs_scores = bool(settings.softcap) or settings.sinks is not None
    dtype = torch.float32 if needs_scores and scores.dtype.itemsize < 4 else scores.dtype
    return torch.softmax(scores, dim=-1, dtype=dtype)[..., :length]


def _hidden_keys(length: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Return (length, length), true where a query (first axis) does not see a key: a later one or one left behind."""
    later = torch.ones(length, length, dtype=torch.bool, device=device).triu(1)  # (length, length), bool
    if window is None or window >= length:
        return later
    # As in transformers' sliding_window_overlay, a token sees itself and the window - 1 tokens before it.
    return later | torch.ones_like(later).tril(-window)


AttentionInterface.register(PACKED, packed_attention)
