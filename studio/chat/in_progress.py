"""Answers being written into a conversation, and a snapshot of them to save at any moment."""

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from core.chat.conversation import Conversation, Turn
from core.chat.queue_entry import WAITING, QueueEntry
from core.chat.types import End, Generation, GenerationResult


@dataclass
class AnswersInProgress:
    """Answers being written into the last turn of a conversation.

    Attributes:
        conversation: As it was when the answers began; `snapshot` adds what has been written since.
        lanes: The conversation's lanes that are answered; position N is lane N of the queue entry.
        page: Session hash of the page that asked.
        continued: The answer that each lane continues, by lane.
        settings: The settings that each lane's answer is written with, by lane.
        entry: The question in the engine's queue; None until it is made.
        stopped: Lanes that were stopped.
        number: A number that no other answers of this server have.
        queue_position: Returns how many questions wait before an entry.
        began: When they were asked for, by `time.monotonic`.
        released: Set once the conversation can be changed again: its final state is on disk, unless that failed.
    """

    conversation: Conversation
    lanes: list[int]
    page: str
    continued: dict[int, GenerationResult] = field(default_factory=dict)
    settings: dict[int, dict] = field(default_factory=dict)
    entry: QueueEntry | None = None
    stopped: set[int] = field(default_factory=set)
    number: int = field(default_factory=itertools.count().__next__)
    queue_position: Callable[[QueueEntry], int] = lambda entry: 0
    began: float = field(default_factory=time.monotonic)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def live_key(self) -> str:
        """Return what a page sends to read these answers while they are written."""
        return f"{self.conversation.id} {self.number}"

    @property
    def is_stopping(self) -> bool:
        """Return whether all lanes were stopped, and the engine has yet to end them."""
        return self.stopped.issuperset(self.lanes)

    def stage(self, lane: int) -> str:
        """Return what a lane without a text waits for, and for how long: "Loading the model · 3 s"."""
        return f"{self._stage(lane)} · {time.monotonic() - self.began:.0f} s"

    def _stage(self, lane: int) -> str:
        if lane in self.stopped:
            return "Stopping"
        if self.entry is None:
            return "Looking up the models"
        if self.entry.stage == WAITING:
            return f"Waiting for other answers, position {self.queue_position(self.entry) + 1}"
        return self.entry.stage.removesuffix(".") or "Reading the question"

    def answer(self, lane: int) -> Generation | None:
        """Return what a lane has written so far; None if the lane is not being answered or still waits."""
        if self.entry is None or lane not in self.lanes or not self.entry.generations:
            return None
        return self.entry.generations[self.lanes.index(lane)]

    def enter_queue(self, entry: QueueEntry) -> None:
        """Set the queue entry, and stop those of its lanes that were stopped before there was one."""
        self.entry = entry
        for lane in self.stopped:
            entry.stop(self.lanes.index(lane))

    def stop(self, lane: int | None = None) -> None:
        """Stop one lane, or all of them; a lane that is not being answered is ignored."""
        for stopping in self.lanes if lane is None else [lane]:
            if stopping in self.lanes:
                # Recorded before the entry is looked at: if it is set in between, `enter_queue` finds the stop here.
                self.stopped.add(stopping)
                if self.entry:
                    self.entry.stop(self.lanes.index(stopping))

    def snapshot(self, unfinished: End) -> Conversation:
        """Return a copy of the conversation with the text written so far.

        Args:
            unfinished: The reason to give for answers that have not ended.
        """
        turn = self.conversation.turns[-1]
        answers = [list(attempts) for attempts in turn.answers]
        for lane in self.lanes:
            written, continued, attempts = self.answer(lane), self.continued.get(lane), answers[lane]
            # An answer without a token of its own is dropped, unless the model chose to end at once.
            if written and (written.tokens > written.prefix_tokens or written.end == "end"):
                run_and_adapter = self.conversation.lanes[lane].run_and_adapter
                answer = GenerationResult.from_generation(written, run_and_adapter, self.settings[lane], continued)
                answer.end = written.end or unfinished
                # A continued answer replaces the one that it continues.
                if continued in attempts:
                    attempts.remove(continued)
                attempts.append(answer)
        changed: Turn = turn.model_copy(update={"answers": answers})
        return self.conversation.model_copy(update={"turns": [*self.conversation.turns[:-1], changed]})
