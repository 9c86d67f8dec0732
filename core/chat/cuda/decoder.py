"""CUDA decoder: the interface of `core.chat.decoder` with one CUDA graph per decode step.

The host runs one step behind the GPU: while it turns the tokens of one step into text, the next step is under way.

    GPU    step 1     step 2     step 3
    host              text of 1  text of 2       a sequence that ends in step 1 is still computed in step 2

Sequences that choose their token from the logits on the host (`on_logits`) cannot run ahead, and neither can a batch
with one of them. Sequences whose adapters are more than LoRA go to the batched PyTorch decoder, beside the others.
"""

import math
from collections import deque
from dataclasses import dataclass

import torch

from core.chat.adapters import Adapter, RowAdapters
from core.chat.cuda.prefill import Segment
from core.chat.cuda.runtime import CudaRuntime, StepResult
from core.chat.cuda.support import is_plain_lora
from core.chat.decoder import Decoder, TokenSequence
from core.chat.sampler import NO_TOKEN

# Tokens of prompts that are read between two decode steps.
CHUNK_TOKENS = 1024
# The same if no user waits for the next word: weights are unpacked a quarter as often.
OFFLINE_CHUNK_TOKENS = 4096


# Compared by identity, as its sequence is.
@dataclass(eq=False)
class _ActiveSequence:
    """A sequence with its slot and pages.

    Attributes:
        slot: Index into the runtime's state.
        pages: Page numbers of its keys and values.
        read: Tokens of the prompt that are in the cache.
        length: Tokens in the cache, those of steps under way included.
    """

    sequence: TokenSequence
    slot: int
    adapter: Adapter | None
    pages: list[int]
    read: int = 0
    length: int = 0

    @property
    def is_sampled_on_gpu(self) -> bool:
        """Return whether its tokens are sampled without asking the host."""
        return bool(self.sequence.on_argmax or self.sequence.on_token)


