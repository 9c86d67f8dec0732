"""A conversation in lanes, as it is kept: questions, each lane's own answers, what was tried before.

    chats/<id>.json

Nothing that was said is lost: an answer that is written anew stays among the earlier ones, and a question that is
edited or taken back leaves its old turns behind as a branch.
"""

import hashlib
import secrets
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from core.access import roles
from core.chat.sampling import Sampling
from core.chat.types import End, LaneAnswer
from core.data.formats import Message
from core.errors import StudioError
from core.settings import Settings, inside
from core.system.files import read_json, write_json

MAX_LANES = 4
VISITOR = "v"  # begins the id of a visitor's conversation; the owner's are hexadecimal
BASE = "base"  # in the place of an adapter's name


class LaneChoice(BaseModel):
    """Who answers in a lane.

    Attributes:
        run, adapter: a run and "final", "step N", or "base": the model it began from. No run: the base.
        newest: the adapter is the run's newest, also when there is a newer one, until somebody chooses another.
        own: settings that only this lane has.
    """

    run: str = ""
    adapter: str = "final"
    newest: bool = False
    own: dict[str, Any] = Field(default_factory=dict)

    @property
    def run_and_adapter(self) -> tuple[str, str]:
        """The run and the adapter that answer; both empty for the base."""
        return (self.run, self.adapter) if self.run and self.adapter != BASE else ("", "")


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
    def of(
        cls, found: LaneAnswer, lane: LaneChoice, settings: dict[str, Any], before: "Answer | None" = None
    ) -> "Answer":
        """What `found` came to; `before` is the answer that it went on from."""
        kept = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        if before:
            kept |= {"logprobs": before.logprobs + found.logprobs, "pieces": before.pieces + found.pieces}
        run, adapter = lane.run_and_adapter
        return cls(**kept, run=run, adapter=adapter, settings=settings)


class Turn(BaseModel):
    """A question, with the lanes' answers; an empty list for a lane that has none yet. The last of a list is shown."""

    id: str = Field(default_factory=lambda: secrets.token_hex(8))
    prompt: str
    reference: str = ""  # the answer in the held-out row that the question is from
    answers: list[list[Answer]] = Field(default_factory=lambda: [[] for _ in range(MAX_LANES)])
    blind: bool = False
    order: list[int] = Field(default_factory=lambda: list(range(MAX_LANES)))  # which lane stands where on the screen
    verdict: str = ""  # of the vote on these answers
    chosen: str = ""  # who won it

    @property
    def hidden(self) -> bool:
        """Whether names are kept back until the vote."""
        return self.blind and not self.verdict

    def shown(self, lane: int) -> Answer | None:
        return self.answers[lane][-1] if self.answers[lane] else None

    def other_try(self, lane: int) -> None:
        """Show the try before the present one; after the oldest, the newest."""
        if self.answers[lane]:
            self.answers[lane].insert(0, self.answers[lane].pop())

    def shuffle(self, lanes: int) -> None:
        """Another order of the first so many lanes, by chance."""
        places = list(range(lanes))
        secrets.SystemRandom().shuffle(places)
        self.order = [*places, *range(lanes, MAX_LANES)]


class Conversation(BaseModel):
    """Attributes:
    base: the name of the base model in `core.chat.requests.bases`; empty until one is chosen.
    settings: of all lanes (`Sampling`).
    branches: turns that an edit or an undo left behind, the newest last.
    """

    id: str
    base: str = ""
    lanes: list[LaneChoice] = Field(default_factory=lambda: [LaneChoice(), LaneChoice()])
    settings: dict[str, Any] = Field(default_factory=dict)
    blind: bool = False
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

    def sampling(self, lane: int) -> Sampling:
        """The settings of one lane: its own over those of all."""
        return Sampling(**(self.settings | self.lanes[lane].own))

    def title(self) -> str:
        """How it begins."""
        return self.turns[0].prompt.strip().replace("\n", " ")[:60] if self.turns else "New chat"

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

    def switch(self, key: str) -> None:
        """Go on with the branch of a key; the present turns become one. Asked twice, it is done once."""
        if key == branch_key(self.turns):
            return
        place = next((at for at, turns in enumerate(self.branches) if branch_key(turns) == key), None)
        if place is None:
            raise StudioError(f"There is no branch {key!r}; this conversation has {len(self.branches)}.")
        chosen = self.branches.pop(place)
        if self.turns:
            self._branch()
        self.turns = chosen

    def _branch(self) -> None:
        self.branches.append([turn.model_copy(deep=True) for turn in self.turns])


def branch_key(turns: list[Turn]) -> str:
    """What tells a branch from others: what it holds, wherever it stands."""
    told = "".join(turn.model_dump_json() for turn in turns)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def new_conversation() -> Conversation:
    """A conversation that nobody else can name."""
    chat_id = secrets.token_hex(16)
    return Conversation(id=chat_id if roles.caller().is_owner else f"{VISITOR}{chat_id}")


def delete_oldest_visitor_chats(settings: Settings, most: int) -> None:
    """Remove visitors' conversations beyond so many, those first that were left alone longest."""
    kept = sorted((settings.home / "chats").glob(f"{VISITOR}*.json"), key=lambda path: path.stat().st_mtime)
    for path in kept[: max(0, len(kept) - most)]:
        path.unlink(missing_ok=True)


def load(settings: Settings, chat_id: str) -> Conversation | None:
    """A kept conversation; None where there is none, its file is damaged, or a visitor asks for the owner's."""
    if not roles.caller().is_owner and not chat_id.startswith(VISITOR):
        return None
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
