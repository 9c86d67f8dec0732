"""A conversation: a list of messages, each with a role and a content. Nothing here knows files, formats or tokens.

A row of plain text, for continued pre-training, is a single message of the role "text": no template is put around it,
and all of it is learned.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NotRequired, TypedDict

Role = Literal["system", "user", "assistant", "tool", "text"]


class Message(TypedDict):
    """One turn.

    Attributes:
        role: who speaks.
        content: the text of the turn.
        loss: False on an answer whose tokens carry no loss. Absent otherwise, so that equal conversations have equal
            hashes.
    """

    role: Role
    content: str
    loss: NotRequired[bool]


def from_stored(turns: Iterable[Mapping[str, Any]]) -> list[Message]:
    """Return the messages of a Parquet cell, without the fields that Arrow fills with None."""
    return [
        {"role": turn["role"], "content": turn["content"], **({"loss": False} if turn.get("loss") is False else {})}
        for turn in turns
    ]


class UnusableRow(ValueError):
    """Why a row cannot become a conversation with at least one answer."""


def is_plain(messages: list[Message]) -> bool:
    return bool(messages) and messages[0]["role"] == "text"


def find_problem(messages: list[Message]) -> str | None:
    """Why `messages` hold nothing to learn, or None when they do."""
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
        return "every answer is marked as not to be learned"
    return None


def ends_on_user(messages: list[Message]) -> bool:
    return bool(messages) and messages[-1]["role"] not in ("assistant", "text")


def until_last_answer(messages: list[Message]) -> list[Message]:
    """`messages` without the turns after the last answer: there is nothing to learn from them."""
    last = max((i for i, message in enumerate(messages) if message["role"] in ("assistant", "text")), default=-1)
    return messages[: last + 1]
