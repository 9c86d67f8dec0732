"""Conversations as a map of nodes with parents, as in the export of a ChatGPT account; the current branch is read.

    {"root": {"message": null, "parent": null, "children": ["a"]}, "a": {"message": {...}, "parent": "root", ...}}

A message has an author with a role and a content with a type: text, code, the output of a tool, or reasoning.
"""

from collections.abc import Iterator
from typing import Any

from core.data.formats.conversation import UnusableRow
from core.data.formats.values import Note, is_missing

# Contents that are about the account or the display, not turns.
_REMARKS = ("user_editable_context", "model_editable_context", "reasoning_recap", "system_error")
_HIDDEN = "is_visually_hidden_from_conversation"


def is_node_map(value: Any) -> bool:
    """Return whether a value is a map of nodes that have a message and a parent."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(node, dict) and "message" in node and "parent" in node for node in value.values())
    )


def current_turns(nodes: dict[str, Any], current: Any, note: Note) -> list[dict[str, Any]]:
    """Return the turns of the current branch, from the first message to the last.

    Args:
        nodes: The nodes by their id.
        current: Id of the last node of the branch; None for the branch of the last children.
        note: Callback for one sentence about each kind of message that is left out.

    Raises:
        UnusableRow: A message has no role.
    """
    if any(len(_children(node, nodes)) > 1 for node in nodes.values()):
        note("of the branches of a conversation, only the current one is used")
    turns: list[dict[str, Any]] = []
    thoughts: list[str] = []
    for message in _path(nodes, current if isinstance(current, str) else None):
        content = message.get("content")
        content = content if isinstance(content, dict) else {"parts": [content]}
        kind = str(content.get("content_type") or "text")
        value = content.get("parts", content.get("text"))
        if kind == "thoughts":
            thoughts += _thoughts(content.get("thoughts"))
            continue
        metadata = message.get("metadata")
        if is_missing(value) or kind in _REMARKS or (isinstance(metadata, dict) and metadata.get(_HIDDEN)):
            if not is_missing(value):
                note("messages that the chat does not show are left out")
            continue
        author = message.get("author")
        role = author.get("role") if isinstance(author, dict) else None
        if not isinstance(role, str):
            raise UnusableRow("a message of the tree has no author with a role")
        turn = {"role": role, "content": _typed(value)}
        if thoughts and role == "assistant":
            turn["reasoning_content"], thoughts = "\n\n".join(filter(None, thoughts)), []
        turns.append(turn)
    return turns


def _path(nodes: dict[str, Any], current: str | None) -> Iterator[dict[str, Any]]:
    """Yield the messages from the root to a node."""
    name: str | None = current if current in nodes else _last_leaf(nodes)
    path: list[str] = []
    while name is not None and name not in path:
        path.append(name)
        name = _parent(nodes, name)
    for name in reversed(path):
        if isinstance(message := nodes[name]["message"], dict):
            yield message


def _last_leaf(nodes: dict[str, Any]) -> str:
    name = next((name for name in nodes if _parent(nodes, name) is None), next(iter(nodes)))
    seen: set[str] = set()
    while name not in seen and (children := _children(nodes[name], nodes)):
        seen.add(name)
        name = children[-1]
    return name


def _thoughts(value: Any) -> list[str]:
    items = value if isinstance(value, list) else []
    return [str(item.get("content") or "") for item in items if isinstance(item, dict)]


def _parent(nodes: dict[str, Any], name: str) -> str | None:
    """Return the name of the node above another one, or None."""
    parent = nodes[name].get("parent")
    return parent if isinstance(parent, str) and parent in nodes else None


def _children(node: dict[str, Any], nodes: dict[str, Any]) -> list[str]:
    """Return the names of the nodes below a node."""
    children = node.get("children")
    return [c for c in children if isinstance(c, str) and c in nodes] if isinstance(children, list) else []


def _typed(value: Any) -> Any:
    """Return the parts of a content, with the type of those that are not text where `turns` expects it."""
    if not isinstance(value, list):
        return value
    parts = [{"type": p["content_type"], **p} if isinstance(p, dict) and "content_type" in p else p for p in value]
    return parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts
