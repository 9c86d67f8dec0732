"""Prefill: reads prompts, the tokens of several sequences end to end without padding, straight into their pages.

    segments      [sequence 2: tokens 128 to 200 | sequence 5: tokens 0 to 90 | sequence 6: tokens 0 to 40]
    tokens N      ◀─────── continue a prompt ───▶◀────────────── begin a prompt ────────────────────────▶

The 4-bit weights of one group at a time are unpacked and multiplied by cuBLAS, which is faster than a product over
packed weights for hundreds of tokens. Segments that begin a prompt share one variable-length attention; each one that
continues a prompt attends to its own pages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from core.chat.adapters import Adapter
from core.chat.cuda.paged_kv_cache import PAGE_TOKENS, PagedCache
from core.chat.cuda.quantized_matmul import unpacked_weights
from core.chat.cuda.weights import GROUPS, Weights
from core.kernels import elementwise
from core.kernels.attention import make_row_bounds, packed_attention
from core.models.fast_paths import projection_names

# Rows of the tensors that kernels are compiled with.
_COMPILE_ROWS = 16


@dataclass(frozen=True, eq=False)
class Segment:
    """Consecutive tokens of one sequence's prompt.

    Attributes:
        ids: The tokens.
        start: Number of the sequence's tokens before them, which are in the cache.
        pages: All pages of the sequence.
        adapter: Its adapter; None for the base.
    """

    ids: Sequence[int]
    start: int
    pages: list[int]
    adapter: Adapter | None


class Prefill:
    """Reader of segments into pages."""

    def __init__(self, weights: Weights, cache: PagedCache):
        self._weights, self._cache = weights, cache

    def read(self, segments: list[Segment]) -> torch.Tensor:
        """Return the logits (segments, vocabulary) after the last token of each segment.

        Args:
            segments: Those that continue a prompt come first.
        """
        weights = self._weights
        layout = _Layout(segments, weights)
        residual = weights.embedding[layout.ids]  # (N, hidden)
        normed = torch.empty_like(residual)  # (N, hidden)
        for number, block in enumerate(weights.blocks):
            elementwise.rms_norm(residual, block.first_norm, weights.eps, normed)
            projected = self._project(layout, number, "qkv", normed)  # (N, query + key + value)
            attended = self._attend(layout, number, projected)  # (N, heads * width)
            residual += self._project(layout, number, "o", attended)
            elementwise.rms_norm(residual, block.second_norm, weights.eps, normed)
            gate_up = self._project(layout, number, "gate_up", normed)  # (N, 2 * inner)
            gated = torch.empty(len(gate_up), weights.inner, dtype=gate_up.dtype, device=gate_up.device)
            elementwise.swiglu(gate_up, gated)  # (N, inner)
            # gate_up is the largest tensor: free it before the next product.
            del gate_up
            residual += self._project(layout, number, "down", gated)
        return _logits_of(weights, residual[layout.last])

    def kernels(self) -> list[Callable[[], object]]:
        """Return calls that compile every kernel."""
        weights, block = self._weights, self._weights.blocks[0]
        residual = torch.zeros(_COMPILE_ROWS, weights.hidden, dtype=weights.dtype, device=weights.device)  # (R, hidden)
        gate_up = residual.new_zeros(_COMPILE_ROWS, 2 * weights.inner)  # (R, 2 * inner)
        # (R, heads + 2 * key_heads, width)
        heads = residual.new_zeros(_COMPILE_ROWS, weights.heads + 2 * weights.key_heads, weights.head_width)
        table = residual.new_zeros(_COMPILE_ROWS, weights.head_width)  # (R, width)
        query, key, _ = heads.split([weights.heads, weights.key_heads, weights.key_heads], dim=1)
        return [
            *(lambda group=group: unpacked_weights(group, weights.scratch) for group in block.groups.values()),
            lambda: elementwise.rms_norm(residual, block.first_norm, weights.eps, torch.empty_like(residual)),
            lambda: elementwise.swiglu(gate_up, gate_up[:, : weights.inner].contiguous()),
            *(lambda part=part: elementwise.apply_rotary(part, part, table, table) for part in (query, key)),
        ]

    def _project(self, layout: "_Layout", number: int, group: str, x: torch.Tensor) -> torch.Tensor:
        """Multiply (N, inputs) by the weights of a group, LoRA included; return (N, outputs)."""
        weights = self._weights
        merged = weights.blocks[number].groups[group]
        out, names = x @ unpacked_weights(merged, weights.scratch).t(), projection_names(number)  # (N, outputs)
        for tokens, adapter in layout.adapters:
            start = 0
            for at, member in enumerate(GROUPS[group]):
                if (factors := adapter.lora.get(names[member])) is not None:
                    columns = out[tokens, start : start + merged.outputs[at]]  # (tokens, outputs of the projection)
                    columns.addmm_(F.linear(x[tokens], factors.a), factors.b.t())
                start += merged.outputs[at]
        return out

    def _attend(self, layout: "_Layout", number: int, projected: torch.Tensor) -> torch.Tensor:
        """Write keys and values into the cache, and attend.

        Args:
            layout: Layout of the segments.
            number: Number of the block.
            projected: (N, query + key + value).

        Returns:
            (N, heads * width).
        """
        weights, count = self._weights, len(projected)
        heads = projected.view(count, -1, weights.head_width)  # (N, heads + 2 * key_heads, width)
        query, key, value = heads.split([weights.heads, weights.key_heads, weights.key_heads], dim=1)
        for part in (query, key):
            elementwise.apply_rotary(part, part, layout.cos, layout.sin)
        keys, values = self._cache.keys[number], self._cache.values[number]
        # Indexed by page and offset: (N, key_heads, width)
        keys[layout.pages, :, layout.offsets] = key
        values[layout.pages, :, layout.offsets] = value
        # (N, heads, width)
        out = torch.empty(count, weights.heads, weights.head_width, dtype=projected.dtype, device=projected.device)
        for tokens, pages, length in layout.continuing:
            past = [_gather(held, pages, length) for held in (keys, values)]  # (key_heads, length, width) each
            out[tokens] = self._attend_to_past(query[tokens], *past)
        if layout.beginning_lengths:
            new = slice(layout.beginning_start, count)
            rows = (part[new].transpose(0, 1)[None] for part in (query, key, value))  # (1, heads, tokens, width)
            found, _ = packed_attention(
                None, *rows, None, weights.scale, row_lengths=layout.beginning_lengths, row_bounds=layout.bounds
            )
            out[new] = found[0]  # (1, tokens, heads, width) to (tokens, heads, width)
        return out.flatten(1)

    def _attend_to_past(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Attend from the last tokens of a sequence to all of it.

        Args:
            query: (tokens, heads, width).
            key: (key_heads, length, width).
            value: (key_heads, length, width).

        Returns:
            (tokens, heads, width).
        """
        from torch.nn.attention.bias import causal_lower_right

        shared = self._weights.heads // self._weights.key_heads
        key, value = (part.repeat_interleave(shared, dim=0)[None] for part in (key, value))  # (1, heads, length, width)
        # The last query sees every key, the one before all but one, and so on.
        mask = causal_lower_right(query.shape[0], key.shape[2])
        found = F.scaled_dot_product_attention(
            query.transpose(0, 1)[None], key, value, attn_mask=mask, scale=self._weights.scale
        )  # (1, heads, tokens, width)
        return found[0].transpose(0, 1)


