"""Proposals of lists of turns and of trees of messages."""

from collections.abc import Iterator
from dataclasses import replace

from core.data.formats import columns as names
from core.data.formats.answer_doubts import turn_doubt
from core.data.formats.answer_lists import holds_rated_answers
from core.data.formats.chat_trees import is_node_map
from core.data.formats.columns import find_column, folded_name
from core.data.formats.doubts import text_outside_doubt
from core.data.formats.list_proposals import propose_named_lists
from core.data.formats.people import people_doubt, people_roles
from core.data.formats.proposal import (
    QUESTION_NAMES,
    Columns,
    Proposal,
    Rows,
    columns_beside,
    count_filled,
    count_present,
    make_proposal,
)
from core.data.formats.rated_proposals import verdict_column
from core.data.formats.reading import get_format
from core.data.formats.row_doubts import question_part_doubt
from core.data.formats.speaker_order import SPEAKER_ROLES
from core.data.formats.turn_order import order_doubt
from core.data.formats.turns import has_usual_speaker, is_conversation, is_turn
from core.data.formats.values import nested
from core.data.formats.worded_pairs import is_path_of_question


def propose_trees(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose columns of trees of replies, and of maps of messages."""
    for name in found:
        if count := count_filled(
            rows, name, lambda value: isinstance(value, dict) and isinstance(value.get("replies"), list)
        ):
            yield make_proposal(found, "tree", {"prompt": name}, f"a tree of replies in the column {name!r}", count)
        if count := count_filled(rows, name, lambda value: is_node_map(nested(value))):
            evidence = f"a map of messages in the column {name!r}; the current branch is read"
            yield make_proposal(found, "tree", {"prompt": name}, evidence, count)


def propose_turns(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose the columns that hold lists of turns, those with a usual name first."""
    priority = {folded_name(name): index for index, name in enumerate(names.TURN_NAMES)}
    row_counts = {name: count_filled(rows, name, is_conversation) for name in found}
    several = [name for name in found if row_counts[name]]
    for name in sorted(several, key=lambda n: (priority.get(folded_name(n), 99), n)):
        if not _is_whole(rows, found, name):
            continue
        first = next(turn[0] for turn in (nested(row.get(name)) for row in rows) if is_conversation(turn))
        slot, form = ("conversations", "sharegpt") if {"from", "From"} & first.keys() else ("messages", "messages")
        where = f"in the column {name!r}"
        if verdict := verdict_column(rows, found):
            evidence = f"a list of turns {where} and a flag in {verdict!r}; answers flagged as bad are left out"
            columns = {"messages": name, "label": verdict}
            yield make_proposal(found, "rated", columns, evidence, count_present(rows, name))
            continue
        # Lists of turns have no slot for context: it belongs to a single question.
        beside = {key: column for key, column in columns_beside(found, {name}).items() if key != "context"}
        sign = get_format(form).sign if is_turn(first) else "a list of questions and answers"
        roles = people_roles(rows, name) if is_turn(first) else {}
        if is_turn(first):
            doubt = people_doubt(rows, name, roles)
            if doubt and not roles:
                roles = dict(SPEAKER_ROLES)
        else:
            is_named = find_column([name], names.TURN_NAMES)
            doubt = "" if is_named else f"the questions and answers {where} may be turns or separate examples"
        doubt = doubt or _doubt_beside(rows, found, name, [other for other in several if other != name])
        proposal = make_proposal(found, form, {slot: name, **beside}, f"{sign}, {where}", row_counts[name], doubt)
        yield replace(proposal, reading=proposal.reading.model_copy(update={"roles": roles}))
    yield from propose_named_lists(rows, found)


def _is_whole(rows: Rows, found: Columns, name: str) -> bool:
    """Return whether a column of turns may be whole conversations, not their questions or answers to choose from."""
    rest = [other for other in found if other != name]
    completion, question = find_column(rest, names.COMPLETION_NAMES), find_column(rest, QUESTION_NAMES)
    # TRL's conversational form: the turns of the prompt and of the completion are in two columns (see `_pairs`).
    if (find_column([name], QUESTION_NAMES) and completion) or (find_column([name], ("completion",)) and question):
        return False
    # The comments of a forum with their scores are answers.
    if is_path_of_question(name, found) or holds_rated_answers(rows, name):
        return False
    return not question or bool(find_column([name], names.TURN_NAMES)) or has_usual_speaker(rows, name)


def _doubt_beside(rows: Rows, found: Columns, name: str, others: list[str]) -> str:
    """Return the doubt that other columns or the turns themselves raise; "" where none does."""
    doubt = f"{name!r} and {others[0]!r} both hold conversations" if others else ""
    unread = {other for other in found if not find_column([other], ("message", "preamble"))}
    doubt = doubt or question_part_doubt(rows, found, unread)
    return doubt or text_outside_doubt(rows, found, name) or turn_doubt(rows, name) or order_doubt(rows, name)
