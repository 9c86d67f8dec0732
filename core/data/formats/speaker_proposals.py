"""Proposals for messages whose authors have no roles: in lists, in transcripts, with the first message elsewhere.

The export of a helpdesk or a forum names authors by numbers, or keeps the first message in a column of its own; a
dialogue dataset may name no speakers. All of these proposals have a doubt, so that the page asks.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from core.data.formats.answer_lists import is_answer_list
from core.data.formats.columns import find_column
from core.data.formats.conversation import usual_role
from core.data.formats.object_fields import unfolded
from core.data.formats.proposal import Columns, Proposal, Rows, count_filled, make_proposal
from core.data.formats.row_doubts import taken_columns
from core.data.formats.speaker_order import POSITION_ROLES, SPEAKER_ROLES, find_author_key, identity_of
from core.data.formats.steps import has_steps
from core.data.formats.transcripts import is_transcript, likely_roles
from core.data.formats.turn_order import order_doubt
from core.data.formats.turn_proposals import propose_turns
from core.data.formats.turns import is_message_list, speaker_of, text_in_turn
from core.data.formats.values import is_missing, nested
from core.data.listing import list_some

# Columns of the first message, and of the author of it.
_OPENING_NAMES = (
    "source", "description", "body", "first_message", "initial_message", "opening", "opening_message", "question",
    "prompt", "post", "selftext", "ticket", "problem", "message", "text", "content",
    "root", "root_message", "original", "original_post", "parent",
)  # fmt: skip
_ASKER_NAMES = (
    "requester_id", "requester", "submitter_id", "author_id", "author", "user", "user_id", "reporter", "creator",
    "created_by", "customer_id", "customer", "contact", "from", "sender", "op",
)  # fmt: skip
_SHOWN_SPEAKERS = 4
# Characters of a text in which speakers are looked for.
_SURVEYED_CHARACTERS = 20_000


def propose_unnamed(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose lists of messages by the order of their authors or their positions, also those inside an object."""
    for path in _message_lists(rows, found):
        inner_rows, inner = (rows, found) if path in found else unfolded(rows, (path,))
        turns = propose_turns(inner_rows, inner)
        given = [one for one in turns if path in taken_columns(inner_rows, one.reading).values()]
        if path in found:
            # `propose_turns` has proposed these, without a first message in another column.
            named = [
                replace(one, doubt=one.doubt or f"{path!r} may be the messages after another one") for one in given
            ]
            yield from (with_opening for one in named for with_opening in _opened(inner_rows, inner, path, one))
        else:
            for one in given:
                one = replace(one, doubt=one.doubt or f"the list in {path!r} may be the conversation")
                yield from (*_opened(inner_rows, inner, path, one), one)
        if not given:
            one = _by_order(inner_rows, inner, path)
            yield from (*_opened(inner_rows, inner, path, one), one)


def _message_lists(rows: Rows, found: Columns) -> list[str]:
    """Return the columns of lists of messages, and the fields of objects that hold one such list."""
    paths = []
    for name in found:
        values = [nested(row[name]) for row in rows if name in row and not is_missing(row[name])]
        if values and 2 * sum(map(is_message_list, values)) > len(values):
            # Answers with flags or scores are chosen from, and steps are one text; both are no turns.
            is_other = has_steps(found, [name]) or any(is_answer_list(value, usual_role) for value in values)
            paths += [] if is_other else [name]
        elif values and all(isinstance(value, dict) for value in values):
            lists = {key for value in values for key, part in value.items() if is_message_list(part)}
            others = {key for value in values for key, part in value.items() if isinstance(part, (list, dict)) and part}
            # A request to a model has other lists, and its answer is elsewhere.
            is_whole = others <= lists or any(_has_answer(value.get(key)) for value in values for key in lists)
            paths += [f"{name}.{key}" for key in lists if is_whole and len(lists) == 1]
    return paths


def _has_answer(turns: Any) -> bool:
    items = turns if isinstance(turns, list) else []
    return any(isinstance(turn, dict) and usual_role(speaker_of(turn).strip()) == "assistant" for turn in items)