def _logits_of(weights: Weights, residual: torch.Tensor) -> torch.Tensor:
    """Return the logits (rows, vocabulary) of the residual stream (rows, hidden) after the last block."""
    normed = torch.empty_like(residual)  # (rows, hidden)
    elementwise.rms_norm(residual, weights.last_norm, weights.eps, normed)
    return F.linear(normed, weights.lm_head)


def _gather(held: torch.Tensor, pages: torch.Tensor, length: int) -> torch.Tensor:
    """Copy the keys or values of one sequence, (key_heads, length, width), out of its pages."""
    return held[pages].transpose(0, 1).flatten(1, 2)[:, :length]


class _Layout:
    """Layout of the segments' N tokens, the same for all blocks.

    Attributes:
        ids: (N,), int64: the tokens.
        pages: (N,), int64: the page of each token.
        offsets: (N,), int64: its position within the page.
        last: (segments,), int64: index of each segment's last token.
        cos: (N, width): angles of the tokens' positions, for both halves of a head.
        sin: (N, width).
        continuing: Per segment that continues a prompt, which come first: its tokens, the sequence's pages, and the
            sequence's length afterwards.
        beginning_lengths: Lengths of the segments that begin a prompt.
        beginning_start: Index of their first token.
        bounds: Cumulative lengths for the attention kernel; None without such segments.
        adapters: Adjacent tokens of one adapter, with the adapter.
    """

    def __init__(self, segments: list[Segment], weights: Weights):
        device = weights.device
        lengths = [len(one.ids) for one in segments]
        ends = torch.tensor(lengths).cumsum(0).tolist()
        starts = [end - length for end, length in zip(ends, lengths, strict=True)]
        positions = [(one, at) for one in segments for at in range(one.start, one.start + len(one.ids))]
        # One transfer for all integers.
        table = torch.tensor(
            [
                [token for one in segments for token in one.ids],
                [at for _, at in positions],
                [one.pages[at // PAGE_TOKENS] for one, at in positions],
                [at % PAGE_TOKENS for _, at in positions],
            ]
        ).to(device)  # (4, N)
        self.ids, position_ids, self.pages, self.offsets = table  # (N,), int64 each
        self.last = torch.tensor([end - 1 for end in ends], device=device)  # (segments,), int64
        # (N, width) each
        self.cos, self.sin = (
            torch.cat([half[position_ids]] * 2, dim=1).contiguous() for half in (weights.cos, weights.sin)
        )
        continuing = [one for one in segments if one.start]
        self.continuing = [
            (slice(start, end), torch.tensor(one.pages, device=device), one.start + len(one.ids))
            for one, start, end in zip(continuing, starts, ends, strict=False)
        ]
        self.beginning_lengths = lengths[len(continuing) :]
        self.beginning_start = sum(lengths[: len(continuing)])
        self.bounds = make_row_bounds(self.beginning_lengths).to(device) if self.beginning_lengths else None
        self.adapters: list[tuple[slice, Adapter]] = []
        for one, start, end in zip(segments, starts, ends, strict=True):
            if one.adapter is None:
                continue
            # Join neighbors of one adapter: one product instead of two.
            if self.adapters and self.adapters[-1][1] is one.adapter and self.adapters[-1][0].stop == start:
                start = self.adapters.pop()[0].start
            self.adapters.append((slice(start, end), one.adapter))
