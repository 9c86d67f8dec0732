"""Entry of the engine's queue: resolved lanes with their answers, from the question to the last token."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.chat.types import BaseIdentity, Generation, LaneRequest, Prompt, ResolvedLanes
from core.runs.exported import ExportedModel

WAITING = "Waiting"


# Compared by identity: two people may ask the same question, and each has an entry.
@dataclass(eq=False)
class QueueEntry:
    """A question that waits in the engine or is being answered.

    Attributes:
        request: The lanes to answer. The engine may replace it by one with shorter answers (`VisitorQuota`).
        generations: One per lane.
        stage: What the question waits for, as shown on the page; empty while its answers are written.
        error: Why it failed.
        is_done: Whether all lanes have ended.
        has_priority: Whether it is the owner's, which is queued before visitors' questions.
        stopped_lanes: Indices of lanes that are to end after the current token.
        prompts: Rendered prompt of each decoded lane, by its index; empty until the engine first tries to admit the
            question. They are kept, because it tries again before every token of the other answers.
        is_admitted: Whether its answers have begun.
        asked: When it was asked, by `time.monotonic`.
    """

    request: ResolvedLanes
    generations: list[Generation] = field(default_factory=list)
    stage: str = WAITING
    error: Exception | None = None
    is_done: bool = False
    has_priority: bool = False
    stopped_lanes: set[int] = field(default_factory=set)
    prompts: dict[int, Prompt] = field(default_factory=dict)
    is_admitted: bool = False
    asked: float = field(default_factory=time.monotonic)

    @property
    def base(self) -> BaseIdentity:
        """Return the base model that must be loaded."""
        return self.request.base

    @property
    def lanes(self) -> list[LaneRequest]:
        """Return the lanes to answer."""
        return self.request.lanes

    @property
    def decoded_lanes(self) -> list[int]:
        """Return the indices of the lanes whose answers are decoded; the others are classifiers."""
        return [index for index, lane in enumerate(self.lanes) if lane.adapter not in self.request.classifiers]

    @property
    def prompt_tokens(self) -> int:
        """Return the tokens that are read before the answers, those of continued answers included; 0 until rendered."""
        return sum(len(prompt.ids) + len(self.lanes[index].prefix_ids) for index, prompt in self.prompts.items())

    @property
    def models(self) -> list[ExportedModel | None]:
        """Return the files that must be loaded, after None if lanes of the base model are decoded, too."""
        found = dict.fromkeys(self._model_of(index) for index in self.decoded_lanes)
        return sorted(found, key=lambda file: file is not None)

    def lanes_of(self, model: ExportedModel | None) -> list[int]:
        """Return the indices of the lanes that a file decodes; None for those of the base model."""
        return [index for index in self.decoded_lanes if self._model_of(index) == model]

    def _model_of(self, index: int) -> ExportedModel | None:
        return self.request.exported.get(self.lanes[index].adapter or "")

    @property
    def is_stopped(self) -> bool:
        """Return whether every lane is to end."""
        return len(self.stopped_lanes) == len(self.lanes)

    def stop(self, lane: int | None = None) -> None:
        """End one lane after the current token; all lanes if no index is given."""
        self.stopped_lanes |= {lane} if lane is not None else set(range(len(self.lanes)))


def insertion_index(waiting: Sequence[QueueEntry], entry: QueueEntry) -> int:
    """Return the index at which a question enters the queue: the owner's come before those of visitors."""
    if not entry.has_priority:
        return len(waiting)
    return next((i for i, one in enumerate(waiting) if not one.has_priority), len(waiting))


@dataclass(frozen=True)
class ActiveEntry:
    """A question that is being answered, with the bytes that its keys and values may take."""

    entry: QueueEntry
    cache_bytes: int
