"""Stored conversation of the Chat tab: questions, each lane's own answers, and all earlier tries.

    chats/<id>.json

Nothing is deleted when a chat continues: an answer that is written again stays among the tries, and a question that is
edited or undone leaves its old turns behind as a branch.
"""

import hashlib
import secrets
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from core.access import roles
from core.chat.sampling import Sampling
from core.chat.types import BaseIdentity, GenerationResult, adapter_key
from core.data.formats import Message
from core.errors import StudioError
from core.settings import Settings, inside
from core.system.files import read_json, write_json

MAX_LANES = 4
# First letter of the id of a visitor's conversation; the owner's ids are hexadecimal.
VISITOR_PREFIX = "v"
# Stands in for an adapter's name where a lane of a run shows the base model.
BASE = "base"
_TITLE_CHARS = 60


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
        answers: All tries of each lane, the shown one last; empty for a lane that has not answered yet.
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

    def other_try(self, lane: int) -> None:
        """Show the try before the shown one; after the oldest, the newest."""
        if self.answers[lane]:
            self.answers[lane].insert(0, self.answers[lane].pop())

    def shuffle(self, lanes: int) -> None:
        """Put the first `lanes` lanes into a random order on the screen."""
        positions = list(range(lanes))
        # Not a seeded generator: a voter must not be able to guess the order.
        secrets.SystemRandom().shuffle(positions)
        self.order = [*positions, *range(lanes, MAX_LANES)]


class Conversation(BaseModel):
    """A conversation in one to `MAX_LANES` lanes.

    Attributes:
        base: Label of the base model, for display and exports; empty until one is chosen.
        base_identity: The base model; None until one is chosen, and in files of versions that kept only the label.
        settings: Settings of all lanes (`Sampling`).
        branches: Turns that an edit or an undo left behind, the newest last.
    """

    id: str
    base: str = ""
    base_identity: BaseIdentity | None = None
    lanes: list[LaneChoice] = Field(default_factory=lambda: [LaneChoice(), LaneChoice()])
    settings: dict[str, Any] = Field(default_factory=dict)
    blind: bool = False
    turns: list[Turn] = Field(default_factory=list)
    branches: list[list[Turn]] = Field(default_factory=list)

    def set_base(self, identity: BaseIdentity | None) -> None:
        """Choose the base model; None for none."""
        self.base_identity, self.base = identity, identity.label if identity else ""

    def history(self, lane: int, turns: int | None = None) -> list[Message]:
        """Return the messages of the first `turns` turns as one lane knows them: with its own answers only."""
        messages: list[Message] = []
        for turn in self.turns[:turns]:
            answer = turn.shown(lane)
            messages.append({"role": "user", "content": turn.prompt})
            messages.append({"role": "assistant", "content": answer.text if answer else ""})
        return messages

    def sampling(self, lane: int) -> Sampling:
        """Return the settings of one lane: its own over those of all lanes."""
        return Sampling(**(self.settings | self.lanes[lane].own))

    def title(self) -> str:
        """Return the beginning of the first question, for lists."""
        return self.turns[0].prompt.strip().replace("\n", " ")[:_TITLE_CHARS] if self.turns else "New chat"

    def asked(self, lane: int, at: int = -1) -> list[Message]:
        """Return the messages of one lane up to the question of a turn, which is the last message.

        Args:
            lane: Index of the lane.
            at: Index of the turn.
        """
        index = at % len(self.turns)
        return [*self.history(lane, index), {"role": "user", "content": self.turns[index].prompt}]

    def ask(self, prompt: str, reference: str = "") -> Turn:
        """Append a question, and return its turn."""
        self.turns.append(Turn(prompt=prompt, reference=reference))
        return self.turns[-1]

    def edit(self, at: int, prompt: str) -> Turn:
        """Replace a question; it and everything after it become a branch.

        Raises:
            StudioError: There is no such turn.
        """
        if not 0 <= at < len(self.turns):
            raise StudioError(f"There is no question {at + 1}; this conversation has {len(self.turns)}.")
        self._branch()
        self.turns = self.turns[:at]
        return self.ask(prompt)

    def undo(self) -> None:
        """Remove the last question with its answers; the conversation before becomes a branch.

        Raises:
            StudioError: Nothing was asked yet.
        """
        if not self.turns:
            raise StudioError("There is no question to undo. Ask one first.")
        self._branch()
        self.turns = self.turns[:-1]

    def switch(self, key: str) -> None:
        """Continue a branch; the current turns become one.

        A list may report one click twice, so switching to the current turns does nothing.

        Args:
            key: The branch's `branch_key`.

        Raises:
            StudioError: There is no such branch.
        """
        if key == branch_key(self.turns):
            return
        index = next((at for at, turns in enumerate(self.branches) if branch_key(turns) == key), None)
        if index is None:
            raise StudioError(f"There is no branch {key!r}; this conversation has {len(self.branches)}.")
        chosen = self.branches.pop(index)
        if self.turns:
            self._branch()
        self.turns = chosen

    def _branch(self) -> None:
        self.branches.append([turn.model_copy(deep=True) for turn in self.turns])


def branch_key(turns: list[Turn]) -> str:
    """Return a hash of a branch's content, so that a branch keeps its key when others are added or removed."""
    content = "".join(turn.model_dump_json() for turn in turns)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def new_conversation() -> Conversation:
    """Return a conversation with a random id that nobody can guess."""
    chat_id = secrets.token_hex(16)
    return Conversation(id=chat_id if roles.caller().is_owner else f"{VISITOR_PREFIX}{chat_id}")


def delete_oldest_visitor_chats(settings: Settings, limit: int) -> None:
    """Delete the visitors' conversations that were unused for the longest time, all but `limit`."""
    chats = sorted((settings.home / "chats").glob(f"{VISITOR_PREFIX}*.json"), key=lambda path: path.stat().st_mtime)
    for path in chats[: max(0, len(chats) - limit)]:
        path.unlink(missing_ok=True)


def load(settings: Settings, chat_id: str) -> Conversation | None:
    """Load a conversation; None if there is none, its file is damaged, or a visitor asks for the owner's."""
    if not roles.caller().is_owner and not chat_id.startswith(VISITOR_PREFIX):
        return None
    path = _path(settings, chat_id)
    try:
        return Conversation.model_validate(read_json(path))
    except (OSError, ValueError, ValidationError):
        return None


def save(settings: Settings, conversation: Conversation) -> None:
    """Write a conversation; the file is replaced atomically."""
    write_json(_path(settings, conversation.id), conversation.model_dump())


def _path(settings: Settings, chat_id: str) -> Path:
    folder = settings.home / "chats"
    folder.mkdir(exist_ok=True)
    return inside(folder, f"{chat_id}.json", "chat id")
