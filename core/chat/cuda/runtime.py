"""What decoders of one model share on the GPU: weights as the kernels read them, pages, adapters, places and graphs."""

import weakref
from dataclasses import dataclass

import torch

from core.chat.adapters import Adapter
from core.chat.cuda.adapter_slots import Slots
from core.chat.cuda.batch_sampler import Drawing
from core.chat.cuda.decode_graph import State, Step, compiled
from core.chat.cuda.paged_kv_cache import PAGE, Pages, needed
from core.chat.cuda.prefill import Prefill, Segment
from core.chat.cuda.weights import Weights
from core.chat.sampler import TokenSampler

_PLACES = 8  # at first


@dataclass(frozen=True, eq=False)
class Told:
    """What a step found, on its way to the host. logits: (any, vocabulary), good until the next step."""

    logits: torch.Tensor
    values: torch.Tensor
    there: torch.cuda.Event | None

    def read(self) -> tuple[list[int], list[float]]:
        """Tokens and their log-probabilities, waiting for them."""
        if self.there is not None:
            self.there.synchronize()
        tokens, logprobs = self.values.T.tolist()
        return [int(token) for token in tokens], logprobs


class CudaRuntime:
    """Attributes: page: tokens a page."""

    page = PAGE

    def __init__(self, model: torch.nn.Module, graphs: bool = True):
        """
        Args:
            graphs: replay each step; False launches its kernels one by one.
        """
        with torch.inference_mode():
            self.weights = weights = Weights(model)
            self._pages = Pages(len(weights.blocks), weights.key_heads, weights.head, weights.dtype, weights.device)
            self._slots = Slots(weights)
            self._prefill = Prefill(weights, self._pages)
            self._state = State.empty(_PLACES, needed(weights.context) + 1, weights.device)
            self._said: torch.Tensor | None = None
        self._graphs = graphs
        self._free = list(range(_PLACES))
        self._steps: dict[tuple[int, bool], Step] = {}
        self._step_slots = self._slots.version
        self._drawing: tuple[list[tuple[int, int]], Drawing | None] = ([], None)  # for the rows of the last step
        self._rows: tuple[list[int], torch.Tensor | None] = ([], None)
        self._room: list[torch.Tensor] = []
        self._owner: weakref.ref = lambda: None
        if graphs:
            self._get_ready()

    @torch.inference_mode()
    def _get_ready(self) -> None:
        """Have what the first question needs compiled while the model is loading."""
        self._pages.grow(1)
        for rows in (1, 2):
            self._steps[rows, False] = Step(self.weights, self._pages, self._state, self._slots, rows, False)
        compiled([*self._prefill.kernels(), *self._steps[2, False].kernels(), *self._steps[1, False].kernels()])
        self._steps.clear()

    @torch.inference_mode()
    def begin(self, owner: object) -> None:
        """Let a decoder have the machine; the rows of the one before are dropped."""
        before = self._owner()
        if before is not None:
            before.clear()
        elif len(self._free) < len(self._state.lengths):  # it is gone, and left its rows
            self._forget_all()
        self._owner = weakref.ref(owner)

    def check(self, owner: object) -> None:
        if self._owner() is not owner:
            raise RuntimeError("another decoder of this model has begun since; only one may be used at a time")

    def _forget_all(self) -> None:
        self._state.lengths.fill_(-1)
        self._free = list(range(len(self._state.lengths)))
        self._pages.free_all()

    # Places

    def room_for(self, counts: list[int]) -> None:
        """Have places and pages for rows of so many tokens."""
        if (short := len(counts) - len(self._free)) > 0:
            self._add_places(short)
        wanted = sum(map(needed, counts))
        if self._pages.short(wanted):
            self._steps.clear()
            self._pages.grow(wanted)

    def _add_places(self, more: int) -> None:
        before = len(self._state.lengths)
        count = 1 << (before + more - 1).bit_length()
        state = State.empty(count, self._state.table.shape[1], self.weights.device)
        for name in ("tokens", "lengths", "slots", "table"):
            getattr(state, name)[:before] = getattr(self._state, name)
        if self._said is not None:
            self._said = torch.cat([self._said, self._said.new_zeros(count - before, self._said.shape[1])])
        self._state = state
        self._steps.clear()
        self._free += range(before, count)

    def seat(self, count: int) -> tuple[int, list[int]]:
        """The lowest free place, and pages for so many tokens."""
        place = min(self._free)
        self._free.remove(place)
        return place, self._pages.take(needed(count))

    def start(
        self, place: int, pages: list[int], length: int, adapter: Adapter | None, used: dict[int, Adapter | None],
        picker: TokenSampler | None,
    ) -> None:  # fmt: skip
        """A row whose `length` tokens are in its pages writes from now on.

        Args:
            used: the adapters of all that write, which must stay.
        """
        slot = -1 if adapter is None else self._slots.place(adapter, [one for one in used.values() if one is not None])
        self._state.table[place, : len(pages)] = torch.tensor(pages, dtype=torch.int32).to(self.weights.device)
        self._state.slots[place] = slot
        self._state.lengths[place] = length
        if picker is not None and picker.sampling.repetition_penalty != 1:
            if self._said is None:
                shape = (len(self._state.lengths), self.weights.vocabulary)
                self._said = torch.zeros(shape, dtype=torch.uint8, device=self.weights.device)
            self._said[place] = 0
            self._said[place, torch.tensor(sorted(picker.said), device=self.weights.device)] = 1

    def lengthen(self, place: int, pages: list[int]) -> None:
        """One page more for a row, in `pages`, too."""
        if self._pages.short(1):
            self._steps.clear()
            self._pages.grow(1)
        pages += self._pages.take(1)
        self._state.table[place, len(pages) - 1] = pages[-1]

    def lower_place(self, place: int) -> int:
        """Move a row to the lowest free place; which that is."""
        to = min(self._free)
        for name in ("tokens", "lengths", "slots", "table"):
            kept = getattr(self._state, name)
            kept[to] = kept[place]
        if self._said is not None:
            self._said[to] = self._said[place]
        self._free.remove(to)
        self._vacate(place)
        return to

    def leave(self, place: int, pages: list[int]) -> None:
        self._vacate(place)
        self._pages.give(pages)

    def _vacate(self, place: int) -> None:
        self._state.lengths[place] = -1
        self._state.slots[place] = -1
        self._free.append(place)

    # Work

    def read(self, segments: list[Segment]) -> torch.Tensor:
        return self._prefill.read(segments)

    @staticmethod
    def bucket(rows: int) -> int:
        """Places that a step is captured for, when so many are wanted."""
        return 1 << max(0, rows - 1).bit_length()

    def step(self, rows: int, tuned: bool) -> torch.Tensor:
        """A token of the rows at the first `rows` places; their logits (at least that many, vocabulary)."""
        if self._step_slots != self._slots.version:
            self._steps.clear()
            self._step_slots = self._slots.version
        key = (self.bucket(rows), tuned)
        if key not in self._steps:
            self._steps[key] = made = Step(self.weights, self._pages, self._state, self._slots, *key)
            if self._graphs:
                made.capture()
        self._steps[key].run()
        return self._steps[key].logits

    def sample(
        self, logits: torch.Tensor, who: list[tuple[int, TokenSampler | None]], rows: list[int] | None = None
    ) -> Told:
        """The next token of each row, put where the next step finds it.

        Args:
            who: places and pickers; None takes the likeliest.
            rows: which rows of the logits are theirs; None: those of their places.
        """
        rows = [place for place, _ in who] if rows is None else rows
        key = [(place, id(picker)) for place, picker in who]
        if self._drawing[0] != key:
            self._drawing = key, Drawing(who, self.weights.vocabulary, self.weights.device)
        if self._rows[0] != rows:
            self._rows = rows, torch.tensor(rows, device=self.weights.device)
        values = self._drawing[1].draw(logits, self._said, self._state.tokens, self._rows[1])
        return self._sent(logits, values)

    def _sent(self, logits: torch.Tensor, values: torch.Tensor) -> Told:
        if values.device.type != "cuda":
            return Told(logits, values, None)
        # a host buffer of its own for each step under way: there are three at most
        if not self._room or self._room[0].shape[0] < len(values):
            self._room = [torch.empty(len(values), 2, dtype=torch.float64, pin_memory=True) for _ in range(4)]
        self._room.append(self._room.pop(0))
        buffer = self._room[-1][: len(values)]
        buffer.copy_(values, non_blocking=True)
        there = torch.cuda.Event()
        there.record()
        return Told(logits, buffer, there)

    def say(self, place: int, token: int) -> None:
        """The token that a row picked itself."""
        self._state.tokens[place] = token
