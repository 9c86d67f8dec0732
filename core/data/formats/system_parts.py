"""System prompts and lists of tools in columns of their own, which are added to the system turn of a conversation.

What the system turn holds already is not added again: sets for calling functions write the tools into the system prompt
and into a column, and others repeat the system prompt beside the conversation.
"""

import json

from core.data.formats.cells import with_system
from core.data.formats.conversation import Message
from core.data.formats.values import Note

_REPEATED = "the system prompt is in the conversation already; it is not added again"
_LISTED = "the system prompt names all tools already; their list is not added to it"
# A tool is an object with its name, or one that holds such an object.
_WRAPPERS = ("function", "functionDeclarations", "function_declarations")


def add_to_system(messages: list[Message], system: str, tools: str, note: Note) -> list[Message]:
    """Return a conversation with a system prompt and a list of tools in its system turn.

    Args:
        messages: The conversation.
        system: The system prompt; empty for none.
        tools: The tools, as text; empty for none.
        note: Callback for a sentence about what is there already.
    """
    held, texts = _system_of(messages), []
    if system.strip():
        if system.strip() in held:
            note(_REPEATED)
        else:
            texts.append(system)
    if tools:
        if are_listed(tools, "\n\n".join([held, *texts])):
            note(_LISTED)
        else:
            texts.append(f"You may call these tools:\n{tools}")
    return with_system(messages, texts)


def are_listed(tools: str, system: str) -> bool:
    """Return whether a system prompt names all tools of a list, in quotes as a list of tools does."""
    if tools.strip() in system:
        return True
    try:
        names = _names(json.loads(tools))
    except (ValueError, RecursionError):
        return False
    return bool(names) and all(f'"{name}"' in system or f"'{name}'" in system for name in names)


def _names(value: object) -> list[str]:
    """Return the names of the tools in a list, or in one tool."""
    if isinstance(value, list):
        return [name for each in value for name in _names(each)]
    if not isinstance(value, dict):
        return []
    inner = next((value[key] for key in _WRAPPERS if isinstance(value.get(key), dict | list)), None)
    if inner is not None:
        return _names(inner)
    return [value["name"]] if isinstance(value.get("name"), str) and value["name"] else []


def _system_of(messages: list[Message]) -> str:
    return messages[0]["content"] if messages and messages[0]["role"] == "system" else ""
