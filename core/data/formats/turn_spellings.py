"""Turns without a role field: the spellings of LangChain, and flags such as is_human."""

import re
from collections.abc import Sequence
from typing import Any

from core.data.formats.conversation import usual_role

# LangChain names the classes of its messages: HumanMessage, AIMessageChunk.
_CLASS = re.compile(r"(\w+?)Message(?:Chunk)?")
_USER_FLAGS = ("is_human", "ishuman", "is_user", "isuser", "from_user", "fromuser", "is_customer", "inbound")
_ASSISTANT_FLAGS = (
    "is_bot", "isbot", "is_ai", "isai", "is_assistant", "isassistant", "is_model", "from_bot", "is_agent", "is_gpt",
)  # fmt: skip


def with_role(turn: dict[str, Any], role_keys: Sequence[str]) -> dict[str, Any]:
    """Return a turn with lower-case field names, and with the field `role` if it says its speaker otherwise.

    Args:
        turn: The turn.
        role_keys: Names of fields that hold the role.
    """
    turn = {str(key).lower(): item for key, item in turn.items()}
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


def _with_flag(turn: dict[str, Any]) -> dict[str, Any]:
    for names, roles in ((_USER_FLAGS, ("assistant", "user")), (_ASSISTANT_FLAGS, ("user", "assistant"))):
        for name in names:
            if isinstance(flag := turn.get(name), bool):
                return {"role": roles[flag], **{key: value for key, value in turn.items() if key != name}}
    return turn
