"""A conversation as cards: what is written now, what was answered before, and the actions of each answer.

Decides what the board shows; components/chat_board.py renders it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from components.chat_board import Action, AnswerCard, BoardTurn, board_html, live_cards, probabilities
from components.text_differences import MAX_COMPARED_PIECES, Marked, differences, is_compared_in_part
from core.chat.conversation import Conversation, LaneChoice, Turn
from core.chat.types import END_LABELS, Generation, GenerationResult
from core.chat.votes import Tally, contender_name
from core.runs.exported import is_exported
from core.system.counting import counted
from studio.chat.in_progress import AnswersInProgress
from studio.html import render

DIFFERENCES, PROBABILITIES = "Differences", "Token probabilities"
SHOW_OPTIONS = [DIFFERENCES, PROBABILITIES]

_RETRY = Action("retry_lane", "Retry", "Answer again with the next seed; this answer is kept")
_CONTINUE = Action("continue_answer", "Continue", "Continue the answer from its last token")
_COPY = Action("copy", "Copy", "Copy the text of this answer")
_WHY = Action("why", "Similar training rows", "Show the training rows nearest to this answer")
_STOPPING = Action("", "Stopping…", "The answer ends after its current token, or once the model is loaded")
_STOP = Action("stop_lane", "Stop", "Stop this answer only")
_TOO_MANY_FOR_A_VOTE = "A vote compares two answers. Set Models to 2 to vote on these."
_COMPARED_IN_PART = (
    f"Only the first {MAX_COMPARED_PIECES:,} words, spaces and punctuation marks of this answer are compared; "
    "differences after them are not marked."
)
# Fact about the answer of an exported file: it is not llama.cpp that computed it.
_OWN_WEIGHTS = "weights of the file, computed by transformers in float32"
# Ends of answers that could be longer.
_CAN_CONTINUE = ("length", "stopped", "interrupted")
# Votes name answers by their order: on a narrow page the answers are below each other, so neither is left or right.
_VOTED = {"left": "the first answer", "right": "the second answer"}

# The display name of each run, by its id (`RunStore.titles`); a run without one was deleted and is named by its id.
Titles = Mapping[str, str]


def boards_html(
    chat: Conversation, titles: Titles, answers: AnswersInProgress | None = None, show: Sequence[str] = ()
) -> tuple[Markup, Markup]:
    """Render a conversation as two boards: all turns but the last, and the last.

    Only the last turn changes while answers are written.

    Args:
        chat: The conversation.
        titles: The runs' display names.
        answers: The answers being written into its last turn.
        show: The ticked ones of `SHOW_OPTIONS`.
    """
    past = [_board_turn(chat, index, titles, None, show) for index in range(len(chat.turns) - 1)]
    last = [_board_turn(chat, len(chat.turns) - 1, titles, answers, show)] if chat.turns else []
    return board_html(past), board_html(last)


def last_board_html(answers: AnswersInProgress, titles: Titles) -> Markup:
    """Render only the last turn, while its answers are written."""
    chat = answers.conversation
    return board_html([_board_turn(chat, len(chat.turns) - 1, titles, answers, ())])


def growing_cards(answers: AnswersInProgress, known: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return what a page that shows the last board needs to complete its texts (`live_cards`)."""
    turn = len(answers.conversation.turns) - 1
    return live_cards((_card_in_progress(answers, lane, "", f"{turn} {lane}", "") for lane in answers.lanes), known)


def board_shape(answers: AnswersInProgress) -> list[tuple[bool, bool, tuple[Action, ...], str]]:
    """Return all that decides how the cards being written look, except their texts and figures.

    While it stays the same, `growing_cards` brings the last board up to date.
    """
    cards = [_card_in_progress(answers, lane, "", "", "") for lane in answers.lanes]
    return [(bool(card.text), bool(card.facts), tuple(card.actions), card.note) for card in cards]


def answer_name(answer: GenerationResult | None, titles: Titles) -> str:
    """Return the model that gave an answer, as the page names it; "" for no answer."""
    return _model_name(contender_name(answer), titles) if answer else ""


def _model_name(contender: str, titles: Titles) -> str:
    """Return the display name of a model that votes name "base" or "RUN/ADAPTER"."""
    run, _, adapter = contender.partition("/")
    return f"{titles.get(run, run)} · {adapter}" if adapter else run.capitalize()


def tally_html(tallies: Sequence[Tally], note: str, titles: Titles) -> Markup:
    """Render the votes on each pair of models as a table.

    Args:
        tallies: One per pair.
        note: A warning below the table, or "".
        titles: The runs' display names.
    """
    pairs = [(_model_name(pair.first, titles), _model_name(pair.second, titles), pair) for pair in tallies]
    return render("chat/tally", pairs=pairs, note=note)


def _board_turn(
    chat: Conversation, index: int, titles: Titles, answers: AnswersInProgress | None, show: Sequence[str]
) -> BoardTurn:
    turn, lanes = chat.turns[index], len(chat.lanes)
    is_last = index == len(chat.turns) - 1
    # A past turn shows the lanes that answered then; the last one also those that can still answer.
    order = [lane for lane in turn.order if lane < lanes and (turn.answers[lane] or is_last)]
    marked = _marked_differences(turn, order) if DIFFERENCES in show and not answers else {}
    cards = []
    for position, lane in enumerate(order):
        title, hint = _card_title(turn, lane, position, chat.lanes[lane], titles)
        cards.append(replace(_card(chat, index, lane, title, answers, marked, show), hint=hint))
    if turn.reference:
        cards.append(AnswerCard("Reference, from the held-out row", turn.reference, kind="reference"))
    shown = [turn.shown(lane) for lane in order]
    is_open = answers is None and is_last and not turn.verdict
    can_vote = is_open and lanes == 2 and len(shown) == 2 and all(answer and answer.text for answer in shown)
    return BoardTurn(
        index,
        turn.prompt,
        cards,
        can_vote=can_vote,
        vote=_vote_label(turn) if turn.verdict else "",
        no_vote_reason=_TOO_MANY_FOR_A_VOTE if is_open and lanes > 2 and any(shown) else "",
        live=answers.live_key if answers else "",
    )