def _by_order(rows: Rows, found: Columns, name: str) -> Proposal:
    lists = [value for row in rows if isinstance(value := nested(row.get(name)), list)]
    turns = [turn for value in lists for turn in value if isinstance(turn, dict)]
    key = next((key for turn in turns if (key := find_author_key(turn))), None)
    if key and 2 * sum(bool(identity_of(turn.get(key))) for turn in turns) > len(turns):
        roles = SPEAKER_ROLES
        doubt = (
            f"the messages in {name!r} name their authors in {key!r}, and no field says who asks; the first author of "
            "a conversation may be the user and all others the assistant"
        )
    else:
        roles = POSITION_ROLES
        doubt = (
            f"the messages in {name!r} name no authors, and no field says who asks and who answers; they may alternate "
            "between user and assistant"
        )
    doubt = "; ".join(part for part in (doubt, order_doubt(rows, name)) if part)
    count = count_filled(rows, name, lambda value: isinstance(nested(value), list))
    proposal = make_proposal(found, "messages", {"messages": name}, f"a list of messages in {name!r}", count, doubt)
    return replace(proposal, reading=proposal.reading.model_copy(update={"roles": dict(roles)}))


def _opened(rows: Rows, found: Columns, name: str, proposal: Proposal) -> Iterator[Proposal]:
    """Yield the reading with the first message and its author in columns of their own, if there are such columns."""
    reading = proposal.reading
    if reading.format not in ("messages", "sharegpt"):
        return
    rest = [other for other in found if other != name and other not in reading.columns.values()]
    asker = next((one for one in _ASKER_NAMES if (n := find_column(rest, (one,))) and _asks(rows, name, n)), None)
    asker = find_column(rest, (asker,)) if asker else None
    openings = (find_column(rest, (one, f"{one}_text", f"plain_{one}")) for one in _OPENING_NAMES)
    opening = next((one for one in openings if one and _opens(rows, name, one)), None)
    if not opening and not (asker and reading.roles == SPEAKER_ROLES):
        return
    slots = {slot: column for slot, column in reading.columns.items() if slot not in ("messages", "conversations")}
    slots |= {"messages": name} | ({"opening": opening} if opening else {})
    slots |= {"asker": asker} if asker and reading.roles == SPEAKER_ROLES else {}
    more = f", after the first message in {opening!r}" if opening else f", with its author in {asker!r}"
    opened = make_proposal(found, "messages", slots, proposal.evidence + more, proposal.rows, proposal.doubt)
    yield replace(opened, reading=opened.reading.model_copy(update={"roles": dict(reading.roles)}))


def _opens(rows: Rows, name: str, opening: str) -> bool:
    """Return whether a column holds a message that is not the first one of the list, in most rows."""
    texts = []
    for row in rows:
        value, turns = nested(row.get(opening)), nested(row.get(name))
        text = value.strip() if isinstance(value, str) else text_in_turn(value)
        if text and not is_missing(value) and isinstance(turns, list):
            texts.append(text != next((text_in_turn(turn) for turn in turns), ""))
    return 2 * sum(texts) > len(rows)


def _asks(rows: Rows, name: str, asker: str) -> bool:
    """Return whether a column names the author of a message of the list in any row."""
    for row in rows:
        turns, who = nested(row.get(name)), identity_of(nested(row.get(asker)))
        turns = [turn for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
        if who and any(who == identity_of(turn[key]) for turn in turns if (key := find_author_key(turn))):
            return True
    return False


def propose_transcripts(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose columns of transcripts with the likely role of each speaker, always with doubt."""
    for name, column in found.items():
        heads = [row[name][:_SURVEYED_CHARACTERS] for row in rows if isinstance(row.get(name), str)]
        texts = [text for text in heads if column.kind == "prose" and is_transcript(text)]
        if not texts or 2 * len(texts) <= count_filled(rows, name, lambda value: True):
            continue
        roles = likely_roles(texts)
        shown = list_some([f"{speaker} = {role}" for speaker, role in roles.items()], _SHOWN_SPEAKERS)
        evidence = f"lines that begin with their speaker, as in a transcript, in the column {name!r}"
        doubt = f"the lines in {name!r} begin with their speaker, as in a transcript; the roles may be {shown}"
        proposal = make_proposal(found, "marked", {"text": name}, evidence, len(texts), doubt)
        yield replace(proposal, reading=proposal.reading.model_copy(update={"roles": roles}))
