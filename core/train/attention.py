"""Attention over rows laid end to end, each row seeing only itself, as a transformers attention implementation.

`from core.train import attention` registers it under the name `attention.PACKED`. The model passes `row_lengths`, the
lengths of the rows in the flattened batch, through to it. With no mask registered under that name transformers
builds none: causality and the rows' borders are kept here.
"""

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
    softcap: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each row.

    Args:
        query: (1, heads, tokens, head width).
        key, value: (1, key-value heads, tokens, head width).
        row_lengths: lengths that add up to `tokens`; None is one row.

    Returns:
        (1, tokens, heads, head width), and no weights.
    """
    if softcap:
        raise StudioError("This model caps its attention scores, which packed rows cannot do. Set Attention to eager.")
    lengths = row_lengths or [query.shape[2]]
    # split, not slices: its backward joins the gradients once, where each slice's would zero-fill a whole tensor
    rows = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    out = torch.cat([_one_row(q, k, v, scaling, dropout) for q, k, v in rows], dim=2)
    return out.transpose(1, 2).contiguous(), None


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
