"""A conversation in lanes: each question across the page, the answers to it side by side; before the first, what
could be asked.

A `gr.HTML` with events of its own. What a click means comes back as `gr.EventData` with the attribute `value`: "turn",
"turn lane", the name of a vote, or the place of a suggestion. All text from models and people is shown inert.
"""

import difflib
import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import gradio as gr

# Clicks on what says what it stands for; 1 to 4 vote while no text is being typed; whoever has scrolled up stays there,
# whoever is at the end follows it.
_JS = """
const events = ['stop_lane', 'retry_lane', 'go_on', 'other_try', 'why', 'edit', 'vote', 'unvote', 'suggest'];
element.addEventListener('click', event => {
  const at = event.target.closest('[data-event]');
  if (!at || !element.contains(at)) return;
  if (at.dataset.event === 'copy') {
    navigator.clipboard.writeText(at.closest('.lb-card').querySelector('.lb-text').textContent);
    at.textContent = 'Copied';
    setTimeout(() => { at.textContent = 'Copy'; }, 1200);
  } else if (events.includes(at.dataset.event)) trigger(at.dataset.event, {value: at.dataset.value});
});
document.addEventListener('keydown', event => {
  if (!element.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest('input, textarea, [contenteditable]')) return;
  const button = element.querySelector(`[data-event="vote"][data-key="${event.key}"]`);
  if (button && button.offsetParent) { event.preventDefault(); button.click(); }
});
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && element.isConnected && element.offsetParent) trigger('returned', {});
});
const scroller = element.closest('.lb-scroll');
if (scroller) {
  let atEnd = true;
  scroller.addEventListener('scroll', () => {
    atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 48;
  });
  new MutationObserver(() => { if (atEnd) scroller.scrollTop = scroller.scrollHeight; })
    .observe(element, {childList: true, subtree: true});
}
"""

CSS = """
.lb-scroll { max-height: 62vh; overflow-y: auto; overscroll-behavior: contain; flex-wrap: nowrap; gap: 12px; }
.lb-scroll > * { flex-shrink: 0; }
.lb-turn { margin-bottom: 14px; }
.lb-ask { background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary);
  border-radius: 12px; padding: 8px 14px; display: flex; gap: 12px; align-items: flex-start; }
.lb-ask div { flex: 1; white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.5; }
.lb-lanes { display: grid; grid-template-columns: repeat(var(--lanes), minmax(0, 1fr)); gap: 10px; margin-top: 8px; }
.lb-card { border: 1px solid var(--border-color-primary); border-radius: 12px; padding: 8px 12px; display: flex;
  flex-direction: column; gap: 6px; min-height: 92px; }
.lb-card.tuned { background: var(--qs-answer); }
.lb-card.reference { border-style: dashed; }
.lb-card header { display: flex; justify-content: space-between; gap: 8px; font-size: 12px; font-weight: 650;
  color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
.lb-text { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.55; flex: 1; }
.lb-text mark { background: #fde9b8; color: inherit; border-radius: 3px; }
.dark .lb-text mark { background: #574512; }
.lb-text .lb-heat { border-radius: 3px; background: color-mix(in srgb, #e0662f var(--p), transparent); }
.lb-wait { color: var(--body-text-color-subdued); }
.lb-under { font-size: 12px; color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; }
.lb-note { font-size: 12.5px; color: var(--qs-warn); }
.lb-acts { display: flex; flex-wrap: wrap; gap: 4px; }
.lb-acts button, .lb-ask button, .lb-vote button { all: unset; cursor: pointer; font-size: 12.5px; padding: 3px 9px;
  border-radius: 7px; border: 1px solid var(--border-color-primary); color: var(--body-text-color);
  background: var(--background-fill-primary); line-height: 1.4; }
.lb-acts button:hover, .lb-ask button:hover, .lb-vote button:hover { border-color: #0f9488; color: var(--qs-good); }
.lb-acts button:focus-visible, .lb-ask button:focus-visible, .lb-vote button:focus-visible {
  outline: 2px solid #0f9488; outline-offset: 1px; }
.lb-vote { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 8px; margin-top: 8px; font-size: 13px;
  color: var(--body-text-color-subdued); }
.lb-invite { border: 1px dashed var(--border-color-primary); border-radius: 12px; padding: 18px 16px;
  text-align: center; }
.lb-invite p { margin: 0 auto 10px; max-width: 62ch; line-height: 1.5; color: var(--body-text-color-subdued); }
.lb-invite p:last-child { margin: 10px auto 0; font-size: 13px; }
.lb-invite div { display: flex; flex-wrap: wrap; justify-content: center; gap: 8px; }
.lb-invite button { all: unset; cursor: pointer; max-width: 100%; box-sizing: border-box; padding: 8px 14px;
  line-height: 1.4; border-radius: 10px; border: 1px solid var(--border-color-primary);
  background: var(--background-fill-secondary); overflow-wrap: anywhere; }
.lb-invite button:hover { border-color: #0f9488; color: var(--qs-good); }
.lb-invite button:focus-visible { outline: 2px solid #0f9488; outline-offset: 1px; }
.lb-scroll:has(.lb-turn) > :has(.lb-invite) { display: none; }
.lb-vote kbd { font-family: var(--font-mono); font-size: 11px; opacity: .7; margin-left: 5px; }
@media (max-width: 640px) {
  .lb-scroll { max-height: none; overflow-y: visible; }
  .lb-lanes { grid-template-columns: minmax(0, 1fr); }
  .lb-acts button, .lb-ask button, .lb-vote button { padding: 7px 12px; }
}
"""

