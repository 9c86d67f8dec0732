"""Batched decoder in PyTorch: sequences decode together, join and leave at any step, each with its own adapter.

Sequences of unequal length are padded on the left and masked; positions count from each sequence's first token. Prompts
of new sequences are read in chunks, one chunk between two decode steps, so that a long prompt does not delay the
others.

    ids of three prompts         mask               after one step: one column more for all
    _ _ a b c                    0 0 1 1 1          0 0 1 1 1 1
    d e f g h                    1 1 1 1 1          1 1 1 1 1 1
    _ _ _ _ i                    0 0 0 0 1          0 0 0 0 1 1

It works for every model with an ordinary key-value cache; `core.chat.probe` checks that at load time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import Cache

from core.chat.adapters import RowAdapters
from core.chat.growing_cache import make_growing_cache
from core.chat.sampler import TokenSampler, most_likely

# Tokens of a prompt that are read between two decode steps.
CHUNK_TOKENS = 512
# Tokens of prompts that are read together in an evaluation, padding included: enough for matrix products to run at
# full speed, and few enough that a step ends within seconds on a CPU, and that prompts of one group have similar
# lengths.
OFFLINE_GROUP_TOKENS = 2048


# Compared by identity: two sequences may have the same prompt.
@dataclass(eq=False)
class TokenSequence:
    """One sequence under way, with the callbacks that choose its tokens.

    Every callback that takes a token returns the token to continue with, or None to end the sequence.

    Attributes:
        prompt_ids: Tokens before the answer.
        adapter: Key of the adapter in `RowAdapters`; None for the base.
        on_logits: Chooses the next token from the logits (vocabulary,).
        is_cancelled: Asked before every step; once it is true, the sequence is dropped.
        on_argmax: If given, takes the most likely token in place of `on_logits`, or NO_TOKEN. The argmax is computed
            for all such sequences at once, and no logits leave the device.
        sampler: If given together with `on_token`, the CUDA decoder samples on the GPU, with this sampler's settings
            and random numbers.
        on_token: Takes the sampled token and its log-probability; only the CUDA decoder calls it, in place of
            `on_logits`.
        max_new_tokens: Limit of the answer's length, so that memory is reserved once; 0 if it is not known.
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
    """Sequences with their shared key-value cache.

    Attributes:
        sequences: B sequences, in the order of the batch dimension.
        cache: Keys and values of every layer, (B, key_heads, length, head_width).
        mask: (B, length), int64; 0 for padding.
        last: The token that each sequence continues with; not in the cache yet.
    """

    sequences: list[TokenSequence]
    cache: Cache
    mask: torch.Tensor
    last: list[int]

    @property
    def length(self) -> int:
        return self.mask.shape[1]

    def keep(self, indices: list[int]) -> None:
        """Drop all sequences but those at `indices`."""
        index = torch.tensor(indices, device=self.mask.device)  # (kept,)
        self.sequences = [self.sequences[at] for at in indices]
        self.last = [self.last[at] for at in indices]
        self.mask = self.mask[index]  # (kept, length)
        self.cache.batch_select_indices(index)
        self._trim()

    def _trim(self) -> None:
        """Remove padding that no sequence needs any more."""
        # The position of the first 1 of each row is the number of its padding tokens.
        if spare := int(self.mask.long().argmax(dim=1).min()) if self.sequences else 0:
            # A copy, so that the memory of the wider mask is freed.
            self.mask = self.mask[:, spare:].contiguous()
            for layer in self.cache.layers:
                layer.keys, layer.values = layer.keys[:, :, spare:], layer.values[:, :, spare:]

    def pad_to(self, length: int) -> None:
        """Pad on the left up to `length` tokens."""
        if (short := length - self.length) > 0:
            self.mask = F.pad(self.mask, (short, 0))  # (B, length)
            for layer in self.cache.layers:
                # (B, key_heads, length, head_width): the last but one dimension grows at its beginning.
                layer.keys, layer.values = (F.pad(part, (0, 0, short, 0)) for part in (layer.keys, layer.values))

    def add(self, other: "_Batch") -> None:
        """Append the sequences of another batch."""
        length = max(self.length, other.length)
        self.pad_to(length)
        other.pad_to(length)
        self.sequences += other.sequences
        self.last += other.last
        self.mask = torch.cat([self.mask, other.mask])  # (B + B', length)
        for layer, more in zip(self.cache.layers, other.cache.layers, strict=True):
            layer.keys = torch.cat([layer.keys, more.keys])
            layer.values = torch.cat([layer.values, more.values])


@dataclass
class _Prefill:
    """Sequences whose prompts are being read.

    Attributes:
        ids: (B, length), int64, padded on the left.
        read: Number of columns of `ids` that are in the cache.
    """

    batch: _Batch
    ids: torch.Tensor
    read: int = 0


