"""Roles of speakers by their order, for lists of messages whose speakers have no usual roles.

Helpdesks and forums name the author of a message by a number or by a name of their own, and some dialogue datasets name
none. Names in brackets under Roles stand for such speakers: the first one of a conversation and all others, or the
turns at odd and at even positions.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.data.formats.conversation import Role
from core.data.formats.values import is_absent

RoleOf = Callable[[str], Role | None]
FIRST, OTHERS = "(first speaker)", "(other speakers)"
ODD, EVEN = "(odd turns)", "(even turns)"
SPEAKER_ROLES: dict[str, Role] = {FIRST: "user", OTHERS: "assistant"}
POSITION_ROLES: dict[str, Role] = {ODD: "user", EVEN: "assistant"}
# Fields of a message that name its author, the surest first, and fields of an object of its author.
_AUTHOR_KEYS = (
    "author_id", "sender_id", "from_id", "user_id", "speaker_id", "participant_id", "authorid", "senderid", "userid",
    "author", "sender", "speaker", "from", "user", "participant", "username", "user_name", "author_name", "sender_name",
    "name", "nick", "nickname", "handle", "created_by", "who", "actor", "bot_id",
)  # fmt: skip
_IDENTITY_KEYS = ("id", "login", "username", "email", "name", "display_name", "displayname", "address")


def find_author_key(turn: Mapping[str, Any]) -> str | None:
    """Return the field of a message that names its author, or None."""
    by_name = {str(key).lower(): key for key in turn}
    keys = (by_name[name] for name in _AUTHOR_KEYS if name in by_name)
    return next((key for key in keys if identity_of(turn[key])), None)


def identity_of(value: Any) -> str:
    """Return the name or the number of an author, also of one in an object; "" without one."""
    if isinstance(value, dict):
        by_name = {str(key).lower(): item for key, item in value.items()}
        return next((found for name in _IDENTITY_KEYS if (found := identity_of(by_name.get(name)))), "")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or is_absent(value):
        return ""
    return str(value).strip()


def with_ordered_roles(
    turns: Sequence[Any], role_of: RoleOf, has_role: Callable[[dict[str, Any]], bool], asker: str = ""
) -> Sequence[Any]:
    """Return turns in which speakers without a role have one by their order, if the user named such roles.

    Args:
        turns: The turns of a conversation.
        role_of: Returns the role of a speaker, or None for an unknown one.
        has_role: Returns whether a turn names a speaker with a role.
        asker: The author who counts as the first speaker; "" for the author of the first turn.
    """
    if not all(isinstance(turn, dict) for turn in turns):
        return turns
    if role_of(FIRST) or role_of(OTHERS):
        return _by_speaker(turns, has_role, asker)
    if role_of(ODD) or role_of(EVEN):
        return [
            turn if has_role(turn) else {**turn, "role": (ODD, EVEN)[index % 2]} for index, turn in enumerate(turns)
        ]
    return turns


def _by_speaker(
    turns: Sequence[dict[str, Any]], has_role: Callable[[dict[str, Any]], bool], asker: str
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for turn in turns:
        key = find_author_key(turn)
        name = identity_of(turn[key]) if key else ""
        asker = asker or name
        if not name or has_role(turn):
            found.append(turn)
            continue
        rest = {field: value for field, value in turn.items() if field != key}
        found.append({**rest, "role": FIRST if name == asker else OTHERS})
    return found
