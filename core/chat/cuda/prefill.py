"""Reading prompts: the tokens of several rows laid end to end, nothing padded, straight into the rows' pages.

Weights are unpacked a group at a time and multiplied by the library's product, which at hundreds of tokens is faster
than a product over packed weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from core.chat.adapters import Adapter
from core.chat.cuda.decode_graph import logits_of
from core.chat.cuda.paged_kv_cache import PAGE, Pages
from core.chat.cuda.support import names_of
from core.chat.cuda.weights import GROUPS, Weights
from core.kernels import elementwise
from core.kernels.attention import make_row_bounds, packed_attention


@dataclass(frozen=True, eq=False)
class Segment:
    """A run of one row's tokens. Attributes: start: how many of the row's are in the cache; pages: the row's, all."""

    ids: Sequence[int]
    start: int
    pages: list[int]
    adapter: Adapter | None


class Prefill:
    """Reads segments into pages."""

    def __init__(self, weights: Weights, pages: Pages):
        self._weights, self._pages = weights, pages

    def read(self, segments: list[Segment]) -> torch.Tensor:
        """Logits (segments, vocabulary) after the last token of each. Those that go on with a row come first."""
        weights = self._weights
        call = _Call(segments, weights)
        stream = weights.embedding[call.ids]
        normed = torch.empty_like(stream)
        for number, block in enumerate(weights.blocks):
            elementwise.rms_norm(stream, block.first_norm, weights.eps, normed)
            projected = self._project(call, number, "qkv", normed)
            stream += self._project(call, number, "o", self._attend(call, number, projected))
            elementwise.rms_norm(stream, block.second_norm, weights.eps, normed)
            both = self._project(call, number, "both", normed)
            opened = torch.empty(len(both), weights.inner, dtype=both.dtype, device=both.device)
            elementwise.swiglu(both, opened)
            del both
            stream += self._project(call, number, "down", opened)
        return logits_of(weights, stream[call.last])

    def kernels(self) -> list[Callable[[], object]]:
        """Calls that have every kernel compiled."""
        weights, block = self._weights, self._weights.blocks[0]
        stream = torch.zeros(16, weights.hidden, dtype=weights.dtype, device=weights.device)
        both = stream.new_zeros(16, 2 * weights.inner)
        heads = stream.new_zeros(16, weights.heads + 2 * weights.key_heads, weights.head)
        table = stream.new_zeros(16, weights.head)
        return [
            *(lambda group=group: group.unpacked(weights.room) for group in block.groups.values()),
            lambda: elementwise.rms_norm(stream, block.first_norm, weights.eps, torch.empty_like(stream)),
            lambda: elementwise.swiglu(both, both[:, : weights.inner].contiguous()),
            *(lambda part=part: elementwise.apply_rotary(part, part, table, table)
              for part in heads.split([weights.heads, weights.key_heads, weights.key_heads], dim=1)[:2]),
        ]  # fmt: skip

    def _project(self, call: "_Call", number: int, group: str, x: torch.Tensor) -> torch.Tensor:
        weights = self._weights
        merged = weights.blocks[number].groups[group]
        out, names = x @ merged.unpacked(weights.room).t(), names_of(number)
        for tokens, adapter in call.tuned:
            start = 0
            for at, member in enumerate(GROUPS[group]):
                if (factors := adapter.lora.get(names[member])) is not None:
                    columns = out[tokens, start : start + merged.outputs[at]]
                    columns.addmm_(F.linear(x[tokens], factors.a), factors.b.t())
                start += merged.outputs[at]
        return out

    def _attend(self, call: "_Call", number: int, projected: torch.Tensor) -> torch.Tensor:
        """(tokens, heads x width)."""
        weights, count = self._weights, len(projected)
        heads = projected.view(count, -1, weights.head)
        query, key, value = heads.split([weights.heads, weights.key_heads, weights.key_heads], dim=1)
        for turned in (query, key):
            elementwise.apply_rotary(turned, turned, call.cos, call.sin)
        keys, values = self._pages.keys[number], self._pages.values[number]
        keys[call.pages, :, call.offsets] = key
        values[call.pages, :, call.offsets] = value
        out = torch.empty(count, weights.heads, weights.head, dtype=projected.dtype, device=projected.device)
        for tokens, pages, length in call.later:
            past = [_gathered(held, pages, length) for held in (keys, values)]
            out[tokens] = self._behind(query[tokens], *past)
        if call.fresh:
            new = slice(call.fresh_from, count)
            rows = (part[new].transpose(0, 1)[None] for part in (query, key, value))
            found, _ = packed_attention(
                None, *rows, None, weights.scale, row_lengths=call.fresh, row_bounds=call.bounds
            )
            out[new] = found[0]
        return out.flatten(1)

    def _behind(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Attention of the last tokens (tokens, heads, width) of a row over all of it (key heads, length, width)."""
        from torch.nn.attention.bias import causal_lower_right

        times = self._weights.heads // self._weights.key_heads
        key, value = (part.repeat_interleave(times, dim=0)[None] for part in (key, value))
        mask = causal_lower_right(query.shape[0], key.shape[2])
        found = F.scaled_dot_product_attention(
            query.transpose(0, 1)[None], key, value, attn_mask=mask, scale=self._weights.scale
        )
        return found[0].transpose(0, 1)


def _gathered(held: torch.Tensor, pages: torch.Tensor, length: int) -> torch.Tensor:
    """A row's own (heads, length, width) out of its pages."""
    return held[pages].transpose(0, 1).flatten(1, 2)[:, :length]


class _Call:
    """What all blocks need to know of the segments.

    Attributes:
        later: those that go on with a row, which come first: their tokens, the row's pages, its length after.
        fresh: the lengths of those that begin a row, from token `fresh_from` on.
        tuned: tokens side by side of one adapter.
    """

    def __init__(self, segments: list[Segment], weights: Weights):
        device = weights.device
        lengths = [len(one.ids) for one in segments]
        ends = torch.tensor(lengths).cumsum(0).tolist()
        starts = [end - length for end, length in zip(ends, lengths, strict=True)]
        spots = [(one, at) for one in segments for at in range(one.start, one.start + len(one.ids))]
        told = torch.tensor(
            [
                [token for one in segments for token in one.ids],
                [at for _, at in spots],
                [one.pages[at // PAGE] for one, at in spots],
                [at % PAGE for _, at in spots],
            ]
        ).to(device)
        self.ids, positions, self.pages, self.offsets = told
        self.last = torch.tensor([end - 1 for end in ends], device=device)
        self.cos, self.sin = (
            torch.cat([table[positions]] * 2, dim=1).contiguous() for table in (weights.cos, weights.sin)
        )
        going_on = [one for one in segments if one.start]
        self.later = [
            (slice(begin, end), torch.tensor(one.pages, device=device), one.start + len(one.ids))
            for one, begin, end in zip(going_on, starts, ends, strict=False)
        ]
        self.fresh = lengths[len(going_on) :]
        self.fresh_from = sum(lengths[: len(going_on)])
        self.bounds = make_row_bounds(self.fresh).to(device) if self.fresh else None
        self.tuned: list[tuple[slice, Adapter]] = []
        for one, begin, end in zip(segments, starts, ends, strict=True):
            if one.adapter is None:
                continue
            if self.tuned and self.tuned[-1][1] is one.adapter and self.tuned[-1][0].stop == begin:
                begin = self.tuned.pop()[0].start
            self.tuned.append((slice(begin, end), one.adapter))
