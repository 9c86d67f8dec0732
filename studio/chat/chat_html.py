"""A conversation as the page shows it: what is written now, what was said before, and what can be done with each."""

from collections.abc import Sequence

from components.chat_board import BoardTurn, LaneCard, board_html, differences, shares
from core.chat.conversation import Answer, Conversation, LaneChoice, Turn
from core.chat.types import END_LABELS, LaneAnswer
from core.chat.votes import contender_name
from studio.chat.in_progress import Live

DIFFERENCES, PROBABILITIES = "Differences", "Token probabilities"
SHOWN = [DIFFERENCES, PROBABILITIES]

_RETRY = ("retry_lane", "Retry", "Answer again, with the next seed; this answer is kept among the tries")
_GO_ON = ("go_on", "Continue", "Let the answer go on from its last word")
_COPY = ("copy", "Copy", "Copy the text of this answer")
_WHY = ("why", "Why?", "The training rows nearest to this answer")
_STOP = ("stop_lane", "Stop", "End this answer only")
_TOO_MANY = "A vote compares two answers. Set Lanes to 2, and these can be voted on."


def boards(kept: Conversation, live: Live | None = None, show: Sequence[str] = ()) -> tuple[str, str]:
    """The turns before the last, and the last, which alone changes while answers are written."""
    past = [_turn(kept, at, None, show) for at in range(len(kept.turns) - 1)]
    now = [_turn(kept, len(kept.turns) - 1, live, show)] if kept.turns else []
    return board_html(past), board_html(now)


def last_board(live: Live) -> str:
    """The last turn alone, as it is being written."""
    return board_html([_turn(live.kept, len(live.kept.turns) - 1, live, ())])


def voted_words(turn: Turn) -> str:
    """What the vote was, with the name that a blind round kept back."""
    return f"Your vote: {turn.verdict}{f' ({turn.chosen})' if turn.chosen else ''}."


def shown_name(answer: Answer | None) -> str:
    """Who gave an answer, as the page says it; nobody for none."""
    if answer is None:
        return ""
    name = contender_name(answer)
    return "Base" if name == "base" else name.replace("/", " · ")


def _turn(kept: Conversation, at: int, live: Live | None, show: Sequence[str]) -> BoardTurn:
    turn, lanes = kept.turns[at], len(kept.lanes)
    last = at == len(kept.turns) - 1
    order = [lane for lane in turn.order if lane < lanes and (turn.answers[lane] or last)]
    marked = _marked(turn, order) if DIFFERENCES in show and not live else {}
    cards = [_card(kept, at, lane, place, live, marked, show) for place, lane in enumerate(order)]
    if turn.reference:
        cards.append(LaneCard("Reference, from the held-out row", turn.reference, kind="reference"))
    both = [turn.shown(lane) for lane in order]
    votable = live is None and last and lanes == 2 and len(both) == 2 and all(one and one.text for one in both)
    voted = voted_words(turn) if turn.verdict else ""
    many = _TOO_MANY if live is None and last and lanes > 2 and any(both) and not turn.verdict else ""
    return BoardTurn(at, turn.prompt, cards, vote=votable and not turn.verdict, voted=voted, no_vote=many)


def _card(
    kept: Conversation, at: int, lane: int, place: int, live: Live | None, marked: dict, show: Sequence[str]
) -> LaneCard:
    turn = kept.turns[at]
    title = f"Answer {'ABCD'[place]}" if turn.hidden else _name(turn, lane, kept.lanes[lane])
    kind = "hidden" if turn.hidden else ("base" if title == "Base" else "tuned")
    key = f"{at} {lane}"
    if live and lane in live.lanes:
        return _written(live, lane, LaneCard(title, "", key, kind, actions=[_STOP]))
    answer = turn.shown(lane)
    if answer is None:
        return LaneCard(title, "", key, kind, waiting="No answer yet.", actions=[] if live else [_RETRY])
    heat = shares(answer.pieces, answer.logprobs) if PROBABILITIES in show else None
    return LaneCard(
        title, answer.text, key, kind, under="" if turn.hidden else _under(answer), note=answer.note,
        waiting="" if answer.text else "(an empty answer)", actions=[] if live else _actions(kept, at, lane, answer),
        heat=heat or None, marked=marked.get(lane),
    )  # fmt: skip


def _written(live: Live, lane: int, card: LaneCard) -> LaneCard:
    """The card of an answer under way, or of one that has ended while others go on."""
    answer, before = live.answer(lane), live.before.get(lane)
    text = answer.text if answer else ""
    text = text or (before.text if before else "")
    ended = bool(answer and answer.end)
    hidden = live.kept.turns[-1].hidden
    return LaneCard(
        card.title, text, card.key, card.kind, note=answer.note if answer else "",
        under=_under(answer) if answer and answer.tokens and not hidden else "",
        waiting="" if text or ended else "…", actions=[] if ended else card.actions,
    )  # fmt: skip


def _actions(kept: Conversation, at: int, lane: int, answer: Answer) -> list[tuple[str, str, str]]:
    turn = kept.turns[at]
    found = [_COPY]
    if at == len(kept.turns) - 1 and not turn.verdict:
        found.append(_RETRY)
        if answer.end in ("length", "stopped", "interrupted") and answer.ids:
            found.append(_GO_ON)
        if (tries := len(turn.answers[lane])) > 1:
            found.append(("other_try", f"Earlier try ({tries})", "Show the try before this one"))
    if answer.run and not turn.hidden:
        found.append(_WHY)
    return found


def _name(turn: Turn, lane: int, choice: LaneChoice | None = None) -> str:
    """Who answers in a lane, or will."""
    run, adapter = choice.run_and_adapter if choice else ("", "")
    return shown_name(turn.shown(lane) or Answer(run=run, adapter=adapter))


def _under(answer: Answer | LaneAnswer) -> str:
    facts = [
        f"{answer.tokens} tokens",
        f"first after {answer.first_token_seconds:.1f} s",
        f"{answer.tokens_per_second:.{0 if answer.tokens_per_second >= 10 else 1}f} tokens/s",
        END_LABELS[answer.end],
    ]
    if isinstance(answer, Answer) and answer.settings.get("temperature"):
        facts.append(f"seed {answer.settings['seed']}")
    return " · ".join(facts)


def _marked(turn: Turn, order: list[int]) -> dict[int, list[tuple[str, bool]]]:
    """The pieces of each answer, marked where they differ from the first; those of the first, from the second."""
    texts = {lane: answer.text for lane in order if (answer := turn.shown(lane))}
    if len(texts) < 2:
        return {}
    first, second, *_ = texts
    marked = {lane: differences(texts[first], texts[lane])[1] for lane in texts if lane != first}
    return marked | {first: differences(texts[first], texts[second])[0]}
