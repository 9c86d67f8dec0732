"""Rows of public datasets as test cases: the columns, and the expected result of parsing."""

from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Turns = list[tuple[str, str]]  # (role, content)


@dataclass(frozen=True)
class Shape:
    """Rows of one public dataset with the expected result.

    Attributes:
        name: The dataset.
        rows: A few rows.
        form: The format that must be detected; "undecided" if the page must ask.
        first: The conversation of the first row, or the reason why that row is unusable.
        unread: Columns that must be reported as unread.
        notes: Parts of the notes on the first row.
        asks: Parts of the question, if the page must ask.
    """

    name: str
    rows: list[Row]
    form: str
    first: Turns | str = ""
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()


def dialog_turns(*texts: str) -> list[Row]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def shared_turns(*texts: str, **more: Any) -> list[Row]:
    return [{"from": ("human", "gpt")[i % 2], "value": text, **more} for i, text in enumerate(texts)]


ASK, ANSWER = "Why does the tide turn?", "The moon pulls at the sea, and the sea follows."
PAIR: Turns = [("user", ASK), ("assistant", ANSWER)]
LONG = "The harbour was quiet that morning, and nobody had yet seen the ship that lay behind the point. "


def rows_of_shape(make: Any, count: int = 6) -> list[Row]:
    """Return `make(0)` to `make(count - 1)`, rows that differ only in a number."""
    return [make(i) for i in range(count)]


def numbered(text: str, i: int) -> str:
    return text if i == 0 else f"{text} ({i})"
