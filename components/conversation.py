"""A conversation as bubbles, its tokens as colored spans, and short notes; all values are escaped by the templates."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from components.highlight import highlight
from components.html import read_static, render

CSS = read_static("conversation.css")
# Script of an element whose facts are buttons (`chips_html`).
OPEN_TARGET = read_static("open_target.js")


def conversation_html(messages: Sequence[Mapping[str, Any]], search: str = "") -> Markup:
    """Render one bubble per message; each text's own script decides its direction.

    Args:
        messages: With `role` and `content`; `loss` is False on an answer that is not trained on, which gets a badge.
        search: A text whose occurrences are highlighted.
    """
    return render("conversation", messages=[{**one, "content": highlight(one["content"], search)} for one in messages])


def tokens_html(pieces: Sequence[tuple[str, str, bool]], limit: int | None = None) -> Markup:
    """Render tokens in a row.

    Args:
        pieces: Text, role and whether it carries loss, of each token.
        limit: Tokens from this index on are behind a line, dimmed; None: all are within the limit.
    """
    spans = [_token_span(*piece) for piece in pieces]
    kept, beyond = (spans[:limit], spans[limit:]) if limit is not None else (spans, [])
    return render("tokens", kept=kept, beyond=beyond, limit=f"{limit or 0:,}")


def toned_tokens_html(pieces: Sequence[tuple[str, str, str]]) -> Markup:
    """Render tokens in a row, each with a color of its own.

    Args:
        pieces: Text, CSS class and tooltip of each token.
    """
    return render("tokens", kept=[(_visible(text), *more) for text, *more in pieces], beyond=[], limit="")


def _visible(text: str) -> str:
    """Return a token's text; it may be a line break alone, or the empty text of one byte of a longer character."""
    return text.replace("\n", "↵\n") or "·"


def _token_span(text: str, role: str, has_loss: bool) -> tuple[str, str, str]:
    """Return a token's visible text, CSS class and tooltip."""
    visible = _visible(text)
    return (visible, f"{role} loss", f"{role}, carries loss") if has_loss else (visible, role, role)


def raw_html(text: str, search: str = "") -> Markup:
    """Render text as it is, in a monospace font, with the occurrences of a search highlighted."""
    return render("text", css_class="qs-raw", direction="auto", text=highlight(text, search))


def chips_html(
    chips: Iterable[tuple[str, str, bool]], targets: Mapping[str, str] | None = None, box: str = ""
) -> Markup:
    """Render a line of facts.

    Args:
        chips: Number, label and whether it is a warning, of each fact.
        targets: Ids of elements by their titles. A fact whose label has such a title in quotation marks, “Title”, is a
            button, and a click on it focuses the element (`static/open_target.js`).
        box: Id of the accordion that holds these elements, which is opened first.
    """
    named = {f"“{title}”": target for title, target in (targets or {}).items()}
    shown = [(*chip, next((target for name, target in named.items() if name in chip[1]), "")) for chip in chips]
    return render("chips", chips=shown, box=box)


def empty_html(text: str) -> Markup:
    """Render a note where there is nothing to show yet."""
    return render("text", css_class="qs-empty", direction="", text=text)


def skeleton_html(text: str) -> Markup:
    """Render a grey block in place of what is still being loaded, with a note of what that is."""
    return render("text", css_class="qs-skeleton", direction="", text=text)


def secondary_html(text: str) -> Markup:
    """Render a line that is less prominent than the chips above it."""
    return render("text", css_class="qs-second", direction="", text=text)