def _vote_label(turn: Turn) -> str:
    """Return a turn's vote with the winner's name, which a blind round hid until then."""
    winner = f" ({turn.chosen})" if turn.chosen else ""
    return f"Your vote: {_VOTED.get(turn.verdict, turn.verdict)}{winner}."


def _card(
    chat: Conversation, index: int, lane: int, title: str, answers: AnswersInProgress | None,
    marked: Mapping[int, Marked], show: Sequence[str],
) -> AnswerCard:  # fmt: skip
    turn = chat.turns[index]
    kind = "hidden" if turn.hidden else ("base" if title == "Base" else "tuned")
    key = f"{index} {lane}"
    if answers and lane in answers.lanes:
        return _card_in_progress(answers, lane, title, key, kind)
    answer = turn.shown(lane)
    if answer is None:
        return AnswerCard(title, "", key, kind, placeholder="No answer yet.", actions=[] if answers else [_RETRY])
    heat = probabilities(answer.pieces, answer.logprobs) if PROBABILITIES in show else None
    is_cut = lane in marked and is_compared_in_part(answer.text)
    return AnswerCard(
        title,
        answer.text,
        key,
        kind,
        # Speed would give away which answer is the base's.
        facts="" if turn.hidden else _facts(answer),
        note=" ".join(filter(None, [answer.note, _COMPARED_IN_PART if is_cut else ""])),
        placeholder="" if answer.text else "(an empty answer)",
        actions=[] if answers else _actions(chat, index, lane, answer),
        heat=heat or None,
        marked=None if answer.labels else marked.get(lane),
        shares=answer.labels,
    )


def _card_in_progress(answers: AnswersInProgress, lane: int, title: str, key: str, kind: str) -> AnswerCard:
    """Return the card of an answer being written, or of one that has ended while others are still written."""
    answer, continued = answers.answer(lane), answers.continued.get(lane)
    text = (answer.text if answer else "") or (continued.text if continued else "")
    has_ended = bool(answer and answer.end)
    is_hidden = answers.conversation.turns[-1].hidden
    return AnswerCard(
        title,
        text,
        key,
        kind,
        facts=_facts(answer) if answer and answer.tokens and not is_hidden else "",
        note=answer.note if answer else "",
        placeholder="" if text or has_ended else answers.stage(lane),
        actions=[] if has_ended else [_STOPPING if lane in answers.stopped else _STOP],
    )


def _actions(chat: Conversation, index: int, lane: int, answer: GenerationResult) -> list[Action]:
    turn = chat.turns[index]
    actions = [_COPY]
    # Answers that were voted on stay as they are.
    if index == len(chat.turns) - 1 and not turn.verdict:
        actions.append(_RETRY)
        if answer.end in _CAN_CONTINUE and answer.ids:
            actions.append(_CONTINUE)
        if (attempts := len(turn.answers[lane])) > 1:
            actions.append(
                Action("earlier_attempt", f"Earlier attempt ({attempts})", "Show the answer before this one")
            )
    # The rows nearest to a label are all those that have it.
    if answer.run and not turn.hidden and not answer.labels:
        actions.append(_WHY)
    return actions


def _card_title(turn: Turn, lane: int, position: int, choice: LaneChoice, titles: Titles) -> tuple[str, str]:
    """Return the name of the model that answered in a lane, or that would, and the id of its run."""
    if turn.hidden:
        return f"Answer {'ABCD'[position]}", ""
    run, adapter = choice.run_and_adapter
    answer = turn.shown(lane) or GenerationResult(run=run, adapter=adapter)
    return answer_name(answer, titles), answer.run


def _facts(answer: GenerationResult | Generation) -> str:
    tokens = counted(answer.tokens, "token")
    # The time counts from Send on, because the reader has waited since then.
    seconds = answer.waited_seconds + answer.first_token_seconds
    if answer.labels:
        return f"{tokens} read · after {seconds:.1f} s"
    speed = answer.tokens_per_second
    facts = [
        tokens,
        f"first after {seconds:.1f} s",
        f"{speed:.{0 if speed >= 10 else 1}f} tokens/s",
        END_LABELS[answer.end],
    ]
    if isinstance(answer, GenerationResult) and is_exported(answer.adapter):
        facts.append(_OWN_WEIGHTS)
    # Greedy decoding ignores the seed.
    if isinstance(answer, GenerationResult) and answer.settings.get("temperature"):
        facts.append(f"sampled with seed {answer.settings['seed']}")
    return " · ".join(facts)


def _marked_differences(turn: Turn, order: Sequence[int]) -> dict[int, Marked]:
    """Return each lane's text in pieces, each with whether the first lane's text lacks it.

    The first lane's own text is compared with the second's.
    """
    texts = {lane: answer.text for lane in order if (answer := turn.shown(lane))}
    first, *others = texts or (0,)
    marked: dict[int, Marked] = {}
    for lane in others:
        of_first, marked[lane] = differences(texts[first], texts[lane])
        marked.setdefault(first, of_first)
    return marked
