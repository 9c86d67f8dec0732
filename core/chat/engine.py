"""One engine for all who chat: one base model in memory, whose lanes decode together, and a queue before it.

Whoever asks gets a ticket. Tickets are let in in the order they came, as many at once as rows and memory allow; those
for another base model wait until the present one has nothing left to say. A thread of its own owns the model.
"""

import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from core.chat import arbiter
from core.chat.base import Base
from core.chat.throttle import Throttle
from core.chat.types import Lane, LaneAnswer
from core.chat.visitor_quota import VisitorQuota
from core.errors import StudioError
from core.hardware import gpu
from core.models.loading import load_base
from core.runs.store import RunStore
from core.settings import Settings
from core.system.memory import give_back

if TYPE_CHECKING:
    from core.chat.decoder import Decoder, TokenSequence
    from core.chat.lanes import Lanes

MOST_ROWS = 32  # that decode together: on two cores 32 take 1.3 times as long as 8, so fewer would only wait longer
_KEPT_ADAPTERS = 12
_CACHE_SHARE = 0.6  # of the memory that is free once the model is loaded


@dataclass
class Ticket:
    """A question in one or more lanes, from its place in the queue to its last token.

    Attributes:
        adapters: the folder of each lane's adapter, by the name that the lane gives it.
        answers: one a lane.
        stage: what it waits for, in words; empty while its answers are written.
    """

    base: Base
    lanes: list[Lane]
    adapters: dict[str, Path]
    answers: list[LaneAnswer] = field(default_factory=list)
    stage: str = "Waiting"
    error: Exception | None = None
    done: bool = False
    stopping: set[int] = field(default_factory=set)

    def stop(self, lane: int | None = None) -> None:
        """End one lane, or all, after the present token."""
        self.stopping |= {lane} if lane is not None else set(range(len(self.lanes)))


