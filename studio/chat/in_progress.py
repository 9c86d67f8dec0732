"""Answers being written into a conversation, and a snapshot of them to save at any moment."""

import threading
from dataclasses import dataclass, field

from core.chat.conversation import Answer, Conversation, Turn
from core.chat.engine import Ticket
from core.chat.types import End, LaneAnswer


@dataclass
class AnswersInProgress:
    """Answers being written into the last turn of a conversation.

    Attributes:
        conversation: as it was when the answers began; `snapshot` adds what has been written since.
        lanes: the conversation's lanes that are answered; position N is lane N of the ticket.
        page: session hash of the page that asked.
        continued: the answer that each lane continues, by lane.
        settings: the settings that each lane's answer is written with, by lane.
        ticket: the question in the engine's queue; None until it is made.
        stopped: lanes that were stopped.
        saved: set once the final state is on disk.
    """

    conversation: Conversation
    lanes: list[int]
    page: str
    continued: dict[int, Answer] = field(default_factory=dict)
    settings: dict[int, dict] = field(default_factory=dict)
    ticket: Ticket | None = None
    stopped: set[int] = field(default_factory=set)
    saved: threading.Event = field(default_factory=threading.Event)

    def answer(self, lane: int) -> LaneAnswer | None:
        """Return what a lane has written so far; None if the lane is not being answered or still waits."""
        if self.ticket is None or lane not in self.lanes or not self.ticket.answers:
            return None
        return self.ticket.answers[self.lanes.index(lane)]

    def enter_queue(self, ticket: Ticket) -> None:
        """Set the ticket, and stop those of its lanes that were stopped before there was one."""
        self.ticket = ticket
        for lane in self.stopped:
            ticket.stop(self.lanes.index(lane))

    def stop(self, lane: int | None = None) -> None:
        """Stop one lane, or all of them; a lane that is not being answered is ignored."""
        for stopping in self.lanes if lane is None else [lane]:
            if stopping in self.lanes:
                # Recorded before the ticket is looked at: if the ticket is set in between, `enter_queue` finds it here.
                self.stopped.add(stopping)
                if self.ticket:
                    self.ticket.stop(self.lanes.index(stopping))

    def snapshot(self, unfinished: End) -> Conversation:
        """Return a copy of the conversation with the text written so far.

        Args:
            unfinished: the reason to give for answers that have not ended.
        """
        turn = self.conversation.turns[-1]
        answers = [list(attempts) for attempts in turn.answers]
        for lane in self.lanes:
            written, continued, attempts = self.answer(lane), self.continued.get(lane), answers[lane]
            # An answer without a token of its own is dropped, unless the model chose to end at once.
            if written and (written.tokens > written.continued or written.end == "end"):
                answer = Answer.of(written, self.conversation.lanes[lane], self.settings[lane], continued)
                answer.end = written.end or unfinished
                # A continued answer replaces the one that it continues.
                if continued in attempts:
                    attempts.remove(continued)
                attempts.append(answer)
        changed: Turn = turn.model_copy(update={"answers": answers})
        return self.conversation.model_copy(update={"turns": [*self.conversation.turns[:-1], changed]})
