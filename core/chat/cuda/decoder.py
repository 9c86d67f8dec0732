"""The decoder of `core.chat.decoder` on a GPU: the same rows, joining and leaving at any step, one graph a step.

The host runs one step behind the GPU: while it turns the tokens of one step into text, the next is under way. A row
that ends costs its share of one step more. Rows whose adapters are more than LoRA go to the plain decoder, beside the
others.
"""

from collections import deque
from dataclasses import dataclass

import torch

from core.chat.adapters import Adapter, RowAdapters
from core.chat.cuda.prefill import Segment
from core.chat.cuda.runtime import CudaRuntime, Told
from core.chat.cuda.support import plain_lora
from core.chat.decoder import Decoder, TokenSequence

CHUNK = 1024  # tokens of prompts that are read at once
OFFLINE_CHUNK_TOKENS = 4096  # the same where nobody waits for the next word: weights are unpacked a quarter as often


@dataclass(eq=False)
class _Seat:
    """A row at its place.

    Attributes:
        read: tokens of the prompt that are in the cache.
        length: tokens in the cache, those of steps under way included.
    """

    row: TokenSequence
    place: int
    adapter: Adapter | None
    pages: list[int]
    read: int = 0
    length: int = 0

    @property
    def draws(self) -> bool:
        """Whether its tokens are picked without asking it."""
        return bool(self.row.on_argmax or self.row.on_token)


class CudaDecoder:
    """Steps through rows over one model. Only one decoder may use a machine at a time."""

    def __init__(self, machine: CudaRuntime, adapters: RowAdapters, pad: int = 0, chunk: int = CHUNK):
        self._machine, self._adapters, self._chunk = machine, adapters, chunk
        self._plain = Decoder(machine.weights.model, adapters, pad)
        self._reading: deque[_Seat] = deque()
        self._writing: dict[int, _Seat] = {}
        self._under_way: deque[tuple[list[tuple[_Seat, int]], Told]] = deque()  # with their rows in it
        machine.begin(self)

    @property
    def sequences(self) -> list[TokenSequence]:
        """All rows, those whose prompts are still being read included."""
        seats = [*self._writing.values(), *self._reading]
        return [*(seat.row for seat in seats), *self._plain.sequences]

    @torch.inference_mode()
    def join(self, rows: list[TokenSequence]) -> None:
        """Let rows begin."""
        self._machine.check(self)
        adapters = {row.adapter: self._adapters.get(row.adapter) for row in rows if row.adapter is not None}
        layers = len(self._machine.weights.blocks)
        served = {name: plain_lora(adapter, layers) for name, adapter in adapters.items()}
        if others := [row for row in rows if not served.get(row.adapter, True)]:
            self._plain.join(others)
        ours = [row for row in rows if served.get(row.adapter, True)]
        counts = [len(row.prompt_ids) + max(row.max_new_tokens, 1) for row in ours]
        self._machine.room_for(counts)
        for row, count in zip(ours, counts, strict=True):
            place, pages = self._machine.seat(count)
            self._reading.append(_Seat(row, place, adapters.get(row.adapter), pages))

    @torch.inference_mode()
    def step(self) -> bool:
        """Read a chunk of prompts, if some wait, and write a token of every row that writes; whether any row is left.

        What a row raises goes through, and leaves the decoder unusable: `clear` it.
        """
        self._machine.check(self)
        if self._plain.sequences:
            self._plain.step()
        self._leave([seat for seat in self._writing.values() if seat.row.is_cancelled()])
        if self._reading:
            self._read()
        if not all(seat.draws for seat in self._writing.values()):
            self._collect(0)  # a row that picks its token itself must have done so before the next step
        launched = bool(self._writing)
        if launched:
            self._write()
        self._collect(1 if launched else 0)
        if not self._writing:
            self._under_way.clear()
        return bool(self._writing or self._reading or self._plain.sequences)

    @torch.inference_mode()
    def clear(self) -> None:
        """Drop every row."""
        self._plain.clear()
        self._under_way.clear()
        seats = [*self._writing.values(), *self._reading]
        self._writing.clear()
        self._reading.clear()
        for seat in seats:
            self._machine.leave(seat.place, seat.pages)

    def _leave(self, seats: list[_Seat]) -> None:
        for seat in seats:
            del self._writing[seat.place]
            self._machine.leave(seat.place, seat.pages)

    def _read(self) -> None:
        """A chunk of the prompts that wait, in their order; whoever is read through writes from now on."""
        for seat in [seat for seat in self._reading if seat.row.is_cancelled()]:
            self._reading.remove(seat)
            self._machine.leave(seat.place, seat.pages)
        chosen, segments, left = [], [], self._chunk
        for seat in self._reading:
            if not left:
                break
            end = min(len(seat.row.prompt_ids), seat.read + left)
            segments.append(Segment(seat.row.prompt_ids[seat.read : end], seat.read, seat.pages, seat.adapter))
            left -= end - seat.read
            seat.read = end
            chosen.append(seat)
        if not segments:
            return
        logits = self._machine.read(segments)
        done = [at for at, seat in enumerate(chosen) if seat.read == len(seat.row.prompt_ids)]
        if not done:
            return
        seats = [chosen[at] for at in done]
        for seat in seats:
            self._reading.remove(seat)
        for seat in seats:
            seat.length = seat.read
            self._writing[seat.place] = seat
        used = {place: seat.adapter for place, seat in self._writing.items()}
        for seat in seats:
            self._machine.start(seat.place, seat.pages, seat.length, seat.adapter, used, seat.row.sampler)
        self._pick(logits, seats, done)

    def _write(self) -> None:
        self._close_up()
        seats = sorted(self._writing.values(), key=lambda seat: seat.place)
        for seat in seats:
            if len(seat.pages) * self._machine.page <= seat.length:
                self._machine.lengthen(seat.place, seat.pages)
            seat.length += 1
        logits = self._machine.step(seats[-1].place + 1, any(seat.adapter is not None for seat in seats))
        self._pick(logits, seats, [seat.place for seat in seats])

    def _close_up(self) -> None:
        """Move rows to lower places when fewer are enough for all."""
        bucket = self._machine.bucket
        while bucket(len(self._writing) + len(self._reading)) < bucket(max(self._writing) + 1):
            seat = self._writing.pop(max(self._writing))
            seat.place = self._machine.lower_place(seat.place)
            self._writing[seat.place] = seat

    def _pick(self, logits: torch.Tensor, seats: list[_Seat], rows: list[int]) -> None:
        told = self._machine.sample(logits, [(seat.place, seat.row.sampler) for seat in seats], rows)
        self._under_way.append((list(zip(seats, rows, strict=True)), told))

    def _collect(self, keep: int) -> None:
        """Hand the tokens out of all steps under way but the last `keep`."""
        while len(self._under_way) > keep:
            seats, told = self._under_way.popleft()
            tokens, logprobs = told.read()
            for (seat, row), token, logprob in zip(seats, tokens, logprobs, strict=True):
                if self._writing.get(seat.place) is seat:  # else it ended a step ago
                    self._hand(seat, told.logits[row], token, logprob)

    def _hand(self, seat: _Seat, logits: torch.Tensor, token: int, logprob: float) -> None:
        row = seat.row
        if row.is_cancelled():
            given = None
        elif row.on_argmax:
            given = row.on_argmax(token)
        elif row.on_token:
            given = row.on_token(token, logprob)
        else:
            given = row.on_logits(logits)
            if given is not None:
                self._machine.say(seat.place, given)
        if given is None:
            self._leave([seat])
