"""The column of the question beside an answer, by its name or as the only or by far the longest text."""

from core.data.formats import columns as names
from core.data.formats.columns import find_column
from core.data.formats.proposal import Columns
from core.data.formats.reasoning_columns import is_reasoning_name

INSTRUCTION_NAMES = ("instruction", "instructions", "definition", "task_description")
# A text is this many times as long as its title, its summary and the like together.
_LONGER_TIMES = 2


def asks(prompt: str, answer: str) -> bool:
    """Return whether a column is certainly the question: by its name, or as the text of a summary."""
    if find_column([prompt], names.PROMPT_NAMES + INSTRUCTION_NAMES):
        return True
    return bool(find_column([answer], ("summary", "highlights")) and find_column([prompt], names.TEXT_NAMES))


def only_text(found: Columns, answer: str) -> str | None:
    """Return the only column of prose apart from the answer, or None."""
    prose = _prose_beside(found, answer)
    return prose[0] if len(prose) == 1 else None


def longest_text(found: Columns, answer: str) -> str | None:
    """Return the column of prose that is far longer than all others, such as a review with its title; or None."""
    first, *others = sorted(_prose_beside(found, answer), key=lambda name: -found[name].characters) or [None]
    rest = sum(found[name].characters for name in (*others, answer))
    return first if first and found[first].characters >= _LONGER_TIMES * rest else None


def _prose_beside(found: Columns, answer: str) -> list[str]:
    texts = [name for name, column in found.items() if column.kind == "prose" and name != answer]
    return [name for name in texts if not is_reasoning_name(name)]