VERDICTS = ("left", "right", "tie", "both bad")


@dataclass(frozen=True)
class LaneCard:
    """One answer as it is shown.

    Attributes:
        key: "turn lane", told by its buttons; none: it has none.
        kind: "base", "tuned", "hidden" or "reference".
        under: the line of figures below it.
        actions: (event, words, help) of its buttons.
        marked: pieces of the text, each with whether it is marked; None: the text as it is.
        heat: pieces of the text with the probability of each; None: the text as it is.
    """

    title: str
    text: str
    key: str = ""
    kind: str = "base"
    under: str = ""
    note: str = ""
    waiting: str = ""
    actions: Sequence[tuple[str, str, str]] = ()
    marked: Sequence[tuple[str, bool]] | None = None
    heat: Sequence[tuple[str, float]] | None = None


@dataclass(frozen=True)
class BoardTurn:
    """A question and its answers. Attributes: vote: whether it can be voted on; voted: what the vote was, in words;
    no_vote: why it cannot be voted on, where a vote may be looked for."""

    number: int
    prompt: str
    cards: Sequence[LaneCard] = field(default_factory=tuple)
    vote: bool = False
    voted: str = ""
    no_vote: str = ""


def build_lane_board(elem_id: str) -> gr.HTML:
    """Listen to .stop_lane, .retry_lane, .go_on, .other_try, .why, .edit, .vote, .unvote and .suggest; to .returned for
    whoever comes back to the page from another window."""
    return gr.HTML("", js_on_load=_JS, elem_id=elem_id, padding=False)


def board_html(turns: Sequence[BoardTurn]) -> str:
    return "".join(_turn(turn) for turn in turns)


def invitation_html(words: str, suggestions: Sequence[str], after: str = "") -> str:
    """What stands on a board before the first question; a click on a suggestion tells its place. Gone with the first
    turn on a board beside it."""
    buttons = "".join(
        f'<button data-event="suggest" data-value="{at}" dir="auto">{html.escape(text)}</button>'
        for at, text in enumerate(suggestions)
    )
    return (
        f'<div class="lb-invite"><p>{html.escape(words)}</p><div>{buttons}</div>'
        + (f"<p>{html.escape(after)}</p>" if after else "")
        + "</div>"
    )


def _turn(turn: BoardTurn) -> str:
    cards = "".join(_card(card) for card in turn.cards)
    return (
        f'<section class="lb-turn" aria-label="Question {turn.number + 1}"><div class="lb-ask"><div dir="auto">'
        f"{html.escape(turn.prompt)}</div>"
        f'<button data-event="edit" data-value="{turn.number}" title="Ask something else here; what follows is kept as '
        f'a branch">Edit</button></div><div class="lb-lanes" style="--lanes:{len(turn.cards)}">{cards}</div>'
        f"{_vote(turn)}</section>"
    )


def _card(card: LaneCard) -> str:
    buttons = "".join(
        f'<button data-event="{event}" data-value="{html.escape(card.key)}" title="{html.escape(help_)}">{words}'
        "</button>"
        for event, words, help_ in card.actions
    )
    waiting = f'<span class="lb-wait">{html.escape(card.waiting)}</span>' if card.waiting else ""
    return (
        f'<article class="lb-card {card.kind}"><header>{html.escape(card.title)}</header>'
        f'<div class="lb-text" dir="auto">{_text(card)}{waiting}</div>'
        + (f'<div class="lb-note">{html.escape(card.note)}</div>' if card.note else "")
        + (f'<div class="lb-under">{html.escape(card.under)}</div>' if card.under else "")
        + (f'<div class="lb-acts">{buttons}</div>' if buttons else "")
        + "</article>"
    )


def _text(card: LaneCard) -> str:
    if card.heat is not None:
        return "".join(
            f'<span class="lb-heat" style="--p:{round((1 - share) * 70)}%" title="{share:.1%}">{html.escape(piece)}'
            "</span>"
            for piece, share in card.heat
        )
    if card.marked is not None:
        return "".join(f"<mark>{html.escape(t)}</mark>" if on else html.escape(t) for t, on in card.marked)
    return html.escape(card.text)


def _vote(turn: BoardTurn) -> str:
    if turn.voted:
        return (
            f'<div class="lb-vote"><span>{html.escape(turn.voted)}</span>'
            f'<button data-event="unvote" data-value="{turn.number}">Undo the vote</button></div>'
        )
    if not turn.vote:
        return f'<div class="lb-vote"><span>{html.escape(turn.no_vote)}</span></div>' if turn.no_vote else ""
    buttons = "".join(
        f'<button data-event="vote" data-key="{key}" data-value="{verdict}">{verdict.capitalize()}<kbd>{key}</kbd>'
        "</button>"
        for key, verdict in enumerate(VERDICTS, 1)
    )
    return f'<div class="lb-vote"><span>Which answer is better?</span>{buttons}</div>'


def differences(first: str, second: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """Both texts in pieces, each with whether the other text lacks it."""
    ours, theirs = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (first, second))
    left: list[tuple[str, bool]] = []
    right: list[tuple[str, bool]] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if b > a:
            left.append(("".join(ours[a:b]), kind != "equal"))
        if d > c:
            right.append(("".join(theirs[c:d]), kind != "equal"))
    return left, right


def shares(pieces: Sequence[str], logprobs: Sequence[float]) -> list[tuple[str, float]]:
    """Each piece with its token's probability."""
    return [(piece, math.exp(min(0.0, logprob))) for piece, logprob in zip(pieces, logprobs, strict=False)]
