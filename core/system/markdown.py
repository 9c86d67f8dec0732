"""Text from outside, made inert in Markdown that we write."""

import re

_MARKS = re.compile(r"([\\`*_\[\]|#!~$])")


def plain(text: str) -> str:
    """On one line, and without marks of its own: no link, picture, table or tag can come of it."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return _MARKS.sub(r"\\\1", line)


def fenced(text: str) -> str:
    """As it is, between fences longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table; the cells are Markdown already."""
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
