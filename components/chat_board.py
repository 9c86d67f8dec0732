"""A chat board: each question across the page, its answers side by side, and suggestions before the first question.

The board is a `gr.HTML` whose buttons send events of its own. An event handler receives them as `gr.EventData` with the
attribute `value`: "TURN LANE" for a button of an answer, "TURN" for one of a question, the name of a vote, or the index
of a suggestion. Rendered by templates/chat_board.html; behavior in static/chat_board.js.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import gradio as gr
from markupsafe import Markup

from components.html import read_static, render

CSS = read_static("chat_board.css")
_JS = read_static("chat_board.js")
LIVE_PATH = "/live/texts"
_LIVE_JS = read_static("live_texts.js").replace("LIVE_PATH", LIVE_PATH)
VERDICTS = ("left", "right", "tie", "both bad")
# The answers may be below each other, and a reference may stand to the right of both.
_VOTE_LABELS = {"left": "First", "right": "Second"}
# Each verdict with the key that casts it, and the label of its button.
_VOTE_BUTTONS = [
    (key, verdict, _VOTE_LABELS.get(verdict, verdict.capitalize())) for key, verdict in enumerate(VERDICTS, 1)
]
# The end of a text that may still change: an incomplete character, or the beginning of a stop word.
_UNSETTLED_CHARACTERS = 128
# Background of a token with probability 0; a stronger one would make the text hard to read.
_MAX_HEAT_PERCENT = 70


class Action(NamedTuple):
    """A button of an answer: the event that it sends, its label and its tooltip; without an event it is disabled."""

    event: str
    label: str
    help: str


@dataclass(frozen=True)
class AnswerCard:
    """One answer on the board.

    Attributes:
        title: Who answered.
        text: The answer.
        key: "TURN LANE", which the buttons send; "" for a card without buttons.
        kind: "base", "tuned", "hidden" or "reference"; the card's CSS class.
        facts: A line of figures below the text.
        note: A warning below the text.
        placeholder: Shown in place of a text that is missing; of an answer being written, what it waits for.
        actions: Its buttons.
        marked: The text in pieces, each with whether it is highlighted; None shows the text as it is.
        heat: The text in pieces, each with its probability; None shows the text as it is.
        hint: Tooltip of the title, such as an id.
        shares: Labels with their probabilities, shown as bars in place of the text; empty shows the text.
    """

    title: str
    text: str
    key: str = ""
    kind: str = "base"
    facts: str = ""
    note: str = ""
    placeholder: str = ""
    actions: Sequence[Action] = ()
    marked: Sequence[tuple[str, bool]] | None = None
    heat: Sequence[tuple[str, float]] | None = None
    hint: str = ""
    shares: Sequence[tuple[str, float]] = ()

    @property
    def bars(self) -> list[tuple[str, str, float]]:
        """Return `shares` as label, probability to show, and length of the bar in percent."""
        return [(label, f"{share:.1%}", round(100 * share, 1)) for label, share in self.shares]

    @property
    def heat_spans(self) -> list[tuple[str, str, int]]:
        """Return `heat` as text, probability to show, and strength of the background in percent."""
        return [(piece, f"{share:.1%}", round((1 - share) * _MAX_HEAT_PERCENT)) for piece, share in self.heat or ()]


@dataclass(frozen=True)
class BoardTurn:
    """A question and its answers.

    Attributes:
        number: Index of the turn in the conversation.
        prompt: The question.
        cards: One per answer, from left to right.
        can_vote: Whether the vote buttons are shown.
        vote: The vote that was cast, as a sentence; "" if there is none.
        no_vote_reason: Why there are no vote buttons, where a reader would look for them.
        live: What static/live_texts.js sends to `LIVE_PATH` to read the texts of these cards while they are written
            (`live_cards`); "" for texts that stay as they are.
    """

    number: int
    prompt: str
    cards: Sequence[AnswerCard] = field(default_factory=tuple)
    can_vote: bool = False
    vote: str = ""
    no_vote_reason: str = ""
    live: str = ""

    @property
    def lanes(self) -> int:
        """Return how many answers are beside each other; a reference is below them."""
        return max(1, sum(card.kind != "reference" for card in self.cards))


def build_chat_board(elem_id: str, is_live: bool = False, value: str = "") -> gr.HTML:
    """Build a board without turns.

    Args:
        elem_id: The board's id in the page.
        is_live: Whether its turns may have `BoardTurn.live`.
        value: Its HTML until it is filled.

    Its events: `stop_lane`, `retry_lane`, `continue_answer`, `earlier_attempt`, `why`, `edit`, `vote`, `undo_vote`,
    `suggest`, and `returned`, which is sent when the browser window becomes visible again.
    """
    return gr.HTML(
        value,
        js_on_load=_JS + (_LIVE_JS if is_live else ""),
        elem_id=elem_id,
        padding=False,
        elem_classes="qs-shows-waits",
    )


def live_cards(cards: Iterable[AnswerCard], known: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return what static/live_texts.js needs to complete the texts that a page shows.

    Args:
        cards: The cards that are being written.
        known: Number of characters that the page has of a card's text, by `AnswerCard.key`.
    """
    made = []
    for card in cards:
        at = max(0, min(known.get(card.key, 0), len(card.text)) - _UNSETTLED_CHARACTERS)
        made.append({"key": card.key, "at": at, "text": card.text[at:], "facts": card.facts, "wait": card.placeholder})
    return made


def board_html(turns: Sequence[BoardTurn]) -> Markup:
    """Render turns from top to bottom."""
    return render("chat_board", turns=turns, verdicts=_VOTE_BUTTONS)


def invitation_html(text: str, suggestions: Sequence[str], note: str = "") -> Markup:
    """Render an invitation to ask one of several questions.

    CSS hides it as soon as a board beside it shows a turn.

    Args:
        text: Shown above the suggestions.
        suggestions: A click sends the event `suggest` with the index of the question.
        note: Shown below the suggestions.
    """
    return render("chat_invitation", text=text, suggestions=suggestions, note=note)


def probabilities(pieces: Sequence[str], logprobs: Sequence[float]) -> list[tuple[str, float]]:
    """Pair each token's text with its probability.

    Args:
        pieces: The text of each token.
        logprobs: The natural logarithm of each token's probability; rounding may leave it slightly above 0.
    """
    return [(piece, math.exp(min(0.0, logprob))) for piece, logprob in zip(pieces, logprobs, strict=False)]
