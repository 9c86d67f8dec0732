"""Turns that name their speaker otherwise than by a text, and texts with marked pieces.

LangChain names classes. Helpdesks have flags such as is_human or incoming, or an object for the author, with a role.
"""

import re
from collections.abc import Sequence
from typing import Any

from core.data.formats.conversation import usual_role
from core.data.formats.values import Note, is_missing

# LangChain names the classes of its messages: HumanMessage, AIMessageChunk.
_CLASS = re.compile(r"(\w+?)Message(?:Chunk)?")
_USER_FLAGS = (
    "is_human", "ishuman", "is_user", "isuser", "from_user", "fromuser", "is_customer", "inbound", "incoming",
    "is_incoming", "is_inbound", "from_customer", "from_requester", "is_requester",
)  # fmt: skip
# Fields of an author that name its role, the likeliest first; without a role, its name.
_AUTHOR_FIELDS = ("role", "type", "kind", "user_type", "author_type", "name", "display_name", "username", "id", "email")
# Flags of a message that the other side does not see, such as an internal note of a helpdesk.
_PUBLIC_FLAGS = ("public", "is_public")
_PRIVATE_FLAGS = (
    "private", "is_private", "internal", "is_internal", "internal_note", "is_note", "is_internal_note",
)  # fmt: skip
# Fields of a message of a helpdesk or a chat that may be an event, such as "Bo closed the conversation".
_EVENT_KEYS = ("part_type", "event", "event_type", "action", "system_event")
_EVENT_TEXTS = ("body", "text", "content", "message")
_ASSISTANT_FLAGS = (
    "is_bot", "isbot", "is_ai", "isai", "is_assistant", "isassistant", "is_model", "from_bot", "is_agent", "is_gpt",
    "outgoing", "is_outgoing", "outbound", "is_outbound", "is_staff", "from_agent",
)  # fmt: skip


def with_role(turn: dict[str, Any], role_keys: Sequence[str]) -> dict[str, Any]:
    """Return a turn with lower-case field names, and with the field `role` if it names its speaker otherwise.

    Args:
        turn: The turn.
        role_keys: Names of fields that hold the role.
    """
    turn = {str(key).lower(): item for key, item in turn.items()}
    author = next((key for key in role_keys if isinstance(turn.get(key), dict)), None)
    if author and not any(isinstance(turn.get(key), str) for key in role_keys):
        # A flag says who asks; the name of an author does not.
        flagged = _with_flag(turn)
        return flagged if flagged is not turn and "role" not in turn else _with_author(turn, author)
    if any(key in turn for key in role_keys):
        return turn
    kind = turn.get("type")
    if isinstance(kind, str) and usual_role(kind.lower()):
        rest = {key: value for key, value in turn.items() if key not in ("type", "data")}
        data = turn.get("data")
        if isinstance(data, dict):
            return {"role": kind, **rest, **{key: value for key, value in data.items() if key != "type"}}
        return {"role": kind, **rest} if "data" not in turn else turn
    name = turn.get("id")
    if isinstance(name, list) and name and isinstance(turn.get("kwargs"), dict):
        found = _CLASS.fullmatch(str(name[-1]))
        if found and usual_role(found[1].lower()):
            fields = {key: value for key, value in turn["kwargs"].items() if key != "type"}
            return {"role": found[1], **fields}
    return _with_flag(turn)


def _with_author(turn: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a turn whose author is an object, with its role or name as the field `role` and the rest beside it."""
    author = turn[key]
    name = next((name for name in _AUTHOR_FIELDS if isinstance(author.get(name), str) and author[name].strip()), None)
    if name is None:
        return turn
    rest = {f"{key}.{field}": value for field, value in author.items() if field != name}
    return {"role": author[name], **{k: value for k, value in turn.items() if k != key}, **rest}


def is_private(turn: Any) -> bool:
    """Return whether a turn is flagged as a note that the other side does not see, as in the export of a helpdesk."""
    if not isinstance(turn, dict):
        return False
    is_hidden = any(turn.get(name) is False for name in _PUBLIC_FLAGS)
    return is_hidden or any(turn.get(name) is True for name in _PRIVATE_FLAGS)


def is_event(turn: Any) -> bool:
    """Return whether a turn is an event of a helpdesk or a chat without a text, such as an assignment."""
    if not isinstance(turn, dict) or not any(isinstance(turn.get(name), str) for name in _EVENT_KEYS):
        return False
    return all(is_missing(turn.get(name)) for name in _EVENT_TEXTS)


def visibility_flags(turn: dict[str, Any]) -> set[str]:
    """Return the flags of a turn that say who sees it, which `is_private` reads."""
    return {name for name in (*_PUBLIC_FLAGS, *_PRIVATE_FLAGS) if isinstance(turn.get(name), bool)}


def _with_flag(turn: dict[str, Any]) -> dict[str, Any]:
    for names, roles in ((_USER_FLAGS, ("assistant", "user")), (_ASSISTANT_FLAGS, ("user", "assistant"))):
        for name in names:
            if isinstance(flag := turn.get(name), bool):
                return {"role": roles[flag], **{key: value for key, value in turn.items() if key != name}}
    return turn


def is_marked_text(content: Any) -> bool:
    """Return whether a content is a text with marked pieces: ["See ", {"type": "bold", "text": "this"}] of Telegram."""
    if not isinstance(content, list) or not any(isinstance(part, str) for part in content):
        return False
    pieces = [part for part in content if not isinstance(part, str)]
    return bool(pieces) and all(isinstance(piece, dict) and isinstance(piece.get("text"), str) for piece in pieces)


def join_marked(content: Sequence[Any], note: Note) -> str:
    """Return the text of a content with marked pieces, with a note for each field of a piece that is not used."""
    for piece in content:
        for key in piece.keys() - {"type", "text"} if isinstance(piece, dict) else ():
            note(f"the field {str(key)!r} of a part of a turn is not used")
    return "".join(part if isinstance(part, str) else part["text"] for part in content)
