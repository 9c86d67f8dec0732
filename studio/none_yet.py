"""Sentences such as "No run yet": hidden from the click on a button that makes one until it appears.

`static/begun.js` keeps the ids of the buttons whose calls are under way in the attribute data-begun of the document,
from the click on and with every call that follows from it. The rules made here hide the sentences of these buttons by
that attribute alone. So neither a slow server nor a view that was asked for before the click and arrives after it can
show them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class NoneYet:
    """A sentence that a click makes false.

    Attributes:
        buttons: Ids of the buttons that make what it says is missing.
        view: Id of the part of the page that says it.
        sentence: Selector of the sentence within the view.
        instead: What stands there meanwhile; empty if another part of the page says it.
    """

    buttons: tuple[str, ...]
    view: str
    sentence: str
    instead: str = ""


_STARTS = ("start", "start-anyway")
SENTENCES = (
    NoneYet(("evaluate-start",), "evaluate-status", ".ev-first", "Starting the evaluation …"),
    NoneYet(("evaluate-start",), "journey", '[data-tab="evaluate"] .jb-none', "…"),
    NoneYet(_STARTS, "run-status", ".qs-empty"),
    NoneYet(_STARTS, "runs-table", "td.qs-empty", "Starting the run …"),
    NoneYet(_STARTS, "journey", '[data-tab="train"] .jb-none', "…"),
    NoneYet(_STARTS, "journey", '[role="status"].jb-none', "Starting the run …"),
    NoneYet(("count-tokens",), "numbers", ".qs-empty"),
)


def _rules(one: NoneYet) -> str:
    begun = ", ".join(f'html[data-begun~="{button}"]' for button in one.buttons)
    place = f":is({begun}) #{one.view} {one.sentence}"
    if not one.instead:
        return f"{place} {{ display: none; }}"
    # The text of the element itself, and what is in it.
    hidden = f"{place} {{ font-size: 0 !important; }}\n{place} > * {{ display: none; }}"
    return f'{hidden}\n{place}::after {{ content: "{one.instead}"; font-size: 14px; }}'


CSS = "\n".join(map(_rules, SENTENCES))
