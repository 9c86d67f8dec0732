"""Attention over rows laid end to end, each row seeing only itself, as a transformers attention implementation.

On a GPU that can, one kernel goes over all rows: flash-attn's where that is installed, else PyTorch's own
(torch.nn.attention.varlen). Elsewhere each row is attended for itself, to the same numbers.

`from core.train import attention` registers it under the name `attention.PACKED`. The model passes `row_lengths`, the
lengths of the rows in the flattened batch, through to it. With no mask registered under that name transformers
builds none: causality and the rows' borders are kept here.
"""

import functools
import importlib.util
from collections.abc import Callable

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

from core.errors import StudioError

PACKED = "studio_packed"

# Up to this length plain matrix products beat torch's CPU flash kernel (a step is a third faster, bench/cpu_train.py),
# and their score matrices, length² a head, are still small.
PLAIN_UP_TO = 512


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    scaling: float | None = None,
    dropout: float = 0.0,
    row_lengths: list[int] | None = None,
    row_bounds: torch.Tensor | None = None,
    softcap: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each row.

    Args:
        query: (1, heads, tokens, head width).
        key, value: (1, key-value heads, tokens, head width).
        row_lengths: lengths that add up to `tokens`; None is one row.
        row_bounds: (rows + 1), int32, where each row starts, and the end; made of `row_lengths` when not given.

    Returns:
        (1, tokens, heads, head width), and no weights.
    """
    if softcap:
        raise StudioError("This model caps its attention scores, which packed rows cannot do. Set Attention to eager.")
    lengths = row_lengths or [query.shape[2]]
    if not dropout and (kernel := _kernel_for(query)):
        if row_bounds is None:
            row_bounds = bounds_of(lengths).to(query.device)
        # kernels take (tokens, heads, head width)
        q, k, v = (part.squeeze(0).transpose(0, 1) for part in (query, key, value))
        return kernel(q, k, v, row_bounds, max(lengths), scaling)[None], None
    # split, not slices: its backward joins the gradients once, where each slice's would zero-fill a whole tensor
    rows = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    out = torch.cat([_one_row(q, k, v, scaling, dropout) for q, k, v in rows], dim=2)
    return out.transpose(1, 2).contiguous(), None


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

        return lambda q, k, v, bounds, longest, scale: flash_attn_varlen_func(
            q,
            k,
            v,
            bounds,
            bounds,
            longest,
            longest,
            softmax_scale=scale,
            causal=True,
            deterministic=torch.are_deterministic_algorithms_enabled(),
        )
    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        return None
    return _flash


def _flash(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bounds: torch.Tensor, longest: int, scale: float | None
) -> torch.Tensor:
    """What torch.nn.attention.varlen.varlen_attn calls, without its wrapping in Python, which takes the host longer
    than the GPU takes to attend."""
    return torch.ops.aten._flash_attention_forward(
        q, k, v, bounds, bounds, longest, longest, 0.0, True, False, scale=scale
    )[0]


def kernel_name(device: int = 0) -> str:
    """What attends packed rows on this machine, for a reader."""
    if not torch.cuda.is_available() or _kernel(device) is None:
        return "row by row"
    return "flash-attn" if importlib.util.find_spec("flash_attn") is not None else "PyTorch's variable-length kernel"


def _one_row(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scaling: float | None, dropout: float) -> torch.Tensor:
    length = q.shape[2]
    if q.device.type != "cpu" or length > PLAIN_UP_TO or dropout:
        grouped = q.shape[1] != k.shape[1]
        return F.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=scaling, dropout_p=dropout, enable_gqa=grouped
        )
    groups, width = k.shape[1], q.shape[3]
    repeats = q.shape[1] // groups
    scale = scaling if scaling is not None else width**-0.5
    # heads that share keys become more rows of one product
    stacked = q.reshape(groups, repeats * length, width)
    future = torch.full((length, length), float("-inf"), dtype=q.dtype).triu(1).repeat(repeats, 1)
    scores = torch.baddbmm(future.expand(groups, -1, -1), stacked, k[0].transpose(1, 2), alpha=scale)
    weights = torch.softmax(scores, dim=-1)
    return torch.bmm(weights, v[0]).view(1, groups * repeats, length, width)


AttentionInterface.register(PACKED, packed_attention)
