"""Escaping of untrusted text in Markdown that the studio writes."""

import re

_MARKS = re.compile(r"([\\`*_\[\]|#!~$@])")
# Viewers make links of these without any markup.
_ADDRESS = re.compile(r"(?<=\w)(:(?=//)|(?<=www)\.)", re.IGNORECASE)


def plain(text: str) -> str:
    """Return the text on one line with all markup escaped: it cannot become a link, an image, a table or a tag."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return _ADDRESS.sub(r"\\\1", _MARKS.sub(r"\\\1", line))


def fenced(text: str, language: str = "text") -> str:
    """Return the text unchanged in a code block, whose fence is longer than any in the text.

    Args:
        text: The text.
        language: Name after the fence, by which viewers color the block.
    """
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def code_span(text: str) -> str:
    """Return the text on one line as code, between more backticks than any run of them in the text."""
    line = " ".join(text.split())
    mark = "`" * (_longest_run(line) + 1)
    # A backtick at an end would belong to the mark.
    pad = " " if "`" in line else ""
    return f"{mark}{pad}{line}{pad}{mark}"


def _longest_run(text: str) -> int:
    """Return the length of the longest run of backticks in a text."""
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table whose cells are Markdown already."""
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
