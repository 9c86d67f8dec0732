"""A conversation in lanes, as it is kept: questions, each lane's own answers, what was tried before.

    chats/<id>.json

Nothing that was said is lost: an answer that is written anew stays among the earlier ones, and a question that is
edited or taken back leaves its old turns behind as a branch.
"""

import secrets
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from core.chat.answer import End, LaneAnswer
from core.data.formats import Message
from core.errors import StudioError
from core.files import read_json, write_json
from core.settings import Settings, inside

MOST_LANES = 4


class LaneChoice(BaseModel):
    """Who answers in a lane: the base, or a run's adapter; `own` are settings that only this lane has."""

    run: str = ""
    adapter: str = "final"
    own: dict[str, Any] = Field(default_factory=dict)


class Answer(BaseModel):
    """What a lane said, as `LaneAnswer` had it at its end; who it was and with which settings."""

    text: str = ""
    tokens: int = 0
    end: End = ""
    first_token_seconds: float = 0.0
    tokens_per_second: float = 0.0
    ids: list[int] = Field(default_factory=list)
    logprobs: list[float] = Field(default_factory=list)
    pieces: list[str] = Field(default_factory=list)
    note: str = ""
    run: str = ""
    adapter: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, found: LaneAnswer, lane: LaneChoice, settings: dict[str, Any]) -> "Answer":
        kept = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        return cls(**kept, run=lane.run, adapter=lane.adapter if lane.run else "", settings=settings)


class Turn(BaseModel):
    """A question, with the lanes' answers; an empty list for a lane that has none yet. The last of a list is shown."""

    prompt: str
    reference: str = ""  # the answer in the held-out row that the question is from
    answers: list[list[Answer]] = Field(default_factory=lambda: [[] for _ in range(MOST_LANES)])

    def shown(self, lane: int) -> Answer | None:
        return self.answers[lane][-1] if self.answers[lane] else None


class Conversation(BaseModel):
    """Attributes:
    base: the name of the base model in `core.chat.asking.bases`; empty until one is chosen.
    settings: of all lanes (`Sampling`).
    branches: turns that an edit or an undo left behind, the newest last.
    """

    id: str
    base: str = ""
    lanes: list[LaneChoice] = Field(default_factory=lambda: [LaneChoice(), LaneChoice()])
    settings: dict[str, Any] = Field(default_factory=dict)
    turns: list[Turn] = Field(default_factory=list)
    branches: list[list[Turn]] = Field(default_factory=list)

    def history(self, lane: int, turns: int | None = None) -> list[Message]:
        """What one lane has heard and said in the first so many turns, its own answers only."""
        messages: list[Message] = []
        for turn in self.turns[:turns]:
            answer = turn.shown(lane)
            messages.append({"role": "user", "content": turn.prompt})
            messages.append({"role": "assistant", "content": answer.text if answer else ""})
        return messages

    def asked(self, lane: int, at: int = -1) -> list[Message]:
        """The conversation of one lane up to a question, which is its last message."""
        place = at % len(self.turns)
        return [*self.history(lane, place), {"role": "user", "content": self.turns[place].prompt}]

    def ask(self, prompt: str, reference: str = "") -> Turn:
        self.turns.append(Turn(prompt=prompt, reference=reference))
        return self.turns[-1]

    def edit(self, at: int, prompt: str) -> Turn:
        """Ask another question in the place of one; it and all after it become a branch."""
        if not 0 <= at < len(self.turns):
            raise StudioError(f"There is no question {at + 1}; this conversation has {len(self.turns)}.")
        self._branch()
        self.turns = self.turns[:at]
        return self.ask(prompt)

    def undo(self) -> None:
        """Take the last question back, with its answers; they become a branch."""
        if not self.turns:
            raise StudioError("Nothing was asked yet, so there is nothing to take back.")
        self._branch()
        self.turns = self.turns[:-1]

    def switch(self, branch: int) -> None:
        """Go on with a branch; the present turns become one."""
        if not 0 <= branch < len(self.branches):
            raise StudioError(f"There is no branch {branch + 1}; this conversation has {len(self.branches)}.")
        chosen = self.branches.pop(branch)
        if self.turns:
            self._branch()
        self.turns = chosen

    def _branch(self) -> None:
        self.branches.append([turn.model_copy(deep=True) for turn in self.turns])


def fresh() -> Conversation:
    """A conversation that nobody else can name."""
    return Conversation(id=secrets.token_hex(16))


def load(settings: Settings, chat_id: str) -> Conversation | None:
    """A kept conversation; None where there is none, or its file is damaged."""
    path = _path(settings, chat_id)
    try:
        return Conversation.model_validate(read_json(path))
    except (OSError, ValueError, ValidationError):
        return None


def save(settings: Settings, conversation: Conversation) -> None:
    write_json(_path(settings, conversation.id), conversation.model_dump())


def _path(settings: Settings, chat_id: str) -> Path:
    folder = settings.home / "chats"
    folder.mkdir(exist_ok=True)
    return inside(folder, f"{chat_id}.json", "chat id")
