"""Marks around the parts of a text that a search has found."""

import re

from markupsafe import Markup

from components.html import render

# A match further right than this in a table's cell, which shows two lines, is moved into sight.
_VISIBLE_CHARACTERS = 60
_CHARACTERS_BEFORE = 24


def highlight(text: str, search: str) -> str | Markup:
    """Return a text with every occurrence of a search in `<mark>`, both escaped; the text itself without a search.

    Case makes no difference, as in the search itself.
    """
    if not search:
        return text
    # The capturing group keeps the separators: every second piece is a match.
    pieces = re.split(f"({re.escape(search)})", text, flags=re.IGNORECASE)
    if len(pieces) == 1:
        return text
    return render("highlight", pieces=[(piece, index % 2 == 1) for index, piece in enumerate(pieces) if piece])


def excerpt(text: str, search: str) -> str:
    """Return a text from shortly before the first match on, if the match would be out of sight in a table's cell."""
    found = re.search(re.escape(search), text, re.IGNORECASE) if search else None
    if found is None or found.start() < _VISIBLE_CHARACTERS:
        return text
    start = text.rfind(" ", 0, found.start() - _CHARACTERS_BEFORE) + 1
    return f"… {text[start:]}"
