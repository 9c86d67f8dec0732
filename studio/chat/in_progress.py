"""Answers under way in a conversation, and what there is to keep of them at any moment."""

import threading
from dataclasses import dataclass, field

from core.chat.conversation import Conversation, Turn
from core.chat.queue import QueueEntry
from core.chat.types import End, Generation, GenerationResult


@dataclass
class Live:
    """Answers under way in a conversation.

    Attributes:
        lanes: which lanes of the conversation the ticket's lanes are.
        page: whose they are.
        before: the answers that are being continued, by lane.
        settings: of each lane, as its answer is written with.
        ended: set once all is kept.
    """

    kept: Conversation
    lanes: list[int]
    page: str
    before: dict[int, GenerationResult] = field(default_factory=dict)
    settings: dict[int, dict] = field(default_factory=dict)
    ticket: QueueEntry | None = None
    stopped: set[int] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)

    def answer(self, lane: int) -> Generation | None:
        """What a lane is writing."""
        if self.ticket is None or lane not in self.lanes or not self.ticket.generations:
            return None
        return self.ticket.generations[self.lanes.index(lane)]

    def so_far(self, unfinished: End) -> Conversation:
        """A copy of the conversation with the words there are now.

        Args:
            unfinished: why an answer that has not ended ends there.
        """
        turn = self.kept.turns[-1]
        answers = [list(tries) for tries in turn.answers]
        for lane in self.lanes:
            found, before, tries = self.answer(lane), self.before.get(lane), answers[lane]
            if found and (found.tokens > found.prefix_tokens or found.end == "end"):
                answer = GenerationResult.from_generation(
                    found, self.kept.lanes[lane].run_and_adapter, self.settings[lane], before
                )
                answer.end = found.end or unfinished
                if before in tries:
                    tries.remove(before)
                tries.append(answer)
        written: Turn = turn.model_copy(update={"answers": answers})
        return self.kept.model_copy(update={"turns": [*self.kept.turns[:-1], written]})
