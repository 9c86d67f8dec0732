"""A question with its answers, and the model of a lane, as conversations store them."""

import hashlib
import secrets
from typing import Any

from pydantic import BaseModel, Field

from core.chat.types import GenerationResult, adapter_key

MAX_LANES = 4
# Stands in for an adapter's name where a lane of a run shows the base model.
BASE = "base"


class LaneChoice(BaseModel):
    """Model of a lane as it was chosen.

    Attributes:
        run: A run; empty for the base model.
        adapter: "final", "step N", or "base" for the model the run began from.
        newest: Whether the lane follows the run's newest adapter until another one is chosen.
        own: Settings that only this lane has.
    """

    run: str = ""
    adapter: str = "final"
    newest: bool = False
    own: dict[str, Any] = Field(default_factory=dict)

    @property
    def run_and_adapter(self) -> tuple[str, str]:
        """Return the run and the adapter that answer; both empty for the base model."""
        return (self.run, self.adapter) if self.run and self.adapter != BASE else ("", "")

    @property
    def adapter_key(self) -> str | None:
        """Return the key of the adapter that answers, as a `LaneRequest` takes it; None for the base model."""
        return adapter_key(*self.run_and_adapter)


class Turn(BaseModel):
    """A question with its answers.

    Attributes:
        reference: The answer in the held-out row that the question is from.
        answers: All attempts of each lane, the shown one last; empty for a lane that has not answered yet.
        blind: Whether the question was asked in blind mode.
        order: Lanes in their order on the screen.
        verdict: Result of the vote on these answers.
        chosen: Name of the model that won the vote.
    """

    id: str = Field(default_factory=lambda: secrets.token_hex(8))
    prompt: str
    reference: str = ""
    answers: list[list[GenerationResult]] = Field(default_factory=lambda: [[] for _ in range(MAX_LANES)])
    blind: bool = False
    order: list[int] = Field(default_factory=lambda: list(range(MAX_LANES)))
    verdict: str = ""
    chosen: str = ""

    @property
    def hidden(self) -> bool:
        """Return whether the models' names are hidden until the vote."""
        return self.blind and not self.verdict

    def shown(self, lane: int) -> GenerationResult | None:
        """Return the answer of a lane that is shown."""
        return self.answers[lane][-1] if self.answers[lane] else None

    def show_other_attempt(self, lane: int) -> None:
        """Show the attempt before the shown one; after the oldest, the newest."""
        if self.answers[lane]:
            self.answers[lane].insert(0, self.answers[lane].pop())

    def shuffle(self, lanes: int) -> None:
        """Put the first `lanes` lanes into a random order on the screen."""
        positions = list(range(lanes))
        # Not a seeded generator: a voter must not be able to guess the order.
        secrets.SystemRandom().shuffle(positions)
        self.order = [*positions, *range(lanes, MAX_LANES)]


def branch_key(turns: list[Turn]) -> str:
    """Return a hash of a branch's content, so that a branch keeps its key when others are added or removed."""
    content = "".join(turn.model_dump_json() for turn in turns)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def begins_with(turns: list[Turn], beginning: list[Turn]) -> bool:
    """Return whether turns begin with others, their answers and votes included."""
    return turns[: len(beginning)] == beginning
