"""Rows that decode together, joining and leaving at any step, each with its own adapter.

Rows of unequal length are padded on the left, and masked; positions count from each row's first token. Those that join
are read in chunks between two steps of those that write, so that a long prompt does not hold the others up.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import DynamicCache

from core.chat.adapters import RowAdapters
from core.chat.sampler import TokenSampler

CHUNK = 512  # tokens of a prompt that are read at once


@dataclass(eq=False)
class TokenSequence:
    """One answer under way.

    Attributes:
        ids: the tokens before it.
        adapter: the name it has in `RowAdapters`; None for the base.
        take: is given the logits (vocabulary,) after each token, and returns the next one; None ends the row.
        gone: asked before every step; when true, the row is dropped.
        likeliest: is given the likeliest token instead of `take` the logits, found for all such rows at once.
        picker, on_token: with them the fast decoder draws on the GPU, as `picker` would, and tells the token and its
            log-probability; `on_token` returns what `take` would.
        most: tokens that the answer has at most, so that room for them is taken at once; 0: not known.
    """

    prompt_ids: list[int]
    adapter: str | None
    on_logits: Callable[[torch.Tensor], int | None]
    is_cancelled: Callable[[], bool] = lambda: False
    on_argmax: Callable[[int], int | None] | None = None
    sampler: TokenSampler | None = None
    on_token: Callable[[int, float], int | None] | None = None
    max_new_tokens: int = 0


@dataclass
class _Batch:
    """Rows with what the model keeps of them. mask: (rows, length); last: the token each row goes on with."""

    rows: list[TokenSequence]
    cache: DynamicCache
    mask: torch.Tensor
    last: list[int]

    @property
    def length(self) -> int:
        return self.mask.shape[1]

    def keep(self, places: list[int]) -> None:
        index = torch.tensor(places, device=self.mask.device)
        self.rows = [self.rows[place] for place in places]
        self.last = [self.last[place] for place in places]
        self.mask = self.mask[index]
        self.cache.batch_select_indices(index)
        self._trim()

    def _trim(self) -> None:
        """Give up the padding that no row needs any more."""
        if spare := int(self.mask.long().argmax(dim=1).min()) if self.rows else 0:
            self.mask = self.mask[:, spare:].contiguous()
            for layer in self.cache.layers:
                layer.keys, layer.values = layer.keys[:, :, spare:], layer.values[:, :, spare:]

    def pad_to(self, length: int) -> None:
        if (short := length - self.length) > 0:
            self.mask = F.pad(self.mask, (short, 0))
            for layer in self.cache.layers:
                layer.keys, layer.values = (F.pad(kept, (0, 0, short, 0)) for kept in (layer.keys, layer.values))

    def add(self, other: "_Batch") -> None:
        length = max(self.length, other.length)
        self.pad_to(length)
        other.pad_to(length)
        self.rows += other.rows
        self.last += other.last
        self.mask = torch.cat([self.mask, other.mask])
        for layer, more in zip(self.cache.layers, other.cache.layers, strict=True):
            layer.keys = torch.cat([layer.keys, more.keys])
            layer.values = torch.cat([layer.values, more.values])


class Decoder:
    """Steps through rows over one model."""

    def __init__(self, model: torch.nn.Module, adapters: RowAdapters, pad: int = 0, chunk: int = CHUNK):
        self._model, self._adapters, self._pad, self._chunk = model, adapters, pad, chunk
        self._joining: list[_Joining] = []
        self._batch: _Batch | None = None

    @property
    def sequences(self) -> list[TokenSequence]:
        """All rows, those whose prompts are still being read included."""
        joining = [row for group in self._joining for row in group.batch.rows]
        return [*(self._batch.rows if self._batch else []), *joining]

    def join(self, rows: list[TokenSequence]) -> None:
        """Let rows begin; they are read together."""
        device = self._model.device
        longest = max(len(row.prompt_ids) for row in rows)
        ids = torch.tensor(
            [[self._pad] * (longest - len(row.prompt_ids)) + row.prompt_ids for row in rows], device=device
        )
        mask = torch.tensor(
            [[0] * (longest - len(row.prompt_ids)) + [1] * len(row.prompt_ids) for row in rows], device=device
        )
        # a cache of whole layers for any model: a sliding window is then the mask's affair
        self._joining.append(_Joining(_Batch(list(rows), DynamicCache(), mask, [0] * len(rows)), ids))

    @torch.inference_mode()
    def step(self) -> bool:
        """Read a chunk of a prompt, if one waits, and write a token of every row that writes; whether any row is left.

        What a row's `take` raises goes through, and leaves the decoder unusable: `clear` it.
        """
        try:
            if self._joining:
                self._read()
            if self._batch:
                self._write()
        finally:
            self._adapters.set_rows([])
        return bool(self._batch or self._joining)

    def clear(self) -> None:
        """Drop every row."""
        self._joining, self._batch = [], None

    def _read(self) -> None:
        group = self._joining[0]
        if all(row.is_cancelled() for row in group.batch.rows):
            self._joining.pop(0)
            return
        end = min(group.read + self._chunk, group.ids.shape[1])
        logits = self._forward(group.batch, group.ids[:, group.read : end], group.batch.mask[:, :end])
        group.read = end
        if end < group.ids.shape[1]:
            return
        self._joining.pop(0)
        self._take(group.batch, logits)
        if group.batch.rows and self._batch:
            self._batch.add(group.batch)
        elif group.batch.rows:
            self._batch = group.batch

    def _write(self) -> None:
        batch = self._batch
        if left := [place for place, row in enumerate(batch.rows) if not row.is_cancelled()]:
            if len(left) < len(batch.rows):
                batch.keep(left)
            ids = torch.tensor([[token] for token in batch.last], device=batch.mask.device)
            batch.mask = torch.cat([batch.mask, batch.mask.new_ones(len(batch.rows), 1)], dim=1)
            self._take(batch, self._forward(batch, ids, batch.mask))
        if not left or not batch.rows:
            self._batch = None

    def _forward(self, batch: _Batch, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits (rows, vocabulary) after the last of `ids`."""
        self._adapters.set_rows([row.adapter for row in batch.rows])
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        # by its index and not as a slice: a product with rows that lie apart copies the head's weights for each of them
        last = torch.tensor([ids.shape[1] - 1], device=ids.device)
        out = self._model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=batch.cache, use_cache=True,
            logits_to_keep=last,
        )  # fmt: skip
        return out.logits[:, -1]

    def _take(self, batch: _Batch, logits: torch.Tensor) -> None:
        likeliest = logits.argmax(dim=-1).tolist() if any(row.on_argmax for row in batch.rows) else []

        def take(place: int, row: TokenSequence) -> int | None:
            if row.is_cancelled():
                return None
            return row.on_argmax(likeliest[place]) if row.on_argmax else row.on_logits(logits[place])

        taken = [take(place, row) for place, row in enumerate(batch.rows)]
        left = [place for place, token in enumerate(taken) if token is not None]
        batch.last = [0 if token is None else token for token in taken]
        if not left:
            batch.rows = []
        elif len(left) < len(batch.rows):
            batch.keep(left)


@dataclass
class _Joining:
    """Rows whose prompts (rows, length) are read up to `read`."""

    batch: _Batch
    ids: torch.Tensor
    read: int = 0
