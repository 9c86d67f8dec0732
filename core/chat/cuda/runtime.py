"""State that all CUDA decoders of one model share: weights, key-value pages, adapter slots, sequence slots and graphs.

A sequence slot is an index into the buffers of `state.State`. A decode step computes all slots up to the highest
one in use, rounded up to a power of two (a bucket), so a few captured graphs serve every number of sequences.

    bucket 4:    slot 0      slot 1      slot 2             slot 3
                 length 17   length 5    length -1          length 230      -1: free, or its prompt is being read;
                                                                            computes nothing of use

Only one decoder may use a runtime at a time.
"""

import weakref
from dataclasses import dataclass

import torch

from core.chat.adapters import Adapter
from core.chat.cuda.adapter_slots import AdapterSlots
from core.chat.cuda.batch_sampler import BatchSampler
from core.chat.cuda.decode_graph import DecodeStep, compile_kernels
from core.chat.cuda.paged_kv_cache import PAGE_TOKENS, PagedCache, pages_for
from core.chat.cuda.prefill import Prefill, Segment
from core.chat.cuda.state import State
from core.chat.cuda.weights import Weights
from core.chat.sampler import TokenSampler

_INITIAL_SLOTS = 8
# Maximum number of results under way: of the previous step, of the prompts just read, of this step; and one to spare.
_HOST_BUFFERS = 4
_STATE_BUFFERS = ("tokens", "lengths", "adapter_slots", "page_table")


@dataclass(frozen=True, eq=False)
class StepResult:
    """Result of a step on its way to the host.

    Attributes:
        logits: (any, vocabulary) on the device; valid until the next step.
        values: (n, 2), float64, on the host once `copied` has happened: tokens and log-probabilities.
        copied: Event after the copy; None if there was nothing to copy.
    """

    logits: torch.Tensor
    values: torch.Tensor
    copied: torch.cuda.Event | None

    def read(self) -> tuple[list[int], list[float]]:
        """Wait for the copy, and return tokens and log-probabilities."""
        if self.copied is not None:
            self.copied.synchronize()
        tokens, logprobs = self.values.T.tolist()
        return [int(token) for token in tokens], logprobs


