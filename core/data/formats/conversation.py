"""Messages of a conversation, the common form of all formats.

A conversation is a list of messages, each with a role and a content. A row of plain text, for continued pre-training,
is a single message of the role "text": it is rendered without a template, and all of its tokens carry loss.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NotRequired

# pydantic validates messages in recipes, and takes no TypedDict of typing before Python 3.12.
from typing_extensions import TypedDict

Role = Literal["system", "user", "assistant", "tool", "text"]

# Roles by the names that public datasets give to speakers, in lower case.
ROLES: dict[str, Role] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant", "chatgpt": "assistant",
    "chatbot": "assistant", "ai": "assistant", "bing": "assistant", "bard": "assistant", "claude": "assistant",
    "function_call": "assistant", "tool_call": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "tool_response": "tool", "ipython": "tool",
}  # fmt: skip


def usual_role(name: str) -> Role | None:
    """Return the role of a speaker by its usual name, in upper or lower case, or None."""
    return ROLES.get(name.lower())


class Message(TypedDict):
    """One turn of a conversation.

    Attributes:
        role: The speaker.
        content: The text of the turn.
        loss: False for an answer whose tokens carry no loss. Absent otherwise, so that equal conversations have equal
            hashes.
    """

    role: Role
    content: str
    loss: NotRequired[bool]


def from_stored(turns: Iterable[Mapping[str, Any]]) -> list[Message]:
    """Return the messages of a Parquet cell without the fields that Arrow fills with None."""
    return [
        {"role": turn["role"], "content": turn["content"], **({"loss": False} if turn.get("loss") is False else {})}
        for turn in turns
    ]


class UnusableRow(ValueError):
    """A row that cannot become a conversation with at least one answer; the message gives the reason.

    Attributes:
        applied: Options that had an effect before the reason was found, by field and key.
    """

    applied: frozenset[tuple[str, str]] = frozenset()


def is_plain(messages: list[Message]) -> bool:
    """Return whether the messages are one row of plain text without turns."""
    return bool(messages) and messages[0]["role"] == "text"


def find_problem(messages: list[Message]) -> str | None:
    """Return the reason why no token of `messages` would carry loss, or None if some would."""
    turns = [message for message in messages if message["role"] != "system"]
    if not any(turn["content"].strip() for turn in turns):
        return "no text"
    if is_plain(messages):
        return None
    if turns[0]["role"] == "assistant":
        return "starts with an answer"
    answers = [turn for turn in turns if turn["role"] == "assistant" and turn["content"].strip()]
    if not answers:
        return "no answer"
    if all(answer.get("loss") is False for answer in answers):
        return "every answer is excluded from the loss"
    return None


def ends_without_answer(messages: list[Message]) -> bool:
    """Return whether the last turn is not an answer, so that `until_last_answer` would drop it."""
    return bool(messages) and messages[-1]["role"] not in ("assistant", "text")


def until_last_answer(messages: list[Message]) -> list[Message]:
    """Return `messages` without the turns after the last answer, whose tokens would carry no loss."""
    last = max((i for i, message in enumerate(messages) if message["role"] in ("assistant", "text")), default=-1)
    return messages[: last + 1]