class CudaDecoder:
    """Decoder of sequences over one model; it owns the runtime until another decoder acquires it."""

    def __init__(self, runtime: CudaRuntime, adapters: RowAdapters, pad: int = 0, chunk: int = CHUNK_TOKENS):
        """Acquire the runtime.

        Args:
            runtime: The model's runtime.
            adapters: The model's adapters.
            pad: Id of the padding token, for the PyTorch decoder.
            chunk: Tokens of prompts that are read between two decode steps.
        """
        self._runtime, self._adapters, self._chunk = runtime, adapters, chunk
        self._pytorch_decoder = Decoder(runtime.weights.model, adapters, pad)
        self._reading: deque[_ActiveSequence] = deque()
        self._decoding: dict[int, _ActiveSequence] = {}
        # Results of steps, each with its sequences and their rows of the logits.
        self._under_way: deque[tuple[list[tuple[_ActiveSequence, int]], StepResult]] = deque()
        runtime.acquire(self)

    @property
    def sequences(self) -> list[TokenSequence]:
        """Return all sequences, those whose prompts are still being read included."""
        own = [*self._decoding.values(), *self._reading]
        return [*(active.sequence for active in own), *self._pytorch_decoder.sequences]

    @torch.inference_mode()
    def join(self, sequences: list[TokenSequence]) -> None:
        """Add sequences."""
        self._runtime.check_owner(self)
        adapters = {one.adapter: self._adapters.get(one.adapter) for one in sequences if one.adapter is not None}
        blocks = len(self._runtime.weights.blocks)
        is_supported = {key: is_plain_lora(adapter, blocks) for key, adapter in adapters.items()}
        if others := [one for one in sequences if not is_supported.get(one.adapter, True)]:
            self._pytorch_decoder.join(others)
        own = [one for one in sequences if is_supported.get(one.adapter, True)]
        counts = [len(one.prompt_ids) + max(one.max_new_tokens, 1) for one in own]
        self._runtime.reserve(counts)
        for sequence, count in zip(own, counts, strict=True):
            slot, pages = self._runtime.take_slot(count)
            self._reading.append(_ActiveSequence(sequence, slot, adapters.get(sequence.adapter), pages))

    @torch.inference_mode()
    def step(self) -> bool:
        """Read one chunk of waiting prompts, then decode one token of every sequence whose prompt is complete.

        Where the chunk completes a prompt, its logits give the first token of the answer, and the same step decodes the
        second one.

        An exception of a callback is passed on, and leaves the decoder unusable until `clear`.

        Returns:
            Whether any sequence is left.
        """
        self._runtime.check_owner(self)
        if self._pytorch_decoder.sequences:
            self._pytorch_decoder.step()
        self._release([active for active in self._decoding.values() if active.sequence.is_cancelled()])
        if self._reading:
            self._read()
        if not all(active.is_sampled_on_gpu for active in self._decoding.values()):
            # A sequence that chooses its token on the host must have done so before the next step.
            self._collect(0)
        is_launched = bool(self._decoding)
        if is_launched:
            self._decode()
        self._collect(1 if is_launched else 0)
        if not self._decoding:
            self._under_way.clear()
        return bool(self._decoding or self._reading or self._pytorch_decoder.sequences)

    @torch.inference_mode()
    def clear(self) -> None:
        """Drop all sequences."""
        self._pytorch_decoder.clear()
        self._under_way.clear()
        own = [*self._decoding.values(), *self._reading]
        self._decoding.clear()
        self._reading.clear()
        for active in own:
            self._runtime.release(active.slot, active.pages)

    def _release(self, ended: list[_ActiveSequence]) -> None:
        for active in ended:
            del self._decoding[active.slot]
            self._runtime.release(active.slot, active.pages)

    def _read(self) -> None:
        """Read one chunk of the waiting prompts, in their order; sequences whose prompt is complete start decoding."""
        for active in [active for active in self._reading if active.sequence.is_cancelled()]:
            self._reading.remove(active)
            self._runtime.release(active.slot, active.pages)
        chosen, segments, left = [], [], self._chunk
        for active in self._reading:
            if not left:
                break
            prompt = active.sequence.prompt_ids
            end = min(len(prompt), active.read + left)
            segments.append(Segment(prompt[active.read : end], active.read, active.pages, active.adapter))
            left -= end - active.read
            active.read = end
            chosen.append(active)
        if not segments:
            return
        logits = self._runtime.prefill(segments)  # (segments, vocabulary)
        rows = [at for at, active in enumerate(chosen) if active.read == len(active.sequence.prompt_ids)]
        if not rows:
            return
        started = [chosen[at] for at in rows]
        for active in started:
            self._reading.remove(active)
        for active in started:
            active.length = active.read
            self._decoding[active.slot] = active
        in_use = {slot: active.adapter for slot, active in self._decoding.items()}
        for active in started:
            sampler = active.sequence.sampler
            self._runtime.activate(active.slot, active.pages, active.length, active.adapter, in_use, sampler)
        self._sample(logits, started, rows)

    def _decode(self) -> None:
        self._compact_slots()
        active = sorted(self._decoding.values(), key=lambda one: one.slot)
        for one in active:
            if len(one.pages) * self._runtime.page_tokens <= one.length:
                self._runtime.add_page(one.slot, one.pages)
            one.length += 1
        has_adapters = any(one.adapter is not None for one in active)
        logits = self._runtime.decode(active[-1].slot + 1, has_adapters)  # (bucket, vocabulary)
        self._sample(logits, active, [one.slot for one in active])

    def _compact_slots(self) -> None:
        """Move sequences to lower slots while a smaller bucket is enough for all."""
        bucket = self._runtime.bucket
        while bucket(len(self._decoding) + len(self._reading)) < bucket(max(self._decoding) + 1):
            active = self._decoding.pop(max(self._decoding))
            active.slot = self._runtime.move_to_lowest_slot(active.slot)
            self._decoding[active.slot] = active

    def _sample(self, logits: torch.Tensor, active: list[_ActiveSequence], rows: list[int]) -> None:
        result = self._runtime.sample(logits, [(one.slot, one.sequence.sampler) for one in active], rows)
        self._under_way.append((list(zip(active, rows, strict=True)), result))

    def _collect(self, keep: int) -> None:
        """Deliver the tokens of all steps under way but the last `keep`."""
        while len(self._under_way) > keep:
            active, result = self._under_way.popleft()
            tokens, logprobs = result.read()
            for (one, row), token, logprob in zip(active, tokens, logprobs, strict=True):
                # Otherwise the sequence ended in an earlier step, and this token is surplus.
                if self._decoding.get(one.slot) is one:
                    self._deliver(one, result.logits[row], token, logprob)

    def _deliver(self, active: _ActiveSequence, logits: torch.Tensor, token: int, logprob: float) -> None:
        """Give a sequence its token, and release it if it ends.

        Args:
            active: The sequence.
            logits: (vocabulary,), for sequences that choose on the host.
            token: The sampled token.
            logprob: Its log-probability.
        """
        sequence = active.sequence
        if sequence.is_cancelled():
            following = None
        elif sequence.on_argmax:
            following = sequence.on_argmax(token if math.isfinite(logprob) else NO_TOKEN)
        elif sequence.on_token:
            following = sequence.on_token(token, logprob)
        else:
            following = sequence.on_logits(logits)
            if following is not None:
                self._runtime.set_token(active.slot, following)
        if following is None:
            self._release([active])
