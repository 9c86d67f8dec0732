"""Stored conversation of the Chat tab: questions, each lane's own answers, and all earlier attempts.

    chats/<id>.json

Nothing is deleted when a chat continues: an answer that is generated again stays among the attempts, and a question
that is edited or undone leaves its old turns behind as a branch.
"""

import functools
import secrets
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from core.access import roles
from core.access.fair_share import surplus_files
from core.chat.sampling import Sampling
from core.chat.turns import LaneChoice, Turn, begins_with, branch_key
from core.chat.types import BaseIdentity
from core.data.formats import Message
from core.errors import StudioError
from core.settings import Settings, inside
from core.system.files import modified_ns, read_json, write_json, write_text
from core.system.sizes import format_size

# Limits of visitors. A browser remembers as many conversations; an answer of 256 tokens takes about 10 KB.
MAX_CHATS_OF_A_VISITOR, MAX_BRANCHES, MAX_CHAT_BYTES = 50, 50, 2**20
# First letter of the id of a visitor's conversation; the owner's ids are hexadecimal.
VISITOR_PREFIX = "v"
_TITLE_CHARS = 60


class Conversation(BaseModel):
    """A conversation in one to `MAX_LANES` lanes.

    Attributes:
        base: Label of the base model, for display and exports; empty until one is chosen.
        base_identity: The base model; None until one is chosen, and in files of versions that kept only the label.
        are_lanes_chosen: Whether a person chose the base or a lane; until then a conversation without a turn has the
            newest run.
        settings: Settings of all lanes (`Sampling`).
        branches: Turns that an edit or an undo left behind, the newest last.
    """

    id: str
    base: str = ""
    base_identity: BaseIdentity | None = None
    lanes: list[LaneChoice] = Field(default_factory=lambda: [LaneChoice(), LaneChoice()])
    are_lanes_chosen: bool = False
    settings: dict[str, Any] = Field(default_factory=dict)
    blind: bool = False
    turns: list[Turn] = Field(default_factory=list)
    branches: list[list[Turn]] = Field(default_factory=list)

    @property
    def is_visitors(self) -> bool:
        """Return whether it belongs to a visitor, whose conversations are limited."""
        return self.id.startswith(VISITOR_PREFIX)

    @property
    def has_answers(self) -> bool:
        """Return whether any question was answered, in the turns or in a branch."""
        return any(any(turn.answers) for turns in (self.turns, *self.branches) for turn in turns)

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
        if not begins_with(chosen, self.turns):
            self._branch()
        self.turns = chosen

    def restore(self, turns: list[Turn]) -> None:
        """Return to turns from before an edit or a question; a branch that they contain is dropped."""
        self.branches = [kept for kept in self.branches if not begins_with(turns, kept)]
        self.turns = turns

    def _branch(self) -> None:
        """Keep the current turns as a branch, unless one contains them; drop the branches that they contain.

        Raises:
            StudioError: A visitor's conversation has too many branches.
        """
        if any(begins_with(kept, self.turns) for kept in self.branches):
            return
        branches = [kept for kept in self.branches if not begins_with(self.turns, kept)]
        if self.is_visitors and len(branches) >= MAX_BRANCHES:
            raise StudioError(
                f"This chat has {len(branches)} branches, and a visitor's may have {MAX_BRANCHES}. Press New chat to "
                "go on."
            )
        self.branches = [*branches, [turn.model_copy(deep=True) for turn in self.turns]]


def new_conversation() -> Conversation:
    """Return a conversation with a random id that cannot be guessed."""
    chat_id = secrets.token_hex(16)
    caller = roles.caller()
    # The id names its visitor, so that the limit of each is found without opening a file.
    return Conversation(id=chat_id if caller.is_owner else f"{VISITOR_PREFIX}{chat_id}-{caller.hashed_name}")


def delete_oldest_visitor_chats(settings: Settings, limit: int) -> None:
    """Delete the oldest conversations of each visitor beyond `MAX_CHATS_OF_A_VISITOR`, and of all beyond `limit`.

    Beyond `limit`, the visitors with the most lose theirs. Ids of earlier versions name no visitor, so each
    counts as the chat of another visitor.
    """
    chats = (settings.home / "chats").glob(f"{VISITOR_PREFIX}*.json")
    for path in surplus_files(chats, MAX_CHATS_OF_A_VISITOR, limit):
        path.unlink(missing_ok=True)


def check_size(conversation: Conversation) -> None:
    """Check that a conversation may grow further.

    Raises:
        StudioError: It is a visitor's and takes `MAX_CHAT_BYTES`.
    """
    if conversation.is_visitors and (size := byte_count(conversation)) >= MAX_CHAT_BYTES:
        raise StudioError(
            f"This chat takes {format_size(size)}, and a visitor's may take {format_size(MAX_CHAT_BYTES)}. "
            "Press New chat to go on; this one is kept."
        )


def byte_count(conversation: Conversation) -> int:
    """Return the size of a visitor's conversation on disk."""
    return len(conversation.model_dump_json().encode())


def load(settings: Settings, chat_id: str) -> Conversation | None:
    """Load a conversation; None if there is none, its file is damaged, or a visitor asks for the owner's."""
    if not roles.caller().is_owner and not chat_id.startswith(VISITOR_PREFIX):
        return None
    return _read(_path(settings, chat_id))


def _read(path: Path) -> Conversation | None:
    try:
        return Conversation.model_validate(read_json(path))
    except (OSError, ValueError, ValidationError):
        return None


def save(settings: Settings, conversation: Conversation) -> None:
    """Write a conversation; the file is replaced atomically. A visitor's has no indentation, to be small."""
    path = _path(settings, conversation.id)
    if conversation.is_visitors:
        write_text(path, conversation.model_dump_json())
    else:
        write_json(path, conversation.model_dump())


def delete(settings: Settings, chat_id: str) -> None:
    """Delete a conversation, if it is stored."""
    _path(settings, chat_id).unlink(missing_ok=True)


def title_of(settings: Settings, chat_id: str) -> str | None:
    """Return the title of a stored conversation that has questions; None if there is none.

    A file is read again only after it has changed, because a page lists up to 50 conversations at a time.
    """
    if not roles.caller().is_owner and not chat_id.startswith(VISITOR_PREFIX):
        return None
    path = _path(settings, chat_id)
    return _read_title(path, modified_ns(path))


def count_asked(settings: Settings) -> int:
    """Return how many stored conversations have a question; an opened page stores one without any."""
    paths = (settings.home / "chats").glob("*.json")
    return sum(_read_title(path, modified_ns(path)) is not None for path in paths)


@functools.lru_cache(maxsize=4096)
def _read_title(path: Path, changed: int) -> str | None:
    found = _read(path) if changed else None
    return found.title() if found and found.turns else None


def _path(settings: Settings, chat_id: str) -> Path:
    folder = settings.home / "chats"
    folder.mkdir(exist_ok=True)
    return inside(folder, f"{chat_id}.json", "chat id")