class Engine:
    """Takes questions from any thread."""

    def __init__(self, settings: Settings, most_rows: int = MOST_ROWS):
        self.settings, self.store = settings, RunStore(settings)
        self.visitor_quota, self.throttle = VisitorQuota(settings), Throttle(self.store)
        self.notice = ""  # what the page should say of a model that is gone
        self._most_rows = most_rows
        self._changed = threading.Condition()
        self._news = 0  # counts what was told, so that nobody misses a word between two looks
        self._waiting: deque[Ticket] = deque()
        self._active: list[tuple[Ticket, list[TokenSequence], int]] = []  # with the bytes of their caches
        self._lanes: Lanes | None = None
        self._decoder: Decoder | None = None
        self._base: Base | None = None
        self._budget = 0.0
        self._leaving = False
        self._thread: threading.Thread | None = None

    @property
    def loaded(self) -> Base | None:
        """The base model in memory."""
        return self._base

    @property
    def decoding_note(self) -> str:
        """How the loaded model's answers are decoded, in words; empty when none is loaded."""
        return self._lanes.decoding_note if self._lanes else ""

    def queue_position(self, ticket: Ticket) -> int:
        """How many questions are before it, those that are being answered not counted."""
        with self._changed:
            return self._waiting.index(ticket) if ticket in self._waiting else 0

    def ask(self, ticket: Ticket) -> Iterator[Ticket]:
        """Queue a question; yields its ticket whenever there is something new, until all its lanes have ended.

        Whoever stops reading, stops the answers. Raises what went wrong, StudioError for what a person can mend.
        """
        settle = self.visitor_quota.take(ticket)
        ticket.answers = [LaneAnswer() for _ in ticket.lanes]
        with self._changed:
            if not (self._waiting or self._active):  # nobody is before it
                ticket.stage = "" if ticket.base == self._base else _loading(ticket)
            self._waiting.append(ticket)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="studio-chat", daemon=True)
                self._thread.start()
            self._tell_all()
        seen, done = -1, False
        try:
            while not done:
                seen, done = self._await_news(seen, ticket)
                if ticket.error:
                    raise ticket.error
                yield ticket
        finally:
            ticket.stop()
            settle()

    def _await_news(self, seen: int, ticket: Ticket) -> tuple[int, bool]:
        """How much news there is now, more than `seen`, and whether the ticket is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._news != seen)
            return self._news, ticket.done

    def unload(self) -> int:
        """Free the model's memory, once the answers that are being written have ended; how many bytes came back."""
        if self._base is None:
            return 0
        held = _held()
        with self._changed:
            self._leaving = True
            self._tell_all()
            self._changed.wait_for(lambda: not self._leaving)
        return max(0, held - _held())

    def yield_to_run(self) -> None:
        """Unload the model when a run that is about to load needs its memory of the GPU; `notice` says so."""
        run = self.store.active() if self._base else None
        if (
            run is None
            or run.state().status != "preparing"
            or not arbiter.needs_chat_memory(self.settings, run.config())
        ):
            return
        name = self._base.model.name
        self.unload()
        self.notice = (
            f"{name} left the GPU, as the run {run.title} needs its memory. It is loaded again when the run has ended "
            "and you ask something."
        )

    # In the engine's own thread

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._active or self._leaving):
                    self._changed.wait()
            try:
                self._turn()
            except Exception as error:  # of the model: whoever is being answered is told, the queue goes on
                if not isinstance(error, StudioError):
                    traceback.print_exc(file=sys.stderr)
                self._fail(error)

    def _turn(self) -> None:
        if self._leaving and not self._active:
            self._drop()
            with self._changed:
                self._leaving = False
                self._tell_all()
        if not self._leaving:
            self._admit()
        if self._active:
            self.throttle.step(self._decoder.step, self._lanes.model.device.type)
        self._settle()

    def _admit(self) -> None:
        """Let in those who wait, in their order, until one does not fit."""
        for ticket in [ticket for ticket in self._waiting if len(ticket.stopping) == len(ticket.lanes)]:
            self._leave_queue(ticket)
            self._end(ticket)
        while self._waiting:
            ticket = self._waiting[0]
            if self._active and (ticket.base != self._base or self._rows() + len(ticket.lanes) > self._most_rows):
                return
            try:
                if not self._let_in(ticket):
                    return
            except Exception as error:
                if not isinstance(error, StudioError):
                    traceback.print_exc(file=sys.stderr)
                self._end(ticket, error)
            self._leave_queue(ticket)

    def _leave_queue(self, ticket: Ticket) -> None:
        with self._changed:
            self._waiting.remove(ticket)
            self._tell_all()

    def _let_in(self, ticket: Ticket) -> bool:
        """Whether it is in. Raises StudioError when it cannot be answered at all."""
        if ticket.base != self._base:
            self._load(ticket)
        rows = [
            self._lanes.sequence(lane, answer, lambda at=at: at in ticket.stopping)
            for at, (lane, answer) in enumerate(zip(ticket.lanes, ticket.answers, strict=True))
        ]
        tokens = sum(
            len(row.prompt_ids) + lane.sampling.max_new_tokens for row, lane in zip(rows, ticket.lanes, strict=True)
        )
        size = tokens * self._lanes.bytes_per_token()
        if size + sum(held for *_, held in self._active) > self._budget:
            if self._active:
                return False
            raise StudioError(
                f"The conversation takes {size / 2**30:.1f} GiB of memory beside the model, and "
                f"{self._budget / 2**30:.1f} GiB are free for it. Lower the length, or use fewer lanes."
            )
        self._bring_adapters(ticket)
        self._decoder.join(rows)
        self._active.append((ticket, rows, size))
        ticket.stage = ""
        return True

    def _load(self, ticket: Ticket) -> None:
        self._tell(ticket, _loading(ticket))
        from core.chat.lanes import Lanes

        self._drop()
        arbiter.check_fits_beside_run(self.store, ticket.base.config)
        beside = arbiter.check_fits_beside_evaluation(self.store, ticket.base.config)
        self._lanes = Lanes(
            load_base(ticket.base.model, ticket.base.precision, ticket.base.attention), self.settings.fast_chat
        )
        self._decoder = self._lanes.decoder()
        self._base, self.notice = ticket.base, ""
        card = gpu.memory() if self._lanes.model.device.type == "cuda" else None
        self._budget = (card.free if card else psutil.virtual_memory().available) * _CACHE_SHARE
        if beside:
            self._budget = min(self._budget, arbiter.CACHES)  # what was asked for beside the evaluation

    def _bring_adapters(self, ticket: Ticket) -> None:
        adapters = self._lanes.adapters
        wanted = {lane.adapter for lane in ticket.lanes if lane.adapter}
        if missing := [name for name in wanted if name not in adapters]:
            used = wanted | {lane.adapter for active, *_ in self._active for lane in active.lanes if lane.adapter}
            others = [name for name in adapters if name not in used]
            adapters.keep_only([*used, *others[max(0, len(others) + len(missing) - _KEPT_ADAPTERS) :]])
        for name in missing:
            self._tell(ticket, "Loading the adapter")
            self._lanes.add_adapter(name, ticket.adapters[name])

    def _settle(self) -> None:
        """Tell everybody what is new, and end those whose lanes have all ended."""
        for active in [active for active in self._active if all(answer.end for answer in active[0].answers)]:
            self._active.remove(active)
            error = next((answer.error for answer in active[0].answers if answer.error), None)
            self._end(active[0], error)
        with self._changed:
            self._tell_all()

    def _tell_all(self) -> None:
        self._news += 1
        self._changed.notify_all()

    def _rows(self) -> int:
        return sum(not answer.end for ticket, *_ in self._active for answer in ticket.answers)

    def _tell(self, ticket: Ticket, stage: str) -> None:
        with self._changed:
            ticket.stage = stage
            self._tell_all()

    def _end(self, ticket: Ticket, error: Exception | None = None) -> None:
        for answer in ticket.answers:
            answer.end = answer.end or ("failed" if error else "stopped")
        with self._changed:
            ticket.error, ticket.done, ticket.stage = error, True, ""
            self._tell_all()

    def _fail(self, error: Exception) -> None:
        active, self._active = self._active, []
        for ticket, *_ in active:
            self._end(ticket, error)
        self._drop()

    def _drop(self) -> None:
        self._lanes = self._decoder = self._base = None
        give_back()
        import torch

        if torch.cuda.is_available():
            torch._C._cuda_clearCublasWorkspaces()  # 32 MiB for each stream that multiplied, which the library keeps
            torch.cuda.empty_cache()


def _loading(ticket: Ticket) -> str:
    return f"Loading {ticket.base.model.name}"


def _held() -> int:
    """Bytes of the GPU that torch's allocator holds, or of the process where there is no GPU."""
    import torch

    return torch.cuda.memory_reserved() if torch.cuda.is_available() else psutil.Process().memory_info().rss
