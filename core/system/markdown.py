"""Escaping of untrusted text in Markdown that the studio writes."""

import re

_MARKS = re.compile(r"([\\`*_\[\]|#!~$@])")
# Viewers make links of these without any markup.
_ADDRESS = re.compile(r"(?<=\w)(:(?=//)|(?<=www)\.)", re.IGNORECASE)


def plain(text: str) -> str:
    """Return the text on one line with all markup escaped: it cannot become a link, an image, a table or a tag."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return _ADDRESS.sub(r"\\\1", _MARKS.sub(r"\\\1", line))


def fenced(text: str) -> str:
    """Return the text unchanged in a code block, whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table whose cells are Markdown already."""
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