class CudaRuntime:
    """Shared state of the decoders of one model.

    Attributes:
        page_tokens: Tokens per page.
        weights: The model's weights.
    """

    page_tokens = PAGE_TOKENS

    def __init__(self, model: torch.nn.Module, uses_graphs: bool = True):
        """Allocate the buffers, and compile the kernels.

        Args:
            model: A model for which `support.unsupported_reason` is None. Its weights become views of merged ones.
            uses_graphs: Whether steps are captured and replayed; otherwise their kernels are launched one by one.
        """
        with torch.inference_mode():
            self.weights = weights = Weights(model)
            self._cache = PagedCache(
                len(weights.blocks), weights.key_heads, weights.head_width, weights.dtype, weights.device
            )
            self._adapter_slots = AdapterSlots(weights)
            self._prefill = Prefill(weights, self._cache)
            # One page more than the context has, for the token that is being written.
            self._state = State.empty(_INITIAL_SLOTS, pages_for(weights.context) + 1, weights.device)
            # (slots, vocabulary), uint8; allocated with the first sequence that has a repetition penalty.
            self._seen: torch.Tensor | None = None
        self._uses_graphs = uses_graphs
        self._free_slots = list(range(_INITIAL_SLOTS))
        # By bucket, and whether any sequence has an adapter.
        self._steps: dict[tuple[int, bool], DecodeStep] = {}
        self._steps_adapter_version = self._adapter_slots.version
        # Sampler and row indices of the last step; consecutive steps mostly have the same sequences.
        self._sampler: tuple[list[tuple[int, int]], BatchSampler | None] = ([], None)
        self._rows: tuple[list[int], torch.Tensor | None] = ([], None)
        self._host_buffers: list[torch.Tensor] = []
        self._owner: weakref.ref = lambda: None
        if uses_graphs:
            self._compile()

    @torch.inference_mode()
    def _compile(self) -> None:
        """Compile prefill and small steps without adapters while the model is being loaded."""
        # Kernels of steps with adapters depend on the rank, which is known with the first adapter only.
        self._cache.grow(1)
        for bucket in (1, 2):
            self._steps[bucket, False] = self._new_step(bucket, False)
        steps = self._steps
        compile_kernels([*self._prefill.kernels(), *steps[2, False].kernels(), *steps[1, False].kernels()])
        self._steps.clear()

    def _new_step(self, bucket: int, has_adapters: bool) -> DecodeStep:
        return DecodeStep(self.weights, self._cache, self._state, self._adapter_slots, bucket, has_adapters)

    @torch.inference_mode()
    def acquire(self, owner: object) -> None:
        """Let a decoder use the runtime; the sequences of the decoder before are dropped."""
        before = self._owner()
        if before is not None:
            before.clear()
        elif len(self._free_slots) < len(self._state.lengths):
            # The decoder before was deleted without releasing its sequences.
            self._release_all()
        self._owner = weakref.ref(owner)

    def check_owner(self, owner: object) -> None:
        """Check that a decoder may use the runtime.

        Raises:
            RuntimeError: Another decoder has acquired it since.
        """
        if self._owner() is not owner:
            raise RuntimeError("another decoder has acquired the model's runtime since; only one may use it at a time")

    def _release_all(self) -> None:
        self._state.lengths.fill_(-1)
        self._free_slots = list(range(len(self._state.lengths)))
        self._cache.free_all()

    # Slots and pages

    def reserve(self, token_counts: list[int]) -> None:
        """Make sure that slots and pages for sequences of these lengths are free."""
        if (missing := len(token_counts) - len(self._free_slots)) > 0:
            self._add_slots(missing)
        pages = sum(map(pages_for, token_counts))
        if self._cache.lacks(pages):
            # The graphs contain the addresses of the old cache.
            self._steps.clear()
            self._cache.grow(pages)

    def _add_slots(self, more: int) -> None:
        before = len(self._state.lengths)
        count = 1 << (before + more - 1).bit_length()
        state = State.empty(count, self._state.page_table.shape[1], self.weights.device)
        for name in _STATE_BUFFERS:
            getattr(state, name)[:before] = getattr(self._state, name)
        if self._seen is not None:
            # (count, vocabulary), uint8
            self._seen = torch.cat([self._seen, self._seen.new_zeros(count - before, self._seen.shape[1])])
        self._state = state
        self._steps.clear()
        self._free_slots += range(before, count)

    def take_slot(self, tokens: int) -> tuple[int, list[int]]:
        """Return the lowest free slot, and pages for `tokens` tokens; `reserve` must have been called."""
        slot = min(self._free_slots)
        self._free_slots.remove(slot)
        return slot, self._cache.allocate(pages_for(tokens))

    def activate(
        self,
        slot: int,
        pages: list[int],
        length: int,
        adapter: Adapter | None,
        adapters_in_use: dict[int, Adapter | None],
        sampler: TokenSampler | None,
    ) -> None:
        """Let a sequence whose prompt is in the cache take part in decode steps.

        Args:
            slot: Its slot.
            pages: Its pages.
            length: Number of its tokens in the cache.
            adapter: Its adapter; None for the base.
            adapters_in_use: Adapters of all active sequences by slot, which must stay loaded.
            sampler: Its sampler; None takes the most likely token.
        """
        adapter_slot = -1
        if adapter is not None:
            in_use = [one for one in adapters_in_use.values() if one is not None]
            adapter_slot = self._adapter_slots.slot_of(adapter, in_use)
        page_numbers = torch.tensor(pages, dtype=torch.int32)  # (pages,), int32
        self._state.page_table[slot, : len(pages)] = page_numbers.to(self.weights.device)
        self._state.adapter_slots[slot] = adapter_slot
        self._state.lengths[slot] = length
        if sampler is not None and sampler.sampling.repetition_penalty != 1:
            if self._seen is None:
                shape = (len(self._state.lengths), self.weights.vocabulary)
                self._seen = torch.zeros(shape, dtype=torch.uint8, device=self.weights.device)  # (slots, vocabulary)
            self._seen[slot] = 0
            seen_ids = torch.tensor(sorted(sampler.seen_ids), device=self.weights.device)  # (seen tokens,), int64
            self._seen[slot, seen_ids] = 1

    def add_page(self, slot: int, pages: list[int]) -> None:
        """Give a sequence one page more; it is appended to `pages` too."""
        if self._cache.lacks(1):
            self._steps.clear()
            self._cache.grow(1)
        pages += self._cache.allocate(1)
        self._state.page_table[slot, len(pages) - 1] = pages[-1]

    def move_to_lowest_slot(self, slot: int) -> int:
        """Move a sequence to the lowest free slot, and return that slot."""
        target = min(self._free_slots)
        for name in _STATE_BUFFERS:
            buffer = getattr(self._state, name)
            buffer[target] = buffer[slot]
        if self._seen is not None:
            self._seen[target] = self._seen[slot]
        self._free_slots.remove(target)
        self._free_slot(slot)
        return target

    def release(self, slot: int, pages: list[int]) -> None:
        """Free the slot and the pages of a sequence."""
        self._free_slot(slot)
        self._cache.free(pages)

    def _free_slot(self, slot: int) -> None:
        self._state.lengths[slot] = -1
        self._state.adapter_slots[slot] = -1
        self._free_slots.append(slot)

    # Steps

    def prefill(self, segments: list[Segment]) -> torch.Tensor:
        """Read parts of prompts; return the logits (segments, vocabulary) after each part."""
        return self._prefill.read(segments)

    @staticmethod
    def bucket(slots: int) -> int:
        """Return a number of slots rounded up to a power of two: the size of the captured step."""
        return 1 << max(0, slots - 1).bit_length()

    def decode(self, slots: int, has_adapters: bool) -> torch.Tensor:
        """Decode one token of the sequences in the first `slots` slots.

        Args:
            slots: Number of slots, the highest one in use included.
            has_adapters: Whether any of the sequences has an adapter.

        Returns:
            Logits (bucket, vocabulary) by slot; valid until the next step.
        """
        if self._steps_adapter_version != self._adapter_slots.version:
            self._steps.clear()
            self._steps_adapter_version = self._adapter_slots.version
        key = (self.bucket(slots), has_adapters)
        if key not in self._steps:
            self._steps[key] = step = self._new_step(*key)
            if self._uses_graphs:
                step.capture()
        self._steps[key].run()
        return self._steps[key].logits

    def sample(
        self, logits: torch.Tensor, samplers: list[tuple[int, TokenSampler | None]], rows: list[int] | None = None
    ) -> StepResult:
        """Sample the next token of each sequence, and put it where the next step reads it.

        Args:
            logits: (any, vocabulary).
            samplers: Slot and sampler of each sequence; None takes the most likely token.
            rows: The sequences' rows of the logits; None if the row of each sequence has the number of its slot.
        """
        rows = [slot for slot, _ in samplers] if rows is None else rows
        key = [(slot, id(sampler)) for slot, sampler in samplers]
        if self._sampler[0] != key:
            self._sampler = key, BatchSampler(samplers, self.weights.vocabulary, self.weights.device)
        if self._rows[0] != rows:
            self._rows = rows, torch.tensor(rows, device=self.weights.device)  # (n,), int64
        values = self._sampler[1].sample(logits, self._seen, self._state.tokens, self._rows[1])  # (n, 2), float64
        return self._copy_to_host(logits, values)

    def _copy_to_host(self, logits: torch.Tensor, values: torch.Tensor) -> StepResult:
        if values.device.type != "cuda":
            return StepResult(logits, values, None)
        # Each result under way has its own pinned buffer, so that the copy does not wait for the host.
        if not self._host_buffers or self._host_buffers[0].shape[0] < len(values):
            self._host_buffers = [
                torch.empty(len(values), 2, dtype=torch.float64, pin_memory=True) for _ in range(_HOST_BUFFERS)
            ]
        self._host_buffers.append(self._host_buffers.pop(0))
        buffer = self._host_buffers[-1][: len(values)]  # (n, 2), float64, pinned
        buffer.copy_(values, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()
        return StepResult(logits, buffer, copied)

    def set_token(self, slot: int, token: int) -> None:
        """Set the next token of a sequence that chose it from the logits itself."""
        self._state.tokens[slot] = token