class Decoder:
    """Decoder of sequences over one model."""

    def __init__(
        self, model: torch.nn.Module, adapters: RowAdapters, pad: int = 0, chunk: int = CHUNK_TOKENS, group: int = 0
    ):
        """Start without sequences.

        Args:
            model: The base model.
            adapters: Its adapters.
            pad: Id of the padding token; any id of the vocabulary does, as padding is masked.
            chunk: Tokens of a prompt that are read between two decode steps.
            group: Tokens of prompts that are read together at most, padding included; one longer prompt is read alone.
                0 reads all sequences that join together, so that their answers begin at the same step.
        """
        self._model, self._adapters, self._pad, self._chunk, self._group = model, adapters, pad, chunk, group
        self._prefills: list[_Prefill] = []
        self._batch: _Batch | None = None

    @property
    def sequences(self) -> list[TokenSequence]:
        """Return all sequences, those whose prompts are still being read included."""
        reading = [sequence for prefill in self._prefills for sequence in prefill.batch.sequences]
        return [*(self._batch.sequences if self._batch else []), *reading]

    def join(self, sequences: list[TokenSequence]) -> None:
        """Add sequences; the prompts of a group are read together, the groups one after another."""
        groups: list[list[TokenSequence]] = [[]]
        for sequence in sequences:
            longest = max(len(one.prompt_ids) for one in [*groups[-1], sequence])
            if self._group and groups[-1] and longest * (len(groups[-1]) + 1) > self._group:
                groups.append([])
            groups[-1].append(sequence)
        self._prefills += [self._make_prefill(group) for group in groups if group]

    def _make_prefill(self, sequences: list[TokenSequence]) -> _Prefill:
        device = self._model.device
        prompts = [sequence.prompt_ids for sequence in sequences]
        longest = max(map(len, prompts))
        ids = torch.tensor([[self._pad] * (longest - len(ids)) + ids for ids in prompts], device=device)  # (B, longest)
        mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts], device=device)
        # The cache is made without the model's config: so every layer keeps all tokens, and only the mask limits a
        # sliding window.
        return _Prefill(_Batch(sequences, make_growing_cache(), mask, [0] * len(sequences)), ids)

    @torch.inference_mode()
    def step(self) -> bool:
        """Read one chunk of the oldest prompts, then decode one token of every sequence whose prompt is complete.

        Where the chunk completes a prompt, its logits give the first token of the answer, and the same step decodes the
        second one.

        An exception of a callback is passed on, and leaves the decoder unusable until `clear`.

        Returns:
            Whether any sequence is left.
        """
        try:
            if self._prefills:
                self._read()
            if self._batch:
                self._decode()
        finally:
            self._adapters.set_rows([])
        return bool(self._batch or self._prefills)

    def clear(self) -> None:
        """Drop all sequences."""
        self._prefills, self._batch = [], None

    def _read(self) -> None:
        """Read the next chunk of the oldest prompts; once they are complete, their sequences join the batch."""
        prefill = self._prefills[0]
        if all(sequence.is_cancelled() for sequence in prefill.batch.sequences):
            self._prefills.pop(0)
            return
        end = min(prefill.read + self._chunk, prefill.ids.shape[1])
        logits = self._forward(prefill.batch, prefill.ids[:, prefill.read : end], prefill.batch.mask[:, :end])
        prefill.read = end
        if end < prefill.ids.shape[1]:
            return
        self._prefills.pop(0)
        self._take_tokens(prefill.batch, logits)
        if prefill.batch.sequences and self._batch:
            self._batch.add(prefill.batch)
        elif prefill.batch.sequences:
            self._batch = prefill.batch

    def _decode(self) -> None:
        batch = self._batch
        if left := [at for at, sequence in enumerate(batch.sequences) if not sequence.is_cancelled()]:
            if len(left) < len(batch.sequences):
                batch.keep(left)
            ids = torch.tensor([[token] for token in batch.last], device=batch.mask.device)  # (B, 1)
            ones = batch.mask.new_ones(len(batch.sequences), 1)
            batch.mask = torch.cat([batch.mask, ones], dim=1)  # (B, length + 1)
            self._take_tokens(batch, self._forward(batch, ids, batch.mask))
        if not left or not batch.sequences:
            self._batch = None

    def _forward(self, batch: _Batch, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Run the model on the next tokens of a batch.

        Args:
            batch: The sequences; their cache grows by the tokens.
            ids: (B, T).
            mask: (B, cached + T).

        Returns:
            Logits (B, vocabulary) after the last token.
        """
        self._adapters.set_rows([sequence.adapter for sequence in batch.sequences])
        # Padding gets position 0; it is masked, so any position does.
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]  # (B, T)
        # An index, not a slice: rows of a slice are not contiguous, and the product would copy the head's weights.
        last = torch.tensor([ids.shape[1] - 1], device=ids.device)
        out = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=batch.cache,
            use_cache=True,
            logits_to_keep=last,
        )
        return out.logits[:, -1]  # (B, vocabulary)

    def _take_tokens(self, batch: _Batch, logits: torch.Tensor) -> None:
        """Let every sequence choose its next token, and drop those that have ended.

        Args:
            batch: The sequences.
            logits: (B, vocabulary).
        """
        # One argmax and one transfer for the whole batch.
        argmax = most_likely(logits).tolist() if any(one.on_argmax for one in batch.sequences) else []

        def choose(at: int, sequence: TokenSequence) -> int | None:
            if sequence.is_cancelled():
                return None
            return sequence.on_argmax(argmax[at]) if sequence.on_argmax else sequence.on_logits(logits[at])

        tokens = [choose(at, sequence) for at, sequence in enumerate(batch.sequences)]
        left = [at for at, token in enumerate(tokens) if token is not None]
        batch.last = [0 if token is None else token for token in tokens]
        if not left:
            batch.sequences = []
        elif len(left) < len(batch.sequences):
            batch.keep(left)
